"""MISP: events and attributes, alone, in arrays, in search results, in feeds, and as ZeroMQ publishes them.

https://www.misp-standard.org/rfc/misp-standard-core.html. Only attributes of the types ``url`` and ``uri`` that the
event marks as fit for detection (``to_ids``) are taken. A ``link`` is a reference to read, and must never be banned.
Of several versions of one attribute the latest counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from chalicelib.domain.errors import UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl, Withdrawal
from chalicelib.reports import json_text, reading
from chalicelib.reports.entries import Entries, superseded
from chalicelib.reports.reading import Json, ParserOptions, clipped, get

_TOPIC = re.compile(rb"\s*misp_json\w{0,40}\s+")
"""The text that ZeroMQ puts before a message."""

_NAME_NOTHING = frozenset(
    (
        *("Sighting", "Tag", "Log", "User", "Organisation", "ShadowAttribute", "Warninglist", "Galaxy"),
        *("GalaxyCluster", "EventReport", "Noticelist", "Taxonomy", "Conversation", "status", "uptime"),
    )
)
"""Keys of messages that MISP publishes beside events and attributes; ``status`` is its sign of life."""

_CONFIRMED = 'false-positive:confirmed="true"'
"""A tag of MISP's taxonomies."""

_Object = dict[str, Json]


@dataclass(frozen=True, slots=True)
class _Attribute:
    """An attribute and its event. ``deleted``: the message says so of the attribute, its object or its event."""

    fields: _Object
    event: Json
    where: str
    deleted: bool


def parse(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read every event and attribute of a body. Raises UnreadableReport and TooLarge."""
    entries = Entries(options)
    topic = _TOPIC.match(body[:100])
    items = _items(json_text.read_json(body[topic.end() :] if topic else body, options))
    attributes: list[_Attribute] = []
    for where, item in entries.objects(items, "item"):
        attributes += _attributes(item, where, entries)
    older = superseded((clipped(get(each.fields, "uuid"), 36), _version(each)) for each in attributes)
    others: Counter[str] = Counter()
    for index, attribute in enumerate(attributes):
        kind = clipped(attribute.fields.get("type"), 40) or "unknown"
        if kind not in ("url", "uri"):
            others[kind] += 1
        elif index in older:
            entries.skip(attribute.where, "a later version of this attribute is in the report")
        else:
            _take(attribute, entries)
    if others:
        kinds = ", ".join(kind for kind, _ in others.most_common(5))
        entries.skip("the body", f"{others.total():,} attributes of other types ({kinds}) name no URL")
    return entries.report()


def _items(value: Json) -> list[Json]:
    """Return the events, attributes and objects of a body, wrapped or not."""
    if isinstance(value, list):
        return value
    top = reading.as_object(value, "the body")
    if "response" in top:
        response = top["response"]
        return response if isinstance(response, list) else [response]
    # A manifest names its entries by their UUIDs.
    if top and "Event" not in top and all(isinstance(get(entry, "info"), str) for entry in top.values()):
        raise UnreadableReport("the body is the manifest of a MISP feed: send the events that it lists")
    return [top]


def _attributes(item: _Object, where: str, entries: Entries) -> Iterator[_Attribute]:
    """Yield the attributes of one item: an event, an attribute beside or without its event, or an object."""
    deleted = clipped(item.get("action"), 20) in ("delete", "soft-delete")
    event = item.get("Event", item if "info" in item else None)
    holders = [item] if event is item else [item, event]
    attributes = [(fields, deleted) for holder in holders for fields in _one_or_many(get(holder, "Attribute"))]
    for holder in holders:
        for misp_object in _one_or_many(get(holder, "Object")):
            gone = deleted or reading.is_true(get(misp_object, "deleted"))
            attributes += [(fields, gone) for fields in _one_or_many(get(misp_object, "Attribute"))]
    if "type" in item and "value" in item:
        attributes.append((item, deleted))
    elif event is None and not {"Attribute", "Object"} & item.keys():
        if _NAME_NOTHING & item.keys():
            entries.skip(where, "the message is of a kind that names no URL")
        else:
            entries.flaw(where, f"{where} is no MISP: send an object with Event or Attribute, or an array of them")
    for fields, gone in attributes:
        if isinstance(fields, dict):
            place = f"{where}, attribute {clipped(fields.get('uuid'), 36)}"
            withdrawn = gone or reading.is_true(fields.get("deleted"))
            yield _Attribute(fields, event or fields.get("Event"), place, withdrawn)
        else:
            entries.flaw(where, f"an attribute of {where} must be an object, not {reading.kind_of(fields)}")


def _one_or_many(value: Json) -> list[Json]:
    """Return the items of a field. PHP writes an array with gaps as an object with numbers as keys."""
    if value is None:
        return []
    if isinstance(value, dict) and value and all(key.isdecimal() for key in value):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def _version(attribute: _Attribute) -> str:
    """Return the sort key of an attribute's version: its time of change. At the same time, deleted comes last."""
    changed = reading.lenient_time(attribute.fields.get("timestamp"))
    return f"{changed.isoformat(timespec='microseconds') if changed else ''} {attribute.deleted}"


def _take(attribute: _Attribute, entries: Entries) -> None:
    fields, event = attribute.fields, attribute.event
    url = reading.url_text(fields.get("value"))
    if not url:
        entries.flaw(attribute.where, f"{attribute.where} has no value that is a string")
        return
    reporter = clipped(get(event, "Orgc", "name"), reading.MAX_REPORTER_LENGTH)
    said_at = reading.lenient_time(fields.get("timestamp") or get(event, "timestamp"))
    withdrawn = "the attribute is deleted" if attribute.deleted else _why_harmless(fields, event)
    if withdrawn:
        uuid = clipped(fields.get("uuid"), 36)
        entries.withdraw(Withdrawal(url, uuid, reporter, said_at, withdrawn), attribute.where)
    elif not reading.is_true(fields.get("to_ids")):
        entries.skip(attribute.where, "the attribute is not meant for detection (to_ids is not true)")
    else:
        note = clipped(fields.get("comment"), reading.MAX_NOTE_LENGTH)
        entries.add(ReportedUrl(url, _category(fields), reporter, reported_at=said_at, note=note))


def _why_harmless(fields: Json, event: Json) -> str:
    tags = [get(fields, "Tag"), get(fields, "AttributeTag"), get(event, "Tag"), get(event, "EventTag")]
    confirmed = any(_CONFIRMED in reading.words_of(field) for field in tags)
    return "it is tagged as harmless" if confirmed or reading.says_harmless(*tags) else ""


def _category(fields: Json) -> str:
    """Return a plain tag such as phishing, rather than MISP's own category, which describes the observation."""
    names = (clipped(get(tag, "name"), reading.MAX_CATEGORY_LENGTH) for tag in _one_or_many(get(fields, "Tag")))
    plain = (name.lower() for name in names if name and ":" not in name)
    return next(plain, "") or clipped(get(fields, "category"), reading.MAX_CATEGORY_LENGTH)
