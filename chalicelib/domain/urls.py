"""Canonical URLs, their keys, and the hosts they belong to.

What is sent to a vendor must block exactly the page that was reported, so the canonical form is the WHATWG
serialisation (https://url.spec.whatwg.org/#url-serializing) without fragment and userinfo, which never reach a server,
and nothing else: no decoding, no sorting of parameters, no merging of slashes.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable
from hashlib import sha256

from ada_url import normalize_url

from chalicelib.domain.errors import ConfigurationError, UnusableUrl

MAX_URL_LENGTH = 8_192
"""Characters of a canonical URL at the most."""

MAX_RAW_LENGTH = 65_536
"""Characters of a URL as reported: long dot segments and fragments may go away, but parsing them costs time."""

_ASCII_WHITESPACE = " \t\n\f\r"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,19}:")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_DEFANGED_SCHEME = re.compile(r"hxxp(s?)(?=:|\[:)", re.IGNORECASE)
_DEFANGED_SIGNS = re.compile(r"\[\.\]|\(\.\)|\[:\]|\[://\]|\[at\]", re.IGNORECASE)
_FANGED = {"[.]": ".", "(.)": ".", "[:]": ":", "[://]": "://", "[at]": "@"}
_URLSAFE = bytes.maketrans(b"+/", b"-_")


def canonical_url(raw: str) -> str:
    """Return the WHATWG serialisation of an absolute http(s) URL, without fragment and userinfo.

    Stricter than the standard in one thing: a tab, newline or NUL inside is refused, where a browser would drop it
    silently, because what was reported is then not what would be blocked. Idempotent.

    Raises UnusableUrl.
    """
    text = raw.strip(_ASCII_WHITESPACE)
    if "\t" in text or "\n" in text or "\r" in text or "\0" in text:
        raise UnusableUrl("the URL holds a tab, a line break or a NUL: send one URL, as a browser would show it")
    if len(text) > MAX_RAW_LENGTH:
        raise UnusableUrl(f"the URL is longer than {MAX_URL_LENGTH:,} characters")
    try:
        href = normalize_url(text)
    except ValueError:
        raise UnusableUrl(_why_invalid(text)) from None
    if not href.startswith(("http://", "https://")):
        raise UnusableUrl(_why_not_http(href))
    fragment = href.find("#")  # a serialised URL holds no other number sign
    if fragment >= 0:
        href = href[:fragment]
    if "@" in href:
        href = _without_userinfo(href)
    if len(href) > MAX_URL_LENGTH:
        raise UnusableUrl(f"the URL is longer than {MAX_URL_LENGTH:,} characters")
    return href


def url_key(account: str, canonical: str) -> str:
    """Return the key of a canonical URL at one vendor account: 22 characters of base64url, 128 bits of SHA-256."""
    digest = sha256(f"{account}\0{canonical}".encode()).digest()
    return b2a_base64(digest[:16], newline=False).translate(_URLSAFE)[:22].decode()


def host_of(canonical: str) -> str:
    """Return the host of a canonical URL without its port; an IPv6 address keeps its brackets."""
    start = canonical.index("://") + 3
    authority = canonical[start : canonical.index("/", start)]
    if authority.startswith("["):
        return authority[: authority.index("]") + 1]
    return authority.partition(":")[0]


def is_bare_host(canonical: str) -> bool:
    """Tell whether a canonical URL is the root of its host. A question mark with nothing behind it is no query."""
    return canonical.index("/", canonical.index("://") + 3) == len(canonical.removesuffix("?")) - 1


def scheme_twin(canonical: str) -> str:
    """Return the same URL under the other scheme; empty where it names a port, since the twin's is anybody's guess."""
    scheme, _, rest = canonical.partition("://")
    authority = rest[: rest.index("/")]
    if authority.rpartition("]")[2].find(":") >= 0:
        return ""
    twin = ("http" if scheme == "https" else "https") + "://" + rest
    return twin if len(twin) <= MAX_URL_LENGTH else ""


def refang(raw: str) -> str:
    """Undo the usual defanging: ``hxxp(s)``, ``[.]``, ``(.)``, ``[:]``, ``[://]``, ``[at]``.

    Only for sources that say they defang: brackets may be part of a URL that is meant as it is written.
    """
    raw = _DEFANGED_SIGNS.sub(lambda found: _FANGED[found[0].lower()], raw)
    return _DEFANGED_SCHEME.sub(r"http\1", raw, count=1) if raw[:12].lstrip()[:4].lower() == "hxxp" else raw


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


def _why_invalid(text: str) -> str:
    if not text:
        return "the URL is empty"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "the URL holds half of a surrogate pair: it is not text"
    scheme = _SCHEME.match(text)
    if scheme is None:
        return "the URL does not begin with a scheme: write it in full, with http:// or https://"
    if scheme[0].lower() in ("http:", "https:"):
        return "the URL is not valid by the WHATWG URL standard: check its host and port"
    return _why_not_http(text)


def _why_not_http(text: str) -> str:
    scheme = _SCHEME.match(text)
    name = scheme[0][:-1].lower() if scheme else "unknown"
    if name in ("hxxp", "hxxps"):
        return "the URL is defanged (hxxp): send it as it is, or declare the source as defanged"
    return f"the scheme of the URL is {name}: only http and https can be banned"


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
