"""A report is answered at once, recorded and queued; a refused request leaves nothing but a count."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import (
    BadSignature,
    Conflict,
    InputError,
    LedgerUnavailable,
    TooLarge,
    TooManyRequests,
    UnknownFormat,
    UnreadableReport,
)
from chalicelib.domain.urls import canonical_url
from chalicelib.ledger import refused_at_door, reports
from chalicelib.pipeline.intake.deliveries import Receipt
from chalicelib.pipeline.intake.receive import MAX_BODY
from chalicelib.reports.signature import sign
from dev.fakes.rows import MemoryRows, size
from dev.fakes.world import POLICY, SECRET, SOURCES, START, World, pages
from dev.fakes.wrappers import Each, Meanwhile

OLD_SECRET = "whsec_" + "b2xkc2Vj" * 5
FOREIGN = "https://www.example.edu/page"
PROTECTED = [{"host": "www.example.com", "comment": "ours"}]
SQS_BYTES = 256 * 1024
"""What every SQS queue takes, bodies and attributes together."""

ITEM_BYTES = 400 * 1024
"""What DynamoDB takes as one row."""


def memory(world: World) -> MemoryRows:
    assert isinstance(world.rows, MemoryRows)
    return world.rows


def with_source(**fields: Any) -> World:
    return World(sources=parse_sources({**SOURCES, "desk": {**SOURCES["desk"], **fields}}))


def with_policy(**fields: Any) -> World:
    return World(policy=parse_policy({**POLICY, **fields}))


def recorded(world: World, receipt: Receipt) -> reports.Report:
    report = reports.read(world.rows, receipt.report_id)
    assert report
    return report


def queued_urls(world: World) -> list[str]:
    """Return the URLs in the queue, read as intake reads them."""
    return [
        each if isinstance(each, str) else each["url"]
        for message in world.queued
        for each in json.loads(message["body"])["urls"]
    ]


def untouched(world: World) -> bool:
    return not memory(world).rows and not world.queued and not world.events("report_received")


def only_counted(world: World, **counts: int) -> bool:
    """Whether these counts of refusals are all that is left of a report of the desk."""
    keys, today = list(memory(world).rows), world.clock().date()
    nothing_else = keys == [("report#refused#desk", f"{today}")] and not world.queued
    return nothing_else and refused_at_door.read(world.rows, ["desk", "other"], today) == {"desk": counts}


# --- receipts -------------------------------------------------------------------------------------------------------


def test_a_report_is_recorded_queued_and_answered_with_its_id() -> None:
    world = World()
    receipt = world.post({"urls": pages(3), "correlation_id": "case-17"})

    assert receipt.accepted == 3
    assert receipt.refusals == ()
    assert receipt.correlation_id == "case-17"
    report = recorded(world, receipt)
    assert report.urls == tuple(pages(3))
    assert (report.source, report.received_at, report.correlation_id) == ("desk", world.clock(), "case-17")
    assert queued_urls(world) == pages(3)


def test_the_report_id_depends_on_the_source_and_the_webhook_id_alone() -> None:
    world = World(sources=parse_sources({**SOURCES, "other": SOURCES["desk"]}))
    first = world.post({"urls": pages(1)}).report_id

    assert World().post({"urls": pages(2)}).report_id == first
    assert world.post({"urls": pages(1)}, webhook_id="w2").report_id != first
    assert world.post({"urls": pages(1)}, source="other").report_id != first


def test_a_url_named_twice_is_accepted_once() -> None:
    world = World()

    assert world.post({"urls": [*pages(2), *pages(2)]}).accepted == 2


def test_what_the_source_or_the_url_says_travels_with_the_url() -> None:
    world = with_source(ban_days=14)
    world.post({"urls": [pages(2)[0], {"url": pages(2)[1], "category": "malware", "ban_duration": 3}]})

    document = json.loads(world.queued[0]["body"])
    said = [{**{name: document[name] for name in document if name != "urls"}, **each} for each in document["urls"]]
    assert [(each["category"], each["ban_duration"]) for each in said] == [("phishing", 14), ("malware", 3)]
    assert world.queued[0]["messageAttributes"]["source"]["stringValue"] == "desk"


def test_a_report_of_which_nothing_can_be_banned_is_a_report_all_the_same() -> None:
    world = World()
    receipt = world.post({"urls": [FOREIGN]})

    assert receipt.accepted == 0
    assert world.queued == []
    assert world.report_states(receipt.report_id) == {FOREIGN: "rejected"}


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "url", "verdict", "rule"),
    [
        ({}, FOREIGN, "rejected", "not_managed"),
        ({}, "https://example.com.evil.example/x", "rejected", "not_managed"),
        ({}, "https://192.0.2.7/x", "rejected", "not_managed"),
        ({}, "ftp://www.example.com/x", "rejected", "unusable_url"),
        ({}, "hxxps://www.example.com/x", "rejected", "unusable_url"),
        ({}, "https://[::1", "rejected", "unusable_url"),
        ({}, "www.example.com/x", "rejected", "unusable_url"),
        ({"protected": PROTECTED}, "https://www.example.com/x", "suppressed", "protected"),
        ({"bare_hosts": "reject"}, "https://www.example.com/", "rejected", "bare_host"),
    ],
)
def test_what_needs_no_ledger_is_refused_at_once_with_rule_and_reason(
    policy: dict[str, Any], url: str, verdict: str, rule: str
) -> None:
    world = with_policy(**policy)
    good = "https://img.example.com/good"
    receipt = world.post({"urls": [url, good]})

    (refusal,) = receipt.refusals
    assert (refusal.url, refusal.verdict, refusal.rule) == (url, verdict, rule)
    assert refusal.reason
    assert receipt.accepted == 1
    assert queued_urls(world) == [good]
    assert world.report_states(receipt.report_id)[url] == verdict


def test_a_source_may_not_report_hosts_outside_its_own() -> None:
    world = with_source(hosts=["img.example.com"])
    receipt = world.post({"urls": ["https://img.example.com/x", "https://www.example.com/x"]})

    assert queued_urls(world) == ["https://img.example.com/x"]
    assert [each.rule for each in receipt.refusals] == ["not_managed"]


def test_a_source_that_may_report_no_host_at_all_bans_nothing() -> None:
    world = with_source(hosts=[])

    assert world.post({"urls": pages(1)}).accepted == 0


def test_a_long_unusable_url_is_repeated_in_part_only() -> None:
    world = World()
    receipt = world.post({"urls": ["x" * 5_000]})

    assert len(receipt.refusals[0].url) == 200


def test_parts_of_a_report_that_name_nothing_are_said_to_be_skipped() -> None:
    world = with_source(format="tweetfeed")
    receipt = world.post(b"2026-01-15 08:00:00,someone,url,https://www.example.com/x,#phishing,\nno,row\n")

    assert receipt.accepted + len(receipt.refusals) + len(receipt.skipped) >= 1
    assert all(where and reason for where, reason in receipt.skipped)


# --- the same report again --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 1_500])
def test_the_same_report_again_is_the_same_report_and_has_no_second_effect(count: int) -> None:
    world = World()
    first = world.post({"urls": [*pages(count), FOREIGN]})
    before = dict(memory(world).rows)
    world.clock.advance(seconds=30)
    again = world.post({"urls": [*pages(count), FOREIGN]})

    assert again == first
    assert memory(world).rows.keys() == before.keys()
    assert recorded(world, again).received_at == world.clock() - timedelta(seconds=30)
    world.minutes(3)
    assert world.states(pages(count)[-3:]) == {"banned": min(count, 3)}
    assert sum(len(urls) for _, urls, _ in world.vendor.calls) == count


def test_what_was_refused_later_is_told_once_however_often_the_report_comes() -> None:
    world = World()
    receipt = world.post({"urls": ["https://www.example.com/x"]})
    world.post({"urls": ["https://www.example.com/x"]})
    world.policy = parse_policy({**POLICY, "protected": PROTECTED})  # The policy changes after the report.
    world.intake()

    assert [each.rule for each in recorded(world, receipt).refusals] == ["protected"]


def test_a_report_that_is_sent_again_and_again_leaves_no_more_rows_than_once() -> None:
    """Neither refusals at once, nor those of intake, nor other bodies under the same id add rows."""
    world = World()
    document = {"urls": [*pages(1_500), FOREIGN, *(f"https://www.example.com/{'é' * 60}/{n}" for n in range(50))]}
    receipt = world.post(document)
    world.policy = parse_policy({**POLICY, "protected": PROTECTED})  # Intake refuses all of them now.
    while world.queued:
        world.intake()
    rows = {key for key in memory(world).rows if key[0].startswith("report#")}
    for number in range(5):
        world.clock.advance(seconds=1)
        world.post(document)
        with pytest.raises(Conflict):
            world.post({"urls": [*pages(1_200 + number), FOREIGN]})
        while world.queued:
            world.intake()
    assert {key for key in memory(world).rows if key[0].startswith("report#")} == rows
    assert len(recorded(world, receipt).refusals) == 1_551


@pytest.mark.parametrize("first_count", [3, 2_500])
@pytest.mark.parametrize("other_count", [2, 1_200, 4_000])
def test_another_body_under_the_same_webhook_id_changes_nothing(first_count: int, other_count: int) -> None:
    world = World()
    first = world.post({"urls": pages(first_count)})
    with pytest.raises(Conflict, match="webhook-id"):
        world.post({"urls": [*pages(other_count, host="img.example.com"), FOREIGN]})

    assert recorded(world, first).urls == tuple(pages(first_count))
    assert recorded(world, first).refusals == ()
    assert queued_urls(world) == pages(first_count)
    assert len(world.events("report_received")) == 1


@pytest.mark.parametrize("method", ["write", "get"])
@pytest.mark.parametrize("before", [True, False])
def test_one_of_two_bodies_at_the_same_time_is_accepted_whole(method: str, before: bool) -> None:
    """The second request comes between two steps of the first."""
    rows = MemoryRows()
    other = World(rows=rows)
    accepted: list[tuple[Receipt, list[str]]] = []

    def post(world: World, urls: list[str]) -> None:
        try:
            accepted.append((world.post({"urls": [*urls, FOREIGN]}), urls))
        except Conflict:
            assert world.queued == []

    one = World(rows=Meanwhile(rows, method, lambda: post(other, pages(1_200, "img.example.com")), before=before))
    post(one, pages(1_500))

    ((receipt, urls),) = accepted
    assert recorded(World(rows=rows), receipt).urls == tuple(urls)
    assert queued_urls(one) + queued_urls(other) == urls


# --- sizes -------------------------------------------------------------------------------------------------------


def test_ten_thousand_urls_are_split_over_messages_and_none_is_lost() -> None:
    world = World()
    urls = [f"https://www.example.com/{'long-path/' * (number % 17)}{number}" for number in range(10_000)]
    receipt = world.post({"urls": urls})

    assert receipt.accepted == 10_000
    assert len(world.queued) >= 10
    assert queued_urls(world) == urls
    assert recorded(world, receipt).urls == tuple(urls)


AWKWARD: dict[str, Callable[[int], dict[str, str]]] = {
    "many bytes a character": lambda n: {"note": f"{n}" + "例え" * 400, "reporter": f"{n}" + "\U0001f600" * 190},
    "many bytes an escape": lambda n: {"note": f"{n}" + '\x01"\\' * 300},
    "long categories": lambda n: {"category": f"{n:05}" + "例" * 59},
    "all that is allowed": lambda n: {"note": f"{n:04}" + "\x02" * 990, "category": f"{n:04}" + "\U0001f600" * 60},
}


@pytest.mark.parametrize("case", AWKWARD)
def test_no_message_outgrows_the_queue_and_no_row_the_table(case: str) -> None:
    world = World()
    urls = [{"url": f"https://www.example.com/{n}", **AWKWARD[case](n)} for n in range(500)]
    world.post(json.dumps({"urls": urls}, ensure_ascii=False).encode())

    assert len(queued_urls(world)) == 500
    for message in world.queued:
        attributes = sum(len(n) + len(v["stringValue"]) + 6 for n, v in message["messageAttributes"].items())
        assert len(message["body"].encode()) + attributes <= SQS_BYTES
    assert all(size(row) <= ITEM_BYTES for row in memory(world).rows.values())


def test_urls_of_the_greatest_length_fit_messages_and_rows() -> None:
    world = World()
    urls = [canonical_url(f"https://www.example.com/{n}?" + "\\" * 8_000) for n in range(200)]
    receipt = world.post({"urls": urls})

    assert queued_urls(world) == urls
    assert recorded(world, receipt).urls == tuple(urls)
    assert all(len(message["body"].encode()) < SQS_BYTES for message in world.queued)
    assert all(size(row) <= ITEM_BYTES for row in memory(world).rows.values())


def test_refused_urls_of_any_characters_fit_the_rows() -> None:
    world = World()
    dice = random.Random(1)
    astral = ["".join(chr(dice.randrange(0x10000, 0x20000)) for _ in range(200)) for _ in range(3_000)]
    receipt = world.post(json.dumps({"urls": astral}, ensure_ascii=False).encode())

    assert len(recorded(world, receipt).refusals) == 3_000
    assert all(size(row) <= ITEM_BYTES for row in memory(world).rows.values())


def test_refusals_of_more_than_a_row_are_all_recorded() -> None:
    world = World()
    foreign = [f"https://www.example.edu/{'x' * 300}/{number}" for number in range(3_000)]
    receipt = world.post({"urls": [*foreign, *pages(1_001)]})

    assert len(receipt.refusals) == 3_000
    report = recorded(world, receipt)
    assert [each.url for each in report.refusals] == foreign
    assert len(report.urls) == 1_001
    assert all(size(row) <= ITEM_BYTES for row in memory(world).rows.values())


# --- what is refused ----------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[type[InputError], int, Any]] = {
    "no text": (UnreadableReport, 400, b"\xff\xfe"),
    "no JSON": (UnreadableReport, 400, b"{"),
    "no report": (UnreadableReport, 400, b"[]"),
    "no URL": (UnreadableReport, 400, {"urls": []}),
    "a field that nobody knows": (UnreadableReport, 400, {"urls": pages(1), "ban_durations": 3}),
    "a ban of 31 days": (UnreadableReport, 400, {"urls": pages(1), "ban_duration": 31}),
    "too many URLs": (TooLarge, 413, {"urls": pages(10_001)}),
    "too many bytes": (TooLarge, 413, b" " * (MAX_BODY + 1)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_report_is_refused_and_leaves_nothing_but_a_count(case: str) -> None:
    error, http_status, document = REFUSED[case]
    world = with_source(format="native")
    with pytest.raises(error) as caught:
        world.post(document)

    assert caught.value.status == http_status
    assert untouched(world) if case == "too many bytes" else only_counted(world, **{caught.value.code: 1})


def test_a_body_of_the_greatest_size_is_read() -> None:
    world = World()
    body = json.dumps({"urls": pages(1)}).encode()

    assert world.post(body + b" " * (MAX_BODY - len(body))).accepted == 1


def test_a_content_type_without_a_format_is_refused_and_leaves_nothing_but_a_count() -> None:
    world = World()
    with pytest.raises(UnknownFormat) as caught:
        world.post({"urls": pages(1)}, headers={"Content-Type": "image/png"})

    assert caught.value.status == 415
    assert only_counted(world, unknown_format=1)


def test_what_is_refused_of_a_source_is_counted_by_kind_and_a_repeated_report_once() -> None:
    world = with_source(format="native", reports_per_minute=3)
    foreign = ["https://elsewhere.org/1", "https://elsewhere.org/2", "not a url"]
    for _ in range(2):
        world.post({"urls": [*pages(1), *foreign]}, webhook_id="w1")
    with pytest.raises(Conflict):
        world.post({"urls": pages(2)}, webhook_id="w1")
    with pytest.raises(TooManyRequests):
        world.post({"urls": pages(2)}, webhook_id="w2")
    counts = refused_at_door.read(world.rows, ["desk"], world.clock().date())
    assert counts == {"desk": {"url_rejected": 3, "conflict": 1, "too_many_requests": 1}}


def test_a_refusal_is_told_also_where_it_cannot_be_counted() -> None:
    def unavailable(_add: object, *_: object, **__: object) -> None:
        raise LedgerUnavailable("throttled for long")

    world = with_source(format="native", reports_per_minute=0)
    world.rows = Each(world.rows, unavailable, "add")
    with pytest.raises(UnreadableReport):
        world.post(b"{")


UNSIGNED: dict[str, dict[str, Any]] = {
    "another secret": {"secret": OLD_SECRET},
    "six minutes old": {"at": World().clock() - timedelta(minutes=6)},
    "six minutes ahead": {"at": World().clock() + timedelta(minutes=6)},
    "no signature": {"headers": {"webhook-signature": ""}},
    "another id": {"headers": {"webhook-id": "w2"}},
    "an unknown source": {"source": "nobody"},
    "a source that has only a queue": {"source": "queue"},
}


@pytest.mark.parametrize("case", UNSIGNED)
def test_who_cannot_prove_who_they_are_gets_401_and_leaves_nothing(case: str) -> None:
    world = with_source(reports_per_minute=1)
    with pytest.raises(BadSignature) as caught:
        world.post({"urls": pages(1)}, **UNSIGNED[case])

    assert caught.value.status == 401
    assert untouched(world)


def test_a_body_that_was_changed_on_the_way_is_refused() -> None:
    world = World()
    stamp = int(world.clock().timestamp())
    genuine = sign(SECRET, "w1", stamp, json.dumps({"urls": pages(1)}).encode())
    with pytest.raises(BadSignature):
        world.post({"urls": pages(2)}, headers={"webhook-signature": genuine})

    assert untouched(world)


@pytest.mark.parametrize(
    "request_", [{}, {"headers": {"webhook-signature": "v1,"}}, {"headers": {"webhook-id": ""}}, {"at": START}]
)
def test_nobody_learns_which_sources_there_are(request_: dict[str, Any]) -> None:
    def answer(source: str) -> tuple[int, str, str]:
        world = World()
        world.clock.advance(minutes=10)
        with pytest.raises(InputError) as caught:
            world.post({"urls": pages(1)}, source=source, secret=OLD_SECRET, **request_)
        return caught.value.status, caught.value.code, str(caught.value)

    assert answer("nobody") == answer("queue") == answer("desk")


# --- secrets and rates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_both_secrets_of_a_rotation_are_good(secret: str) -> None:
    world = with_source(secrets=[SECRET, OLD_SECRET])

    assert world.post({"urls": pages(1)}, secret=secret).accepted == 1


def test_a_source_above_its_rate_is_told_when_to_come_again() -> None:
    world = with_source(reports_per_minute=3)
    world.clock.advance(seconds=20)
    for number in range(3):
        world.post({"urls": pages(1)}, webhook_id=f"w{number}")
    reported = len(world.queued)
    with pytest.raises(TooManyRequests) as caught:
        world.post({"urls": pages(1)}, webhook_id="w3")

    assert caught.value.status == 429
    assert caught.value.retry_after == 40
    assert len(world.queued) == reported
    assert reports.read(world.rows, reports.report_id("desk", "w3")) is None
    world.clock.advance(seconds=caught.value.retry_after)
    assert world.post({"urls": pages(1)}, webhook_id="w3").accepted == 1


def test_a_high_rate_is_held_within_some_percent_at_a_sixteenth_of_the_writes() -> None:
    world = with_source(reports_per_minute=2_000)
    taken = 0
    for number in range(2_600):
        with suppress(TooManyRequests):
            world.post({"urls": pages(1)}, webhook_id=f"w{number}")
            taken += 1
    assert 1_800 <= taken <= 2_200
    (counted,) = [row for (pk, _), row in memory(world).rows.items() if pk.startswith("rate#")]
    assert int(str(counted["reports"])) % 16 == 0


def test_the_count_of_a_minute_does_not_stay_for_ever() -> None:
    world = with_source(reports_per_minute=3)
    world.post({"urls": pages(1)})

    (counted,) = [row for (pk, _), row in memory(world).rows.items() if pk.startswith("rate#")]
    assert counted["expires_at"] == int((world.clock() + timedelta(minutes=10)).timestamp())


def test_a_source_without_a_limit_is_not_counted() -> None:
    world = with_source(reports_per_minute=0)
    world.post({"urls": pages(1)})

    assert {pk.split("#")[0] for pk, _ in memory(world).rows} == {"report"}


def test_a_small_report_is_two_writes_of_one_unit_its_row_and_the_one_of_its_sources_day() -> None:
    world = World()
    world.post({"urls": pages(20)})
    first = memory(world).units["written"]
    world.post({"urls": pages(20)}, webhook_id="w2")

    assert memory(world).units["written"] == first + 2
    assert first == 3, "the first report of a month makes the key that seals"
