"""Envelopes that AWS puts around a report on its way into a queue: SNS, EventBridge, S3 events, even one in another."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote_plus

from chalicelib.domain.errors import InputError, UnreadableReport
from chalicelib.reports.json_text import read_json
from chalicelib.reports.reading import Json, ParserOptions, as_list, as_object, get

MAX_ENVELOPES = 3
"""The most envelopes around a body. S3 → SNS and EventBridge → SNS are usual; more than these are a mistake."""

NO_OBJECT = "an event of S3 that creates no object"

_NOT_A_REPORT = re.compile(
    r"_\$folder\$$|(?:^|/)(?:_SUCCESS|_started_\w+|_committed_\w+|AMAZON_SES_SETUP_NOTIFICATION)$"
    r"|(?:^|/)(?:\.|_temporary/|__MACOSX/|AWSLogs/)"
    r"|(?:^|/)(?:ConfigWritabilityCheckFile|ELBAccessLogTestFile|aws-programmatic-access-test-object)$",
)
"""Keys of objects that are no reports: marks that jobs leave, and objects that AWS services put beside reports."""

_MARKS = (b'"TopicArn"', b'"detail-type"', b'"Records"', b"s3:TestEvent")
_OPTIONS = ParserOptions(max_depth=64)  # the format's own limit counts from inside the envelope


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """An object in a bucket that holds the body. The caller decides whether it may fetch from that bucket."""

    bucket: str
    key: str
    version_id: str = ""
    size: int | None = None
    """In bytes, as the event says, to refuse the object without fetching it."""


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A body, or references to objects, or neither: then ``nothing`` says in words why there is nothing to do."""

    body: bytes = b""
    attributes: Mapping[str, str] | None = None
    objects: tuple[ObjectReference, ...] = ()
    nothing: str = ""


def unwrap(body: str, attributes: Mapping[str, str]) -> Unwrapped:
    """Take a queue message out of its envelopes. A message without an envelope is returned as it is.

    Attributes of the queue message win over those of an envelope; the ``source`` of an EventBridge event, which
    can have no message attributes, counts as the attribute of that name. Raises UnreadableReport at a broken S3 event.
    """
    unwrapped = Unwrapped(body.encode("utf-8", "surrogatepass"), dict(attributes))
    for _ in range(MAX_ENVELOPES):
        inner = _open(unwrapped)
        if inner is None:
            return unwrapped
        if inner.objects or inner.nothing:
            return inner
        unwrapped = inner
    return unwrapped


def _open(outer: Unwrapped) -> Unwrapped | None:
    """Open one envelope, or return ``None`` if there is none."""
    message = _message(outer.body)
    if "TopicArn" in message and "Type" in message:
        return _from_sns(message, outer)
    if "detail-type" in message and "detail" in message:
        return _from_eventbridge(message, outer)
    if message.get("Event") == "s3:TestEvent":
        return replace(outer, body=b"", nothing="a test event that S3 sends when notifications are set up")
    records = message.get("Records")
    if isinstance(records, list) and all(get(record, "eventSource") == "aws:s3" for record in records):
        return _from_s3(records, outer)
    return None


def _message(body: bytes) -> dict[str, Json]:
    """Decode a possible envelope; empty if the message is no envelope. Most are none, and are not decoded twice."""
    if not body.lstrip().startswith(b"{") or not any(mark in body for mark in _MARKS):
        return {}
    try:
        return as_object(read_json(body, _OPTIONS), "the message")
    except InputError:
        return {}  # the parser of its format will say what is wrong


def _from_sns(message: dict[str, Json], outer: Unwrapped) -> Unwrapped | None:
    """See https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html."""
    if message["Type"] != "Notification":
        return replace(outer, body=b"", nothing=f"an SNS message of the type {str(message['Type'])[:40]}")
    text = message.get("Message")
    if not isinstance(text, str):
        return None
    given = message.get("MessageAttributes")
    inner = {
        name: value
        for name, attribute in (given.items() if isinstance(given, dict) else ())
        if isinstance(value := get(attribute, "Value"), str)
    }
    return replace(outer, body=text.encode("utf-8", "replace"), attributes={**inner, **(outer.attributes or {})})


def _from_eventbridge(event: dict[str, Json], outer: Unwrapped) -> Unwrapped:
    """See https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html."""
    source, detail = event.get("source"), event["detail"]
    if source == "aws.s3":
        if event["detail-type"] != "Object Created":
            return replace(outer, body=b"", nothing=NO_OBJECT)
        # Unlike in notifications, the key is not URL-encoded here.
        return _of_objects([_reference(detail, "versionId", "version-id")], outer)
    attributes = {"source": source} if isinstance(source, str) else {}
    # A value that cannot be trusted becomes NaN, which is no JSON either: its reader refuses only that value.
    body = detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False, default=lambda _: math.nan)
    return replace(outer, body=body.encode("utf-8", "replace"), attributes={**attributes, **(outer.attributes or {})})


def _from_s3(records: list[Json], outer: Unwrapped) -> Unwrapped:
    """See https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html."""
    references = []
    for record in as_list(records, "Records"):
        name = get(record, "eventName")
        if isinstance(name, str) and name.startswith("ObjectCreated:"):
            reference = _reference(get(record, "s3"), "versionId")
            references.append(replace(reference, key=unquote_plus(reference.key)))
    return _of_objects(references, outer)


def _of_objects(references: list[ObjectReference], outer: Unwrapped) -> Unwrapped:
    reports = tuple(reference for reference in references if not _is_no_report(reference))
    if reports:
        return replace(outer, body=b"", objects=reports)
    nothing = "an event of S3 of a folder, or of an object that is no report" if references else NO_OBJECT
    return replace(outer, body=b"", nothing=nothing)


def _is_no_report(reference: ObjectReference) -> bool:
    is_folder = reference.key.endswith("/") and not reference.size
    return is_folder or _NOT_A_REPORT.search(reference.key) is not None


def _reference(value: Json, *version_fields: str) -> ObjectReference:
    bucket, key = get(value, "bucket", "name"), get(value, "object", "key")
    if not isinstance(bucket, str) or not isinstance(key, str) or not bucket or not key:
        raise UnreadableReport("the event of S3 names no bucket and key")
    size = get(value, "object", "size")
    versions = [get(value, "object", field) for field in version_fields]
    version = next((text for text in versions if isinstance(text, str)), "")
    return ObjectReference(bucket, key, version, size if type(size) is int and size >= 0 else None)
