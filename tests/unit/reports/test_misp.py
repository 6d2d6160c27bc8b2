"""Documents as MISP sends them: events, feeds, answers of restSearch, messages of ZeroMQ, single attributes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.domain.errors import UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl
from chalicelib.reports import ParserOptions, parse

PAGE = "https://shop.example.com/login"
WHEN = datetime(2026, 1, 15, 0, 23, 47, tzinfo=UTC)


def read(value: Any) -> ParsedReport:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse(body, "misp", ParserOptions())


def attribute(**fields: Any) -> dict[str, Any]:
    return {
        "id": "306360",
        "event_id": "3",
        "type": "url",
        "category": "Network activity",
        "to_ids": True,
        "uuid": "a1",
        "timestamp": "1768436627",
        "deleted": False,
        "value": PAGE,
        **fields,
    }


def event(**fields: Any) -> dict[str, Any]:
    return {"id": "3", "info": "phish", "timestamp": "1768436627", "Orgc": {"name": "ORG"}, **fields}


EVENT = event(Attribute=[attribute()])
ALONE = attribute(Event=event())
SHAPES: dict[str, Any] = {
    "an event": {"Event": EVENT},
    "an event that is not wrapped": EVENT,
    "events": [{"Event": EVENT}],
    "events that are not wrapped": [EVENT],
    "an answer of events/restSearch": {"response": [{"Event": EVENT}]},
    "an answer of one event": {"response": {"Event": EVENT}},
    "an answer of attributes/restSearch": {"response": {"Attribute": [ALONE]}},
    "an answer of objects/restSearch": {
        "response": [{"Object": {"name": "url", "Attribute": [attribute()], "Event": {}}, "Event": event()}]
    },
    "attributes": {"Attribute": [ALONE]},
    "one attribute": {"Attribute": ALONE},
    "a bare array of attributes": [ALONE],
    "an array of wrapped attributes": [{"Attribute": ALONE}],
    "a bare attribute": ALONE,
    "an attribute beside its event, by ZeroMQ": {"Attribute": attribute(), "Event": event(), "action": "add"},
    "an object beside its event, by ZeroMQ": {
        "Object": {"Attribute": [attribute()]},
        "Event": event(),
        "action": "edit",
    },
    "an event of objects alone": {"Event": event(Object=[{"name": "url", "Attribute": [attribute()]}])},
    "an array that PHP wrote as an object": {"Event": event(Attribute={"0": attribute()})},
    "an event by ZeroMQ": {"Event": EVENT, "action": "edit"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_in_which_misp_sends_an_attribute_is_read(shape: str) -> None:
    report = read(SHAPES[shape])
    assert report.urls == (ReportedUrl(PAGE, "Network activity", "ORG", None, WHEN),)
    assert report.skipped == ()


@pytest.mark.parametrize("topic", [b"misp_json ", b"misp_json_attribute ", b"  misp_json_object\n"])
def test_the_topic_in_front_of_a_message_of_zeromq_is_left_out(topic: bytes) -> None:
    assert len(read(topic + json.dumps(SHAPES["an event by ZeroMQ"]).encode()).urls) == 1


@pytest.mark.parametrize("action", ["delete", "soft-delete"])
@pytest.mark.parametrize("shape", [name for name in SHAPES if "ZeroMQ" in name])
def test_what_zeromq_says_is_deleted_is_taken_back(shape: str, action: str) -> None:
    report = read({**SHAPES[shape], "action": action})
    assert report.urls == ()
    assert [(gone.url, gone.id, gone.reporter, gone.said_at) for gone in report.withdrawals] == [
        (PAGE, "a1", "ORG", WHEN)
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"deleted": True},
        {"deleted": "1"},
        {"Tag": [{"name": 'false-positive:confirmed="true"'}]},
        {"deleted": "TRUE"},
        {"deleted": "yes"},
        {"Tag": [{"name": "Benign"}]},
        {"Tag": {"name": "benign"}},
        {"Tag": ["benign"]},
        {"Tag": [{"name": "misp:false-positive"}]},
        {"Tag": [{"name": 'my-workflow:analysis="false-positive"'}]},
        {"AttributeTag": [{"Tag": {"name": "false-positive"}}]},
        {"deleted": True, "to_ids": False},
    ],
)
def test_an_attribute_that_is_deleted_or_a_false_positive_is_a_withdrawal(fields: dict[str, Any]) -> None:
    report = read([attribute(**fields)])
    assert report.urls == ()
    assert [gone.url for gone in report.withdrawals] == [PAGE]


def test_an_event_that_is_tagged_as_harmless_accuses_nobody() -> None:
    assert read({"Event": event(Attribute=[attribute()], Tag=[{"name": "false-positive"}])}).urls == ()
    tags = [{"Tag": {"name": "false-positive"}}]
    assert read({"Event": event(Attribute=[attribute()], EventTag=tags)}).urls == ()


@pytest.mark.parametrize("name", ['false-positive:risk="high"', 'false-positive:confirmed="false"', "tlp:clear"])
def test_a_tag_that_only_speaks_of_harmless_pages_changes_nothing(name: str) -> None:
    assert len(read([attribute(Tag=[{"name": name}])]).urls) == 1


@pytest.mark.parametrize(
    "fields",
    [{"to_ids": False}, {"to_ids": "0"}, {"to_ids": None}, {"type": "link"}, {"type": "domain"}, {"type": None}],
)
def test_what_is_no_url_for_detection_is_skipped_and_told(fields: dict[str, Any]) -> None:
    report = read([attribute(**fields)])
    assert (report.urls, report.withdrawals) == ((), ())
    assert report.parts_skipped == 1


def test_the_latest_version_of_an_attribute_stands() -> None:
    later = attribute(timestamp="1768436628", deleted=True)
    for order in ([attribute(), later], [later, attribute()]):
        report = read(order)
        assert report.urls == ()
        assert len(report.withdrawals) == 1
    assert len(read([later, attribute(timestamp="1768436629")]).urls) == 1


@pytest.mark.parametrize(
    "message",
    [
        {"Sighting": {"id": "1"}},
        {"Tag": {"name": "x"}, "action": "add"},
        {"status": "And when you're dead I will be still alive.", "uptime": 60},
        {"ShadowAttribute": {"type": "url", "value": PAGE}},
    ],
)
def test_what_misp_publishes_beside_events_names_nothing_and_is_told(message: dict[str, Any]) -> None:
    report = read(message)
    assert report.urls == ()
    assert report.skipped[0].reason == "the message is of a kind that names no URL"


def test_one_bad_attribute_or_item_does_not_spoil_the_others() -> None:
    report = read([{"Event": event(Attribute=[1, attribute(value=["x"]), attribute(uuid="a2")])}, None, {"x": 1}])
    assert [entry.url for entry in report.urls] == [PAGE]
    assert report.parts_skipped == 4


def test_a_document_that_is_not_of_misp_is_refused() -> None:
    for value in ({"x": 1}, [{"x": 1}], [1], {"response": [1]}):
        with pytest.raises(UnreadableReport, match=r"no MISP|must be an object"):
            read(value)
    assert read({"response": []}) == ParsedReport(())
