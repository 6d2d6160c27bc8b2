"""Links that a mail gateway wrapped: the page that was meant stands inside, and the wrapper's host is none of ours."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

_PARAMETERS: tuple[tuple[str, str, str], ...] = (
    # host or ".domain", beginning of the path, query parameter that holds the page
    (".safelinks.protection.outlook.com", "/", "url"),
    (".safelinks.protection.office365.us", "/", "url"),
    (".safelinks.protection.outlook.cn", "/", "url"),
    ("urldefense.proofpoint.com", "/v1/", "u"),
    ("linkprotect.cudasvc.com", "/url", "a"),
    ("clicktime.symantec.com", "/", "u"),
    ("www.google.com", "/url", "q"),
    ("www.google.com", "/url", "url"),
    ("l.facebook.com", "/l.php", "u"),
    ("slack-redir.net", "/link", "url"),
)
_SHADOWED = ("secure-web.cisco.com", "protect.mimecast.com", ".mimecastprotect.com", "urldefense.com")
"""Hosts of wrappers that do not, or not always, show the page that they lead to."""

_DEFENSE_3 = re.compile(r"https://urldefense\.com/v3/__(https?:/[^*]*?)__;", re.IGNORECASE)
_MAX_LENGTH = 16_384
_MAX_LAYERS = 3


def wrapper_of(url: str) -> str:
    """Return the host of the wrapper that a URL belongs to, or nothing where it is no wrapped link."""
    host, path = _place(url)
    if any(_is_at(host, wanted) and path.startswith(prefix) for wanted, prefix, _ in _PARAMETERS):
        return host
    return host if any(_is_at(host, wanted) for wanted in (*_SHADOWED, "urldefense.proofpoint.com")) else ""


def unwrap_link(url: str) -> str:
    """Return the page that a wrapped link leads to; what is no wrapped link, or does not show its page, as it is."""
    for _ in range(_MAX_LAYERS):
        inner = _inner(url)
        if not inner.lower().startswith(("http://", "https://")):
            break
        url = inner
    return url


def _inner(url: str) -> str:
    if len(url) > _MAX_LENGTH:
        return ""
    shown = _DEFENSE_3.match(url.strip())
    if shown:
        return shown[1]
    host, path = _place(url)
    if not host:
        return ""
    query = urlsplit(url).query
    if host == "urldefense.proofpoint.com" and path.startswith("/v2/"):
        return unquote(_parameter(query, "u").replace("-", "%").replace("_", "/"))
    for wanted, prefix, name in _PARAMETERS:
        if _is_at(host, wanted) and path.startswith(prefix) and _parameter(query, name):
            return _parameter(query, name)
    return ""


def _parameter(query: str, name: str) -> str:
    try:
        values = parse_qs(query, max_num_fields=100).get(name, [])
    except ValueError:
        return ""
    return values[0] if len(values) == 1 else ""


def _place(url: str) -> tuple[str, str]:
    """Return host and path; nothing where the URL has none."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "", ""
    return (host, parts.path or "/") if parts.scheme in ("http", "https") else ("", "")


def _is_at(host: str, wanted: str) -> bool:
    return host.endswith(wanted) if wanted.startswith(".") else host == wanted
