"""Messages of SNS, EventBridge and S3 are unwrapped; every other message stays as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.errors import UnreadableReport
from chalicelib.reports import ParserOptions, parse
from chalicelib.reports.envelope import ObjectReference, unwrap

REPORT = '{"urls":["https://example.com/ü"]}'


def sns(message: str, attributes: Mapping[str, object] | None = None) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "m-1",
            "TopicArn": "arn:aws:sns:eu-central-1:000000000000:reports",
            "Message": message,
            "MessageAttributes": attributes or {},
        }
    )


def event(source: str, detail_type: str, detail: object) -> str:
    return json.dumps({"version": "0", "id": "1", "source": source, "detail-type": detail_type, "detail": detail})


def records(*names: str, key: str = "in/a+b%2Bc%C3%BC.json") -> str:
    entity = {"bucket": {"name": "intake"}, "object": {"key": key, "size": 12, "versionId": "v1"}}
    return json.dumps({"Records": [{"eventSource": "aws:s3", "eventName": name, "s3": entity} for name in names]})


NO_REPORTS = (
    *("desk/_SUCCESS", "desk/.DS_Store", "desk/AWSLogs/1/x.gz", "desk/AMAZON_SES_SETUP_NOTIFICATION"),
    *("desk/_temporary/0/part-0.json", "desk/.aws-datasync/x.json", "__MACOSX/a.json", "desk/a_%24folder%24"),
)


@pytest.mark.parametrize(
    "body", [REPORT, "https://example.com/", "", "[]", "{", '{"Records": 1}', '{"Records": [', '{"TopicArn": 1}']
)
def test_a_bare_body_comes_back_as_it_is(body: str) -> None:
    unwrapped = unwrap(body, {"source": "desk"})
    assert unwrapped.body == body.encode()
    assert unwrapped.attributes == {"source": "desk"}
    assert not unwrapped.objects
    assert not unwrapped.nothing


def test_an_sns_notification_gives_its_message_and_its_attributes() -> None:
    attributes = {"source": {"Type": "String", "Value": "desk"}, "n": {"Type": "Number", "Value": "1"}, "odd": 1}
    unwrapped = unwrap(sns(REPORT, attributes), {})
    assert unwrapped.body == REPORT.encode()
    assert unwrapped.attributes == {"source": "desk", "n": "1"}


def test_attributes_of_the_queue_message_win_over_those_of_the_envelope() -> None:
    unwrapped = unwrap(sns(REPORT, {"source": {"Type": "String", "Value": "forged"}}), {"source": "desk"})
    assert unwrapped.attributes == {"source": "desk"}


def test_an_eventbridge_event_gives_its_detail_and_its_source() -> None:
    unwrapped = unwrap(event("desk", "AbuseReport", json.loads(REPORT)), {})
    assert json.loads(unwrapped.body) == json.loads(REPORT)
    assert unwrapped.attributes == {"source": "desk"}
    assert unwrap(event("desk", "AbuseReport", {}), {"source": "queue"}).attributes == {"source": "queue"}


def test_an_s3_event_gives_references_to_created_objects_with_decoded_keys() -> None:
    unwrapped = unwrap(records("ObjectCreated:Put", "ObjectRemoved:Delete", "ObjectCreated:Copy"), {})
    reference = ObjectReference("intake", "in/a b+cü.json", "v1", 12)
    assert unwrapped.objects == (reference, reference)
    assert unwrapped.body == b""


def test_an_s3_event_by_eventbridge_has_a_key_that_is_not_encoded() -> None:
    detail = {"bucket": {"name": "intake"}, "object": {"key": "in/a+b.json", "size": 3, "version-id": "v2"}}
    unwrapped = unwrap(event("aws.s3", "Object Created", detail), {})
    assert unwrapped.objects == (ObjectReference("intake", "in/a+b.json", "v2", 3),)
    assert unwrap(event("aws.s3", "Object Deleted", detail), {}).nothing


def test_an_s3_event_inside_an_sns_notification_is_unwrapped_twice() -> None:
    assert unwrap(sns(records("ObjectCreated:Put")), {}).objects[0].bucket == "intake"
    assert unwrap(sns(sns(REPORT)), {}).body == REPORT.encode()


@pytest.mark.parametrize(
    "body",
    [
        '{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"intake"}',
        sns('{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"intake"}'),
        records("ObjectRemoved:Delete"),
        '{"Type":"SubscriptionConfirmation","TopicArn":"arn:aws:sns:x","Token":"t"}',
        *(records("ObjectCreated:Put", key=key) for key in NO_REPORTS),
    ],
)
def test_messages_that_carry_no_report_say_why_there_is_nothing_to_do(body: str) -> None:
    unwrapped = unwrap(body, {})
    assert unwrapped.nothing
    assert not unwrapped.body
    assert not unwrapped.objects


@pytest.mark.parametrize(
    "s3", [{}, {"bucket": {"name": "b"}}, {"bucket": {"name": "b"}, "object": {"key": ""}}, 1, None]
)
def test_an_s3_event_without_bucket_or_key_is_unreadable(s3: object) -> None:
    body = json.dumps({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]})
    with pytest.raises(UnreadableReport, match="no bucket and key"):
        unwrap(body, {})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda v: st.lists(v, max_size=2)
)
FIELDS = st.sampled_from(
    ["Type", "TopicArn", "Message", "MessageAttributes", "Records", "detail", "detail-type", "source", "Event"]
)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=30) | st.dictionaries(FIELDS, VALUES, min_size=1).map(json.dumps))
def test_arbitrary_messages_raise_nothing(body: str) -> None:
    unwrap(body, {})


@pytest.mark.parametrize("value", ["NaN", "9" * 5_000, '{"a": 1, "a": 2}', '"\\ud800"'])
def test_a_value_that_cannot_be_trusted_spoils_no_event_but_itself(value: str) -> None:
    detail = f'{{"urls": ["https://www.example.com/a", {value}]}}'
    unwrapped = unwrap(f'{{"detail-type": "Report", "source": "queue", "detail": {detail}}}', {})
    report = parse(unwrapped.body, "native", ParserOptions())
    assert report.urls[0].url == "https://www.example.com/a"


def test_the_key_of_an_s3_event_in_an_sns_notification_is_decoded_once() -> None:
    """S3 writes a space as a plus and a plus as %2B, also inside SNS."""
    record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}
    s3 = {"bucket": {"name": "intake"}, "object": {"key": "desk/day+one%2B.csv", "size": 9}}
    (reference,) = unwrap(sns(json.dumps({"Records": [{**record, "s3": s3}]})), {}).objects
    assert reference.key == "desk/day one+.csv"
