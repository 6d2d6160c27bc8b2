"""The last resort: what a body looks like, where neither configuration nor Content-Type says it."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.domain.errors import InputError
from chalicelib.reports import native
from chalicelib.reports.reading import Json, ParserOptions, get, read_json

_Item = dict[str, Json]


def _has(*fields: str) -> Callable[[_Item], bool]:
    return lambda item: all(field in item for field in fields)


_JSON_MARKS: dict[str, Callable[[_Item], bool]] = {
    "native": lambda item: isinstance(item.get("urls"), list) and item.keys() <= native.REPORT_FIELDS,
    "xarf": lambda item: "xarf_version" in item or ("ReporterInfo" in item and "Report" in item),
    "stix": lambda item: item.get("type") in ("bundle", "indicator") or isinstance(item.get("objects"), list),
    "misp": lambda item: "Event" in item or isinstance(get(item, "response"), list),
    "urlhaus": lambda item: "urlhaus_link" in item or "urlhaus_reference" in item,
    "phishtank": _has("phish_id", "url"),
    "phishunt": _has("uuid", "url", "company"),
    "tweetfeed": _has("user", "type", "value", "tweet"),
    "cloudflare": lambda item: "urls" in item and ("act" in item or "cdate" in item or "submitter" in item),
}
"""Format to what its object, or the first object of its array, looks like."""

_CSV_MARKS: dict[str, frozenset[str]] = {
    "urlhaus": frozenset(("dateadded", "url", "urlhaus_link")),
    "phishtank": frozenset(("phish_id", "url", "phish_detail_url")),
    "phishunt": frozenset(("uuid", "url", "company")),
    "tweetfeed": frozenset(("date", "reporter", "url", "tags")),
}
"""Format to columns that its header names."""

_HEAD = 4_096
"""Bytes at the beginning of a text that are looked at."""


def candidates(body: bytes) -> list[str]:
    """Return the formats that a body may have, in order of the tables above. Does not say whether it is valid."""
    head = body[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith((b"{", b"[")):
        return _json_candidates(body)
    lines = head.decode("utf-8", "replace").splitlines()
    columns = {name.strip(' "').lower() for line in lines[:20] for name in line.lstrip("# ").split(",")}
    found = [name for name, mark in _CSV_MARKS.items() if mark <= columns]
    if any(line.lower().startswith(("content-type: multipart/report", "feedback-type:")) for line in lines):
        found.append("feedback-mail")
    if not found and any(line.lower().startswith(("http://", "https://")) and "," not in line for line in lines):
        found.append("plain")
    return found


def _json_candidates(body: bytes) -> list[str]:
    try:
        value = read_json(body, ParserOptions())
    except InputError:
        return []
    items: list[Json] = value if isinstance(value, list) else [value]
    found = _marked(items[:1])
    if not found and isinstance(value, dict):  # the entries may lie one level down: {"urls": [...]}, {"12": [{...}]}
        found = _marked([entry for inner in value.values() if isinstance(inner, list) for entry in inner[:1]][:1])
    return found


def _marked(items: list[Json]) -> list[str]:
    return [name for name, mark in _JSON_MARKS.items() for item in items if isinstance(item, dict) and mark(item)]
