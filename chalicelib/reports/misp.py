"""MISP events: alone, in arrays, in search results, in feeds.

https://www.misp-standard.org/rfc/misp-standard-core.html. Only attributes of the types ``url`` and ``uri`` that the
event marks as fit for detection (``to_ids``) are taken; a ``link`` is a reference to read, and must never be banned.
"""

from __future__ import annotations

from collections import Counter

from chalicelib.domain.errors import UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl
from chalicelib.reports import reading
from chalicelib.reports.reading import Entries, Json, ParserOptions, clipped, get

_TRUE = (True, "1", "true", "True")  # older servers write strings; 1 equals True


def parse(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read every event of a body. Raises UnreadableReport and TooLarge."""
    entries = Entries(options)
    for index, item in enumerate(_events(reading.read_json(body, options))):
        where = f"event {index}"
        wrapped = reading.as_object(item, where)
        _event(reading.as_object(wrapped.get("Event", wrapped), where), where, entries)
    return entries.report()


def _events(value: Json) -> list[Json]:
    if isinstance(value, list):
        return value
    top = reading.as_object(value, "the body")
    if "response" in top:
        return reading.as_list(top["response"], "response")
    if "Event" in top or "Attribute" in top or "Object" in top:
        return [top]
    if top and all(isinstance(get(one, "info"), str) and get(one, "Attribute") is None for one in top.values()):
        raise UnreadableReport("the body is the manifest of a MISP feed: send the events that it lists")
    raise UnreadableReport("the body is no MISP: send an object with Event, or an array of them")


def _event(event: dict[str, Json], where: str, entries: Entries) -> None:
    attributes = [*reading.listed(event.get("Attribute"))]
    for item in reading.listed(event.get("Object")):
        if get(item, "deleted") not in _TRUE:
            attributes += reading.listed(get(item, "Attribute"))
    reporter = clipped(get(event, "Orgc", "name"), reading.MAX_REPORTER_LENGTH)
    others: Counter[str] = Counter()
    for attribute in attributes:
        kind = get(attribute, "type")
        url = get(attribute, "value")
        if kind not in ("url", "uri") or not isinstance(url, str):
            others[clipped(kind, 40) or "unknown"] += 1
            continue
        place = f"{where}, attribute {clipped(get(attribute, 'uuid'), 36)}"
        if get(attribute, "deleted") in _TRUE:
            entries.skip(place, "the attribute is deleted")
        elif get(attribute, "to_ids") not in _TRUE:
            entries.skip(place, "the attribute is not meant for detection (to_ids is not true)")
        else:
            time = get(attribute, "timestamp") or event.get("timestamp")
            entries.add(
                ReportedUrl(
                    url,
                    category=_category(attribute),
                    reporter=reporter,
                    reported_at=reading.lenient_time(time),
                    note=clipped(get(attribute, "comment"), reading.MAX_NOTE_LENGTH),
                )
            )
    if others:
        kinds = ", ".join(kind for kind, _ in others.most_common(5))
        entries.skip(where, f"{others.total():,} attributes of other types ({kinds}) name no URL")


def _category(attribute: Json) -> str:
    """Prefer a plain tag such as phishing to MISP's own category, which is that of the observation."""
    names = (clipped(get(tag, "name"), reading.MAX_CATEGORY_LENGTH) for tag in reading.listed(get(attribute, "Tag")))
    plain = (name.lower() for name in names if name and ":" not in name)
    return next(plain, "") or clipped(get(attribute, "category"), reading.MAX_CATEGORY_LENGTH)
