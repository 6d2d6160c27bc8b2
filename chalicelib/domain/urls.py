"""Canonical URLs, their keys, and the hosts they belong to.

What is sent to a vendor must block exactly the page that was reported, so the canonical form is the WHATWG
serialisation (https://url.spec.whatwg.org/#url-serializing) without fragment and userinfo, which never reach a server,
and nothing else: no decoding, no sorting of parameters, no merging of slashes.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256

from ada_url import URL

from chalicelib.domain.errors import ConfigurationError, UnusableUrl

MAX_URL_LENGTH = 8_192
"""Characters of a canonical URL at most."""

MAX_RAW_LENGTH = 65_536
"""Characters of a URL as reported: long dot segments and fragments may go away, but parsing them costs time."""

_ASCII_WHITESPACE = " \t\n\f\r"
_INVISIBLE = re.compile(
    "[\0-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f"
    "\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U00013430-\U0001343f\U00016fe4\U0001d159"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Controls, spaces other than U+0020, format characters, and U+FFFD, which stands for a character that was lost."""

_SECOND_URL = re.compile(r"[^!#$%&*+\-./:=?@\\^~](?:h(?:tt|xx)ps?|ftp)://", re.IGNORECASE)
"""A scheme behind a letter, a separator or a sign such as an arrow. Behind ``=`` or ``/`` it is a URL inside a URL,
which is common. The class names the signs that are allowed: ``re`` takes 6 ms at each cold start for a class with a
range of all other characters."""

_SCHEME_TWICE = re.compile(r"https?:[/\\]*https?:", re.IGNORECASE)

_HTTP = re.compile(r"https?:", re.IGNORECASE)
_SPACE_IN_HOST = re.compile(r"https?:[/\\]*[^/\\?# ]* ", re.IGNORECASE)
_REAL_HOST = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])[:/]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,252}:")
_PORT = re.compile(r":[0-9]{1,5}(?:[/?#]|$)")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_DEFANGED_SCHEME = re.compile(r"h(?:tt|xx|\*\*|__|tx|xt|\[tt\])p(s|\[s\]|\(s\))?(?=:)", re.IGNORECASE)
_DEFANGED_SIGN = re.compile(
    r"\[ ?(\.|dot|:|://|/|at|@) ?\]|\( ?(\.|dot|:|://|/|at|@) ?\)|\{ ?(\.|dot|:|://|/|at|@) ?\}|\\(\.)", re.IGNORECASE
)
_FANGED = {"dot": ".", "at": "@"}
_URLSAFE = bytes.maketrans(b"+/", b"-_")


def canonical_url(raw: str) -> str:
    """Return the WHATWG serialisation of an absolute http(s) URL, without fragment and userinfo.

    This is the one place that decides whether a text is one URL. It is stricter than the standard where the standard
    would make a URL that nobody reported: a text with a second URL, with words after the URL, or with a character
    that cannot be seen is refused, and so is a host with signs that no host name has. Idempotent.

    Raises UnusableUrl.
    """
    text = raw.strip(_ASCII_WHITESPACE)
    if len(text) > MAX_RAW_LENGTH:
        raise UnusableUrl(f"the URL is longer than {MAX_URL_LENGTH:,} characters")
    if not (text.isascii() and text.isprintable() and " " not in text and text.find("://", 7) < 0):
        _check_one_url(text)
    try:
        href = URL(text).href
    except ValueError:
        raise UnusableUrl(_why_invalid(text)) from None
    if not href.startswith(("http://", "https://")):
        raise UnusableUrl(_why_not_http(text))
    fragment = href.find("#")  # a serialised URL holds no other number sign
    if fragment >= 0:
        href = href[:fragment]
    if "@" in href:
        href = _without_userinfo(href)
    if len(href) > MAX_URL_LENGTH:
        raise UnusableUrl(f"the URL is longer than {MAX_URL_LENGTH:,} characters")
    if not _REAL_HOST.match(href):
        raise UnusableUrl(
            "the host of the URL holds a character that no host name has: check whether the URL is defanged"
        )
    return href


def url_key(account: str, canonical: str) -> str:
    """Return the key of a canonical URL at one vendor account: 22 characters of base64url, 128 bits of SHA-256."""
    digest = sha256(f"{account}\0{canonical}".encode()).digest()
    return b2a_base64(digest[:16], newline=False).translate(_URLSAFE)[:22].decode()


@lru_cache(maxsize=4096)
def host_of(canonical: str) -> str:
    """Return the host of a canonical URL without its port; an IPv6 address keeps its brackets."""
    start = canonical.index("://") + 3
    authority = canonical[start : canonical.index("/", start)]
    if authority.startswith("["):
        return authority[: authority.index("]") + 1]
    return authority.partition(":")[0]


def scheme_variant(canonical: str) -> str:
    """Return the URL under the other scheme; empty if it names a port, since nobody knows the port of its variant."""
    scheme, _, rest = canonical.partition("://")
    authority = rest[: rest.index("/")]
    if authority.rpartition("]")[2].find(":") >= 0:
        return ""
    variant = ("http" if scheme == "https" else "https") + "://" + rest
    return variant if len(variant) <= MAX_URL_LENGTH else ""


