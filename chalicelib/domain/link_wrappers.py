"""Links that a mail gateway wrapped: the reported page is inside the link, and the wrapper's host is not ours."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from urllib.parse import parse_qs, unquote, urlsplit

_PARAMETERS: tuple[tuple[str, str, str], ...] = (
    # host or ".domain", beginning of the path, query parameter that holds the page
    (".safelinks.protection.outlook.com", "/", "url"),
    (".safelinks.protection.office365.us", "/", "url"),
    (".safelinks.protection.outlook.cn", "/", "url"),
    ("statics.teams.cdn.office.net", "/evergreen-assets/safelinks/", "url"),
    ("urldefense.proofpoint.com", "/v1/", "u"),
    ("linkprotect.cudasvc.com", "/url", "a"),
    ("clicktime.symantec.com", "/", "u"),
    (".trendmicro.com", "/wis/clicktime/", "url"),
    (".fireeye.com", "/v1/url", "u"),
    (".fireeye.com", "/url", "u"),
    (".protection.sophos.com", "/", "u"),  # in base64
    ("linklock.titanhq.com", "/analyse", "url"),
    (".defend.egress.com", "/", "url"),
    ("deref-gmx.net", "/", "redirectUrl"),
    ("deref-web.de", "/", "redirectUrl"),
    ("www.google.com", "/url", "q"),
    ("www.google.com", "/url", "url"),
    ("www.youtube.com", "/redirect", "q"),
    ("l.facebook.com", "/l.php", "u"),
    ("lm.facebook.com", "/l.php", "u"),
    ("l.instagram.com", "/", "u"),
    ("www.linkedin.com", "/redir/redirect", "url"),
    ("slack-redir.net", "/link", "url"),
)
_SHADOWED = (
    *("secure-web.cisco.com", "urldefense.com", "urldefense.us", "urldefense.proofpoint.com"),
    *("protect.mimecast.com", "protect-us.mimecast.com", "protect-eu.mimecast.com", "protect-de.mimecast.com"),
    *("protect-au.mimecast.com", "protect-za.mimecast.com", ".mimecastprotect.com"),
    *("url.avanan.click", "protect.checkpoint.com", "safe.menlosecurity.com"),
)
"""Hosts of wrappers that do not always show the page that they lead to."""

_SHOWN: tuple[re.Pattern[str], ...] = (
    re.compile(r"https://urldefense\.(?:com|us)/v3/__(https?:/[^*]*?)__;", re.IGNORECASE),
    re.compile(r"https://(?:url\.avanan\.click|protect\.checkpoint\.com)/v2/[^/]*?___(https?:.*?)___\.", re.IGNORECASE),
    re.compile(r"https://safe\.menlosecurity\.com/(https?:.+)", re.IGNORECASE),
)
"""Wrapped links that contain the page's URL unchanged."""

_CISCO = re.compile(r"https?://secure-web\.cisco\.com/[^/]+/(https?%3a%2f%2f[^/?#]+)$", re.IGNORECASE)
_DEFENSE_3 = re.compile(r"https://urldefense\.(?:com|us)/v3/__(https?:/.*?)__;([\w-]*=*)!", re.IGNORECASE)
_RUNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""Proofpoint's letters for several characters in a row that it took out: ``A`` is two characters."""

_SLASH_ONCE = re.compile(r"(https?:/)(?=[^/])", re.IGNORECASE)
_MAX_LENGTH = 16_384
_MAX_LAYERS = 3


def wrapper_of(url: str) -> str:
    """Return the host of the wrapper that a URL belongs to; empty if it is no wrapped link."""
    host, path = _place(url)
    if any(_is_at(host, wanted) and path.startswith(prefix) for wanted, prefix, _ in _PARAMETERS):
        return host
    return host if any(_is_at(host, wanted) for wanted in _SHADOWED) else ""


def unwrap_link(url: str) -> str:
    """Return the page that a wrapped link leads to. Return any other URL, or a link that hides its page, unchanged."""
    for _ in range(_MAX_LAYERS):
        inner = _inner(url)
        if not inner.lower().startswith(("http://", "https://")):
            break
        url = inner
    return url


def _inner(url: str) -> str:
    if len(url) > _MAX_LENGTH:
        return ""
    return _shown_in(url.strip()) or _given_in(url)


def _shown_in(url: str) -> str:
    """Return the page that stands in the path of a wrapped link."""
    shown = next((match[1] for pattern in _SHOWN if (match := pattern.match(url))), "")
    if not shown and (encoded := _DEFENSE_3.match(url)):
        shown = _filled_in(encoded[1], encoded[2])
    if not shown and (cisco := _CISCO.match(url)):
        shown = unquote(cisco[1])
    return _SLASH_ONCE.sub(r"\1/", shown, count=1)


def _given_in(url: str) -> str:
    """Return the page that a parameter of a wrapped link gives."""
    host, path = _place(url)
    query = urlsplit(url).query if host else ""
    if host == "urldefense.proofpoint.com" and path.startswith("/v2/"):
        return unquote(_parameter(query, "u").replace("-", "%").replace("_", "/"))
    for wanted, prefix, name in _PARAMETERS:
        if _is_at(host, wanted) and path.startswith(prefix) and (value := _parameter(query, name)):
            return _from_base64(value) if wanted == ".protection.sophos.com" else value
    return ""


def _filled_in(shown: str, taken_out: str) -> str:
    """Undo version 3 of Proofpoint: put back the characters that it took out; empty if their numbers do not match."""
    signs = _from_base64(taken_out)
    pieces, at = [], 0
    for piece in re.split(r"(\*\*[\w-]|\*)", shown):
        if not piece.startswith("*"):
            pieces.append(piece)
            continue
        count = 1 if piece == "*" else _RUNS.find(piece[2]) + 2
        pieces.append(signs[at : at + count])
        at += count
    return "".join(pieces) if at == len(signs) else ""


def _from_base64(value: str) -> str:
    try:
        return urlsafe_b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4)).decode()
    except ValueError:
        return ""


def _parameter(query: str, name: str) -> str:
    try:
        values = parse_qs(query, max_num_fields=100).get(name, [])
    except ValueError:
        return ""
    return values[0] if len(values) == 1 else ""


def _place(url: str) -> tuple[str, str]:
    """Return host and path; empty if the URL has none."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "", ""
    return (host, parts.path or "/") if parts.scheme in ("http", "https") else ("", "")


def _is_at(host: str, wanted: str) -> bool:
    return host.endswith(wanted) if wanted.startswith(".") else host == wanted
