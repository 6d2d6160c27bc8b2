"""A form of URLs for comparing, which only protection and the rule for roots use.

A vendor gets exact URLs, and how it matches them (case, query, encoding) is not documented. So protected URLs are
compared wide: two spellings that some server or CDN may take for the same page have the same form here. If two pages
are wrongly taken for one, a person has to ban one by hand. If one page is wrongly taken for two, a customer's page goes
down.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple
from urllib.parse import unquote

DECODINGS: Final = 8
"""How often a text is percent-decoded: some proxies escape a text that is escaped already."""

_ODD = re.compile(r"[%;\\]|//|/\.|\./|\.$", re.ASCII)
"""A path with one of these characters may have another spelling. A path without them is its own form, except case."""

_INDEX = re.compile(r"/(?:index|default|home)\.[a-z0-9]{1,5}", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")


class WideForm(NamedTuple):
    """The parts of a URL that are compared. Scheme and port are left out: a page is protected under all of them."""

    host: str
    path: str
    query: str

    @property
    def page(self) -> str:
        """The path without the slash at its end: ``/checkout/`` is ``/checkout`` to many servers."""
        return self.path.rstrip("/") or "/"


def wide(canonical: str, *, ignore_case: bool = True) -> WideForm:
    """Return the form of a canonical URL that is compared.

    ``ignore_case`` tells whether paths and queries that differ only in case are one page.
    """
    rest = canonical[canonical.index("://") + 3 :]
    slash = rest.index("/")
    path, _, query = rest[slash:].partition("?")
    path, more = _path(path)
    query = _text(query.replace("+", "%20")) if query else more
    if ignore_case:
        path, query = path.casefold(), query.casefold()
    return WideForm(_host(rest[:slash]), path, query.strip("&;= "))


def is_root(canonical: str, *, ignores_queries: bool = False) -> bool:
    """Tell whether a canonical URL may be the root of its host, in any spelling.

    ``/?``, ``//``, ``/;``, ``/%2f`` and ``/index.html`` are roots. A query that is not empty makes a page, unless the
    account's CDN ``ignores_queries``.
    """
    slash = canonical.index("/", canonical.index("://") + 3)
    target = canonical[slash:]
    if target == "/":
        return True
    if not (_ODD.search(target) or target.startswith("/?") or _INDEX.match(target)):
        return False
    form = wide(canonical)
    return (form.path.rstrip("/") == "" or bool(_INDEX.fullmatch(form.page))) and (ignores_queries or not form.query)


def _host(authority: str) -> str:
    host = authority[: authority.index("]") + 1] if authority.startswith("[") else authority.partition(":")[0]
    return host.rstrip(".")


def _path(path: str) -> tuple[str, str]:
    """Return the form of a path, and the query that an escaped question mark in it begins."""
    if not _ODD.search(path):
        return path, ""
    path, _, query = _text(path).replace("\\", "/").partition("?")
    path = path.partition("#")[0]
    segments: list[str] = []
    names = [segment.partition(";")[0].strip() for segment in path.split("/")]
    for name in names:
        if name == ".." and segments:
            segments.pop()
        elif name.rstrip("."):
            segments.append(name.rstrip("."))
    ends_open = names[-1].rstrip(".") == "" and segments
    return "/" + "/".join(segments) + ("/" if ends_open else ""), query


def _text(text: str) -> str:
    """Decode escapes, also escapes of escapes, and drop invisible characters."""
    for _ in range(DECODINGS):
        decoded = unquote(text, errors="replace")
        if decoded == text:
            break
        text = decoded
    return unicodedata.normalize("NFKC", _CONTROL.sub("", text))