def refang(raw: str) -> str:
    """Undo the usual defanging: ``hxxp(s)``, and ``.``, ``dot``, ``:``, ``://``, ``/``, ``@`` or ``at`` in brackets.

    Only for sources that say they defang: brackets may be part of a URL that is meant as it is written.
    """
    raw = _DEFANGED_SIGN.sub(
        lambda sign: _FANGED.get(sign[sign.lastindex or 0].lower(), sign[sign.lastindex or 0]), raw
    )
    scheme = _DEFANGED_SCHEME.match(raw.lstrip(_ASCII_WHITESPACE)[:12])
    if scheme is None:
        return raw
    secure = "s" if scheme.lastindex else ""
    return f"http{secure}{raw.lstrip(_ASCII_WHITESPACE)[scheme.end() :]}"


def unescape_html(raw: str) -> str:
    """Undo HTML escaping once, for sources that say they escape.

    Only entities that end with a semicolon: ``html.unescape`` alone would turn ``?a=1&region=2`` into ``?a=1®ion=2``.
    """
    if "&" not in raw:
        return raw
    from html import unescape

    return _ENTITY.sub(lambda found: unescape(found[0]), raw)


class HostPatterns:
    """A set of hosts: exact ones and ``*.`` wildcards, which cover any depth below a name but not the name itself.

    IP addresses and single-label hosts are covered only where they are listed exactly: no wildcard can match them.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raise ConfigurationError naming the first pattern that is no host name."""
        exact: set[str] = set()
        below: set[str] = set()
        for pattern in patterns:
            if pattern.startswith("*."):
                # Parsed with a label in front, so that "*.1" is seen to be no name but part of an IP address.
                below.add(_host(f"w.{pattern[2:]}" if pattern[2:] else "", pattern).removeprefix("w."))
            else:
                exact.add(_host(pattern, pattern))
        self._exact = frozenset(exact)
        self._below = frozenset(below)

    @property
    def names(self) -> frozenset[str]:
        """Return the hosts, and the names below which hosts are covered, as canonical hosts."""
        return self._exact | self._below

    @property
    def patterns(self) -> frozenset[str]:
        """Return the set as it is written: hosts, and wildcards with ``*.`` in front."""
        return self._exact | {f"*.{name}" for name in self._below}

    def covers(self, host: str) -> bool:
        """Tell whether a canonical host is in the set; looks at each of its labels once."""
        if host in self._exact:
            return True
        below = self._below
        dot = host.find(".") if below else -1
        while dot >= 0:
            if host[dot + 1 :] in below:
                return True
            dot = host.find(".", dot + 1)
        return False

    def __bool__(self) -> bool:
        return bool(self._exact or self._below)


def _without_userinfo(href: str) -> str:
    start = href.index("://") + 3
    end = href.index("/", start)
    at = href.rfind("@", start, end)
    return href if at < 0 else href[:start] + href[at + 1 :]


def _check_one_url(text: str) -> None:
    """Refuse a text that is no URL, or more than one. Raises UnusableUrl."""
    invisible = _INVISIBLE.search(text)
    if invisible:
        sign = invisible[0]
        if sign in "\t\n\r\0":
            raise UnusableUrl("the URL holds a tab, a line break or a NUL: send one URL, as a browser would show it")
        if sign == "\ufffd":
            raise UnusableUrl("the URL holds U+FFFD, which stands for a character that was lost: send it undamaged")
        raise UnusableUrl(f"the URL holds the invisible character U+{ord(sign):04X}: remove or percent-encode it")
    if _HTTP.match(text) is None:
        if " " in text:
            raise UnusableUrl(_why_invalid(text))
        return
    if _SCHEME_TWICE.match(text):
        raise UnusableUrl("the scheme stands twice: write it once")
    if text.endswith("\u2026"):
        raise UnusableUrl("the URL ends with an ellipsis, since it was cut: send the whole URL")
    if _SECOND_URL.search(text, 1):
        raise UnusableUrl("the text holds a second URL: send each URL by itself")
    if " " not in text or _SPACE_IN_HOST.match(text):  # the parser refuses a space in a host
        return
    raise UnusableUrl("words follow the URL: send the URL alone, with %20 for a space that belongs to it")


def _why_invalid(text: str) -> str:
    if not text:
        return "the URL is empty"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "the URL holds half of a surrogate pair: it is not text"
    scheme = _SCHEME.match(text)
    if scheme is None or scheme[0].lower() not in ("http:", "https:"):
        return _why_not_http(text)
    return "the URL is not valid by the WHATWG URL standard: check its host and port"


def _why_not_http(text: str) -> str:
    scheme = _SCHEME.match(text)
    name = scheme[0][:-1].lower() if scheme else ""
    if scheme is None or "." in name or _PORT.match(text, scheme.end() - 1):  # www.example.com:81, localhost:8080/
        return "the URL does not begin with a scheme: write it in full, with http:// or https://"
    if name in ("hxxp", "hxxps"):
        return "the URL is defanged (hxxp): send it as it is, or declare the source as defanged"
    return f"the scheme of the URL is {name[:20]}: only http and https can be banned"


def _host(name: str, pattern: str) -> str:
    """Return the canonical form of a host name from the configuration."""
    remedy = f"{pattern[:80]!r} is no host name: write www.example.com, *.example.com, 192.0.2.1 or [2001:db8::1]"
    if not name or name.startswith(".") or ".." in name or any(sign in name for sign in "*/\\?#@\t\r\n \0"):
        raise ConfigurationError(remedy)
    try:
        canonical = canonical_url(f"http://{name}/")
    except UnusableUrl:
        raise ConfigurationError(remedy) from None
    # ":80" would vanish and any other port stay: a host has neither.
    if host_of(canonical) != canonical[len("http://") : -1] or name.rpartition("]")[2].find(":") >= 0:
        raise ConfigurationError(remedy)
    return host_of(canonical)
