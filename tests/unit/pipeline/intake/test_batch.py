"""Intake claims each URL of a batch once, at almost no cost, and only if it may be banned."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import CHUNK_BYTES, CHUNK_URLS, Action, ChunkState
from chalicelib.domain.packing import Work
from chalicelib.domain.urls import canonical_url
from chalicelib.ledger import chunks, remaining, reports
from chalicelib.ledger.chunks import Chunk
from dev.fakes.rows import MemoryRows, size
from dev.fakes.world import ACCOUNT, POLICY, SECRET, SOURCES, START, World, pages
from dev.fakes.wrappers import Meanwhile
from dev.feed import MANAGED, sample_feed

FOREIGN = "https://www.example.edu/page"
ITEM_BYTES = 400 * 1024


def memory(world: World) -> MemoryRows:
    assert isinstance(world.rows, MemoryRows)
    return world.rows


def with_policy(**fields: Any) -> World:
    return World(policy=parse_policy({**POLICY, **fields}))


def with_source(**fields: Any) -> World:
    return World(sources=parse_sources({**SOURCES, "desk": {**SOURCES["desk"], **fields}}))


def claimed(world: World) -> list[str]:
    return sorted(str(row["url"]) for (_, sk), row in memory(world).rows.items() if sk == "claim")


def waiting(world: World) -> list[Work]:
    return remaining.of_account(world.rows, ACCOUNT)


def all_chunks(world: World) -> list[Chunk]:
    return list(chunks.read(world.rows, [work.chunk for work in waiting(world)]).values())


def to_send(world: World) -> list[str]:
    """Return the URLs that a submitter would find."""
    found = chunks.read(world.rows, [work.chunk for work in waiting(world)])
    return sorted(
        url
        for work in waiting(world)
        if work.state is ChunkState.WAITING
        for position, url in enumerate(found[work.chunk].urls)
        if position not in work.excluded
    )


# --- one claim ---------------------------------------------------------------------------------------------------


def test_a_url_is_claimed_once_inside_a_batch() -> None:
    world = World()
    world.queue({"urls": [*pages(3), *pages(2)]})
    world.queue({"urls": pages(4)})
    outcome = world.intake()

    assert claimed(world) == to_send(world) == pages(4)
    assert +outcome.verdicts == {"ban": 4, "duplicate": 5}


def test_a_url_is_claimed_once_across_batches() -> None:
    world = World()
    world.queue({"urls": pages(3)})
    world.intake()
    world.clock.advance(days=2)
    world.queue({"urls": pages(5)})
    outcome = world.intake()

    assert to_send(world) == pages(5)
    assert +outcome.verdicts == {"ban": 2, "duplicate": 3}


def test_a_message_delivered_again_changes_nothing() -> None:
    world = World()
    world.queue({"urls": pages(3)})
    message = world.queued[0]
    world.intake()
    before = without_counts(world)
    world.queued = [message]
    outcome = world.intake()

    assert +outcome.verdicts == {"duplicate": 3}
    assert without_counts(world) == before


@pytest.mark.parametrize("method", ["get", "write"])
@pytest.mark.parametrize("before", [True, False])
def test_two_intakes_at_the_same_time_claim_each_url_once(method: str, before: bool) -> None:
    """The second intake runs as a whole between two steps of the first."""
    rows = MemoryRows()
    second = World(rows=rows)
    second.queue({"urls": pages(30)[10:]})
    verdicts: list[dict[str, int]] = []

    def meanwhile() -> None:
        verdicts.append(second.intake().verdicts)

    first = World(rows=Meanwhile(rows, method, meanwhile, before=before), clock=second.clock, sent=50)
    first.queue({"urls": pages(20)})
    while first.queued:  # what lost a URL comes again
        verdicts.append(first.intake().verdicts)

    world = World(rows=rows, clock=second.clock)
    assert claimed(world) == to_send(world) == sorted(pages(30))
    assert sum(each["ban"] for each in verdicts) == 30
    assert sum(each["duplicate"] for each in verdicts) == 10


def test_an_intake_that_lost_every_url_to_another_leaves_no_chunk_to_submit() -> None:
    rows = MemoryRows()
    second = World(rows=rows)
    second.queue({"urls": pages(20)})
    first = World(rows=Meanwhile(rows, "get", second.intake), sent=50)
    first.queue({"urls": pages(20)})
    first.clock.advance(seconds=1)
    outcome = first.intake()

    assert not outcome.verdicts, "it comes again, and is counted then"
    assert +first.intake().verdicts == {"duplicate": 20}
    assert first.wakes == []
    assert len(waiting(second)) == 1


def test_a_url_whose_ban_has_ended_is_claimed_again() -> None:
    world = World()
    world.queue({"urls": pages(2)})
    world.intake()
    world.minutes(3)
    world.clock.advance(days=7)
    assert world.states(pages(2)) == {"expired": 2}
    world.queue({"urls": pages(2)})
    world.intake()
    world.minutes(3)

    assert world.states(pages(2)) == {"banned": 2}
    assert len(world.vendor.calls) == 2


def test_the_scheme_variants_of_a_page_are_two_urls() -> None:
    world = World()
    world.queue({"urls": ["http://www.example.com/x", "https://www.example.com/x"]})
    world.intake()

    assert len(to_send(world)) == 2


@pytest.mark.parametrize(
    "spelling",
    [
        "https://www.example.com/x#part",
        "https://someone:word@www.example.com/x",
        "HTTPS://WWW.Example.COM:443/x",
        " https://www.example.com/a/../x\n",
        "https:\\\\www.example.com\\x",
    ],
)
def test_spellings_of_one_url_are_one_url(spelling: str) -> None:
    world = World()
    world.queue({"urls": [spelling, "https://www.example.com/x"]})
    world.intake()

    assert to_send(world) == ["https://www.example.com/x"]


@pytest.mark.parametrize(
    "other",
    [
        "https://www.example.com/X",
        "https://www.example.com/x/",
        "https://www.example.com/x?",
        "https://www.example.com//x",
        "https://www.example.com/%78",
        "https://www.example.com:8443/x",
        "https://www.example.com/x?b=1&a=2",
    ],
)
def test_what_a_server_may_tell_apart_stays_apart(other: str) -> None:
    world = World()
    world.queue({"urls": [other, "https://www.example.com/x", "https://www.example.com/x?a=2&b=1"]})
    world.intake()

    assert len(to_send(world)) == 3
    assert other in to_send(world)


# --- messages -----------------------------------------------------------------------------------------------------

OTHER_SECRET = "whsec_" + "b3RoZXIh" * 5
POISON: dict[str, tuple[Any, dict[str, str]]] = {
    "no JSON": ("{", {}),
    "no report": ({"hello": "world"}, {}),
    "a wrong field": ({"urls": pages(1), "ban_duration": 99}, {"format": "native"}),
    "an unknown source": ({"urls": pages(1)}, {"source": "nobody"}),
    "no source": ({"urls": pages(1)}, {"source": ""}),
    "an unknown format": ({"urls": pages(1)}, {"format": "smoke-signals"}),
    "an unknown content type": ({"urls": pages(1)}, {"source": "untyped", "content_type": "image/png"}),
    "no content type": ({"urls": pages(1)}, {"source": "untyped"}),
    "a report id without its time": ({"urls": pages(1)}, {"report_id": "r-1"}),
    "a report id with no time": ({"urls": pages(1)}, {"report_id": "r-1", "received_at": "yesterday"}),
    "a report id with a time of nowhere": (
        {"urls": pages(1)},
        {"report_id": "r-1", "received_at": "2026-01-15T08:00:00"},
    ),
    "an object in a bucket, and none is configured": (
        {
            "Records": [
                {
                    "eventSource": "aws:s3",
                    "eventName": "ObjectCreated:Put",
                    "s3": {"bucket": {"name": "b"}, "object": {"key": "k"}},
                }
            ]
        },
        {},
    ),
    "half of a surrogate pair": ('{"urls": ["https://www.example.com/"], "correlation_id": "\\ud800"}', {}),
}


def forged_seal() -> dict[str, str]:
    return {"report_id": "r-1", "received_at": "2026-01-15T08:30:00+00:00", "seal": "0" * 64}


@pytest.mark.parametrize("attributes", [{}, {"seal": "\u00fc"}, forged_seal()])
def test_nobody_reports_through_the_queue_in_the_name_of_a_source_that_signs(attributes: dict[str, str]) -> None:
    world = World()
    poison = world.queue({"urls": pages(1)}, source="desk", **attributes)
    assert world.intake().failed == [poison]
    assert "reports over HTTPS" in world.events("message_unreadable")[0]["problem"]
    assert world.state(pages(1)[0]) == "unknown"


@pytest.mark.parametrize("change", ["body", "report_id", "received_at", "source"])
def test_a_received_report_that_is_changed_in_the_queue_is_not_taken(change: str) -> None:
    world = World(sources=parse_sources({**SOURCES, "other": {**SOURCES["desk"], "secrets": [OTHER_SECRET]}}))
    world.post({"urls": pages(1)})
    (message,) = world.queued
    if change == "body":
        message["body"] = message["body"].replace("/page/0", "/page/1")
    else:
        changed = {"report_id": "r-1", "received_at": "2026-01-14T08:30:00+00:00", "source": "other"}[change]
        message["messageAttributes"][change]["stringValue"] = changed
    assert world.intake().failed == ["m1"]
    assert world.states(pages(2)) == {"unknown": 2}


def test_a_source_that_only_queues_speaks_in_no_report_of_another() -> None:
    world = World()
    report = world.post({"urls": pages(1)}).report_id
    world.intake()
    attributes = {"report_id": report, "received_at": world.clock().isoformat()}
    poison = world.queue({"urls": ["https://evil.test/x"]}, **attributes)
    assert world.intake().failed == [poison]
    assert world.report_states(report) == {pages(1)[0]: "pending"}


def test_replacing_a_secret_strands_nothing_that_was_accepted() -> None:
    world = World()
    world.post({"urls": pages(1)})
    world.sources = parse_sources({**SOURCES, "desk": {**SOURCES["desk"], "secrets": [OTHER_SECRET]}})
    world.clock.advance(days=20)
    assert world.intake().failed == []
    assert world.state(pages(1)[0]) == "pending"


def test_each_month_has_a_seal_key_of_its_own_which_outlives_what_it_sealed() -> None:
    world = World()
    for day in (0, 31, 31):
        world.clock.advance(days=day)
        world.post({"urls": pages(1)}, webhook_id=f"w{day}{len(world.queued)}")
    keys = {sk: row for (pk, sk), row in memory(world).rows.items() if pk == "report#seal"}
    assert sorted(keys) == ["2026-01", "2026-02", "2026-03"]
    assert len({row["key"] for row in keys.values()}) == 3
    assert all(len(str(row["key"])) == 64 for row in keys.values())
    assert keys["2026-01"]["expires_at"] == int((START + timedelta(days=75)).timestamp())
    assert world.intake().failed == []


@pytest.mark.parametrize("own_seal", ["2026-01:" + "0" * 64, "2026-01:", "2020-01:" + "0" * 64, "\u00fc", ":"])
def test_a_seal_that_no_key_of_edgeban_made_is_refused_whatever_the_sources_secret_says(own_seal: str) -> None:
    world = World()
    world.post({"urls": pages(1)})
    (message,) = world.queued
    message["messageAttributes"]["own_seal"]["stringValue"] = own_seal
    if own_seal.partition(":")[2]:
        assert world.intake().failed == ["m1"]
        assert "edgeban has not sealed this message" in world.events("message_unreadable")[0]["problem"]
    else:  # An earlier version queued messages without a seal of edgeban's own.
        assert world.intake().failed == []


def test_a_key_that_was_deleted_opens_nothing_more() -> None:
    world = World()
    world.post({"urls": pages(1)})
    del memory(world).rows[("report#seal", "2026-01")]
    assert world.intake().failed == ["m1"]
    world.post({"urls": pages(1)}, webhook_id="w2")
    assert world.intake().failed == ["m1"]


def test_what_an_earlier_version_sealed_with_the_old_secret_is_taken_while_it_lives() -> None:
    world = World()
    world.post({"urls": pages(1)})
    del world.queued[0]["messageAttributes"]["own_seal"]
    desk = SOURCES["desk"]
    world.sources = parse_sources({**SOURCES, "desk": {**desk, "secrets": [OTHER_SECRET]}})
    assert world.intake().failed == ["m1"]
    world.sources = parse_sources({**SOURCES, "desk": {**desk, "secrets": [OTHER_SECRET, SECRET]}})
    assert world.intake().failed == []
    assert world.state(pages(1)[0]) == "pending"


@pytest.mark.parametrize("case", POISON)
def test_a_message_that_cannot_be_read_goes_back_and_harms_none_beside_it(case: str) -> None:
    document, attributes = POISON[case]
    world = World(sources=parse_sources({**SOURCES, "untyped": {"auth": "none"}}))
    world.queue({"urls": pages(3)[:1]})
    poison = world.queue(document, **attributes)
    world.queue({"urls": pages(3)[1:]})
    outcome = world.intake()

    assert outcome.failed == [poison]
    assert [each["messageId"] for each in world.queued] == [poison]
    assert to_send(world) == pages(3)
    (told,) = world.events("message_unreadable")
    assert told["message_id"] == poison
    assert told["problem"]


def test_a_batch_of_poison_alone_claims_nothing_and_wakes_nobody() -> None:
    world = World()
    ids = [world.queue("{"), world.queue("}")]

    assert world.intake().failed == ids
    assert memory(world).rows == {}
    assert world.wakes == []


ENVELOPES: dict[str, Callable[[str], Any]] = {
    "bare": json.loads,
    "SNS": lambda body: {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": body},
    "EventBridge": lambda body: {"detail-type": "report", "source": "queue", "detail": json.loads(body)},
}


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_a_report_in_an_envelope_is_a_report(envelope: str) -> None:
    world = World()
    world.queue(ENVELOPES[envelope](json.dumps({"urls": pages(2)})))
    world.intake()

    assert to_send(world) == pages(2)


def test_a_failed_call_to_the_ledger_fails_the_whole_batch_and_loses_nothing() -> None:
    world = World()
    world.queue({"urls": pages(3)})
    with world.crash(2, after=False):
        world.intake()

    assert len(world.queued) == 1
    world.minutes(8)
    assert world.states(pages(3)) == {"banned": 3}


# --- what may be banned ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        FOREIGN,
        "https://example.com.evil.example/",
        "https://evilexample.com/",
        "https://example.net/",
        "https://192.0.2.1/x",
        "https://www.example.com@evil.example/",
        "https://evil.example/?https://www.example.com/",
        "https://evil.example\\@www.example.com/",
    ],
)
def test_a_host_that_is_not_managed_is_never_claimed(url: str) -> None:
    world = World()
    world.queue({"urls": [url, *pages(1)]})
    outcome = world.intake()

    assert claimed(world) == pages(1)
    assert +outcome.verdicts == {"rejected": 1, "ban": 1}


@pytest.mark.parametrize("sources", [("doubtful", "narrow"), ("narrow", "doubtful")])
def test_a_source_adds_nothing_to_a_report_beside_it_of_a_host_outside_its_own(sources: tuple[str, str]) -> None:
    queued = {"auth": "none", "format": "native"}
    world = World(
        policy=parse_policy({**POLICY, "sources": {"doubtful": {"trust": "review"}}}),
        sources=parse_sources({"doubtful": queued, "narrow": {**queued, "hosts": ["img.example.com"]}}),
    )
    for source in sources:
        world.queue({"urls": pages(1)}, source=source)
    assert world.intake().verdicts == {"hold": 1, "rejected": 1}
    world.minutes(3)
    assert world.states(pages(1)) == {"held": 1}


def test_a_source_that_only_queues_may_not_report_hosts_outside_its_own() -> None:
    world = World(sources=parse_sources({"queue": {"auth": "none", "format": "native", "hosts": ["img.example.com"]}}))
    world.queue({"urls": ["https://img.example.com/x", "https://www.example.com/x"]})
    world.intake()

    assert claimed(world) == ["https://img.example.com/x"]


@pytest.mark.parametrize("narrow_first", [True, False])
def test_what_one_source_may_not_report_another_may(narrow_first: bool) -> None:
    world = World(
        sources=parse_sources(
            {
                "narrow": {"auth": "none", "format": "native", "hosts": ["img.example.com"]},
                "queue": {"auth": "none", "format": "native"},
            }
        )
    )
    for source in ("narrow", "queue") if narrow_first else ("queue", "narrow"):
        world.queue({"urls": pages(1)}, source=source)
    world.intake()

    assert claimed(world) == pages(1)
    (chunk,) = all_chunks(world)
    assert {origin.source for origin in chunk.origins} == {"queue"}


def test_a_protected_host_is_never_claimed() -> None:
    world = with_policy(protected=[{"host": "*.example.com", "comment": "ours"}])
    world.queue({"urls": [*pages(3), "https://www.example.net/x"]})
    outcome = world.intake()

    assert claimed(world) == ["https://www.example.net/x"]
    assert +outcome.verdicts == {"suppressed": 3, "ban": 1}


@pytest.mark.parametrize(("policy", "state"), [("hold", "held"), ("ban", "banned"), ("reject", "unknown")])
@pytest.mark.parametrize("url", ["https://www.example.com/", "https://www.example.com", "https://www.example.com/?"])
def test_the_root_of_a_host_is_banned_only_where_the_policy_says_so(policy: str, state: str, url: str) -> None:
    world = with_policy(bare_hosts=policy)
    world.queue({"urls": [url, *pages(1)]})
    world.minutes(3)

    assert world.state(url) == state
    assert world.live_bans(canonical_url(url)) == (policy == "ban")
    assert world.state(pages(1)[0]) == "banned"


def test_a_held_chunk_wakes_nobody_and_waits_for_ever() -> None:
    world = World()
    world.queue({"urls": ["https://www.example.com/"]})
    world.intake()

    assert world.wakes == []
    world.minutes(10)
    assert world.vendor.calls == []
    assert [work.state for work in waiting(world)] == [ChunkState.HELD]
    assert world.state("https://www.example.com/") == "held"


@pytest.mark.parametrize("real_first", [True, False])
def test_a_test_report_is_never_claimed_and_takes_nothing_from_a_real_one(real_first: bool) -> None:
    world = World()
    bodies = [{"urls": pages(2)}, {"urls": pages(3), "test": True}]
    for number, body in enumerate(bodies if real_first else reversed(bodies)):
        world.post(body, webhook_id=f"w{number}")
    world.intake()

    assert claimed(world) == to_send(world) == pages(2)
    real, test = (reports.report_id("desk", name) for name in (("w0", "w1") if real_first else ("w1", "w0")))
    assert set(world.report_states(real).values()) == {"pending"}
    assert set(world.report_states(test).values()) == {"suppressed"}


# --- chunks -------------------------------------------------------------------------------------------------------


def test_durations_go_into_chunks_of_their_own() -> None:
    world = World(
        sources=parse_sources(
            {
                "queue": {"auth": "none", "format": "native"},
                "long": {"auth": "none", "format": "native", "ban_days": 21},
            }
        ),
        policy=parse_policy({**POLICY, "ban_days": 5}),
    )
    first, second, third = pages(3)
    world.queue({"urls": [{"url": first, "ban_duration": 2}, second]})
    world.queue({"urls": [third]}, source="long")
    world.intake()

    made = {(chunk.ban_days, chunk.urls) for chunk in all_chunks(world)}
    assert made == {(2, (first,)), (5, (second,)), (21, (third,))}
    assert {chunk.action for chunk in all_chunks(world)} == {Action.BAN}
    assert {chunk.until - world.clock() for chunk in all_chunks(world)} == {timedelta(days=n) for n in (2, 5, 21)}


def test_a_chunk_knows_who_reported_each_of_its_urls() -> None:
    world = World()
    world.queue({"urls": [{"url": pages(2)[0], "reporter": "alice", "category": "malware", "note": "seen twice"}]})
    receipt = world.post({"urls": [pages(2)[1]]})
    world.intake()

    (chunk,) = all_chunks(world)
    first, second = chunk.origins
    assert (first.source, first.reporter, first.category, first.note) == ("queue", "alice", "malware", "seen twice")
    assert (second.source, second.report, second.category) == ("desk", receipt.report_id, "phishing")


def test_a_note_belongs_to_its_url() -> None:
    world = World()
    world.queue({"urls": [{"url": url, "note": f"note {number}"} for number, url in enumerate(pages(3))]})
    world.intake()

    (chunk,) = all_chunks(world)
    assert [origin.note for origin in chunk.origins] == ["note 0", "note 1", "note 2"]


def test_a_chunk_holds_a_task_s_worth_of_urls_at_the_most() -> None:
    world = World()
    world.queue({"urls": pages(2_500)})
    world.intake()

    assert sorted(len(chunk.urls) for chunk in all_chunks(world)) == [500, CHUNK_URLS, CHUNK_URLS]
    assert world.wakes == [ACCOUNT]


def test_a_chunk_of_long_urls_fits_its_row() -> None:
    world = World()
    urls = [f"https://www.example.com/{number}?{'x' * 8_000}" for number in range(100)]
    world.queue({"urls": urls})
    world.intake()

    assert all(sum(map(len, chunk.urls)) <= CHUNK_BYTES for chunk in all_chunks(world))
    assert sum(len(chunk.urls) for chunk in all_chunks(world)) == 100
    assert all(size(row) <= ITEM_BYTES for row in memory(world).rows.values())


def test_a_chunk_of_urls_with_long_notes_fits_its_row() -> None:
    """Each URL brings a reporter and a note of its own, in characters of many bytes."""
    dice = random.Random(1)
    world = World()
    for _ in range(20):
        urls = [
            {
                "url": f"https://www.example.com/{dice.random()}",
                "note": _noise(dice, 990),
                "reporter": _noise(dice, 190),
            }
            for _ in range(100)
        ]
        world.queue(json.dumps({"urls": urls}, ensure_ascii=False))
    world.intake()

    assert len(claimed(world)) == 2_000
    assert len(world.wakes) == 1
    assert max(size(row) for row in memory(world).rows.values()) <= ITEM_BYTES


def _noise(dice: random.Random, length: int) -> str:
    return "".join(chr(dice.randrange(0x4E00, 0x9FFF)) for _ in range(length))


def test_the_wait_counts_from_when_the_oldest_report_came_in() -> None:
    world = World()
    world.queue({"urls": pages(1)})
    world.clock.advance(seconds=50)
    world.queue({"urls": pages(2)})
    world.intake()

    (chunk,) = all_chunks(world)
    assert world.clock() - chunk.received_at == timedelta(seconds=50)
    assert world.events("reports_taken")[0]["queue_wait"] == 50


# --- what is refused ------------------------------------------------------------------------------------------------


def test_each_report_that_names_a_refused_url_is_told_so() -> None:
    world = World()
    first = world.post({"urls": pages(2)}, webhook_id="w1")
    second = world.post({"urls": pages(2)}, webhook_id="w2")
    protected = [{"host": "www.example.com", "comment": "ours"}]  # The policy changes after the reports.
    world.policy = parse_policy({**POLICY, "protected": protected})
    world.intake()

    for receipt in (first, second):
        assert world.report_states(receipt.report_id) == dict.fromkeys(pages(2), "suppressed")
    assert claimed(world) == []


def test_a_refusal_told_again_after_a_redelivery_is_one_refusal() -> None:
    world = World()
    receipt = world.post({"urls": pages(2)})
    world.policy = parse_policy({"version": 1, "accounts": {ACCOUNT: {"managed_domains": ["img.example.com"]}}})
    message = world.queued[0]
    for _ in range(2):
        world.queued = [message]
        world.clock.advance(seconds=30)
        world.intake()

    report = reports.read(world.rows, receipt.report_id)
    assert report
    assert [each.rule for each in report.refusals] == ["not_managed"] * 2


def test_what_is_refused_of_a_report_from_the_queue_alone_stands_in_the_days_journal_and_nowhere_else() -> None:
    world = World()
    world.queue({"urls": [FOREIGN]})
    world.intake()

    ((pk, _),) = without_counts(world)
    assert pk == "day#2026-01-15"


def without_counts(world: World) -> dict[Any, Any]:
    """Return the rows without a batch's counts by source, and without the times at which sources last named a URL."""
    rows = memory(world).rows
    return {key: row for key, row in rows.items() if row.get("kind") != "taken" and key[1] != "named"}


def test_a_batch_counts_its_urls_by_source_and_verdict() -> None:
    world = World()
    world.queue({"urls": [*pages(3), FOREIGN, "https://www.example.com/"]})
    world.queue({"urls": pages(2)})
    world.intake()
    (taken,) = [row for row in memory(world).rows.values() if row.get("kind") == "taken"]
    assert taken["sources"] == {
        "queue": {"messages": 2, "ban": 3, "rejected": 1, "hold": 1, "duplicate": 2},
    }


@pytest.mark.parametrize("method", ["get", "write"])
@pytest.mark.parametrize("before", [True, False])
def test_each_reported_url_is_counted_once_whoever_was_quicker(method: str, before: bool) -> None:
    """Two batches name the same pages, beside one that is refused and one that is held, and pages of their own."""
    rows = MemoryRows()
    second = World(rows=rows)
    first = World(rows=Meanwhile(rows, method, second.intake, before=before), clock=second.clock, sent=50)
    for world, own in ((first, "a.example.com"), (second, "b.example.com")):
        world.queue({"urls": [*pages(5), *pages(2, host=own), f"https://{own}/", FOREIGN]})
        world.queue({"urls": pages(3, host=own)})  # of which two are duplicates
    first.clock.advance(seconds=1)
    for world in (first, second):
        while world.queued:
            world.intake()
    counts = Counter[str]()
    for row in rows.rows.values():
        if row.get("kind") == "taken":
            of_sources: Any = row["sources"]
            counts.update(of_sources["queue"])
    assert counts == {"messages": 4, "ban": 11, "hold": 2, "duplicate": 9, "rejected": 2}
    told = Counter[str]()
    for event in first.events("reports_taken") + second.events("reports_taken"):
        told.update({kind: event.get(kind, 0) for kind in ("ban", "hold", "duplicate", "rejected")})
    assert told == counts - Counter(messages=4)
    refused = [row for row in rows.rows.values() if row.get("kind") == "refused"]
    assert sum(len(reports.journalled(row)) for row in refused) == 2


@pytest.mark.parametrize("after", [False, True])
def test_a_batch_that_was_killed_anywhere_is_counted_once(after: bool) -> None:
    at, killed = 0, True
    while killed:
        at += 1
        world = World()
        world.queue({"urls": [*pages(3), FOREIGN, "https://www.example.com/"]})
        with world.crash(at, after=after):
            world.intake()
            killed = False
        while world.queued:
            world.clock.advance(minutes=1)
            world.intake()
        counts = [row["sources"] for row in memory(world).rows.values() if row.get("kind") == "taken"]
        assert counts[0] == {"queue": {"messages": 1, "ban": 3, "rejected": 1, "hold": 1}}, at
        last = after and len(counts) == 2  # killed after the counts, and before the message was acknowledged
        assert len(counts) == 1 + last, at
    assert at > 8


# --- the price -------------------------------------------------------------------------------------------------------


def real_shaped() -> tuple[World, list[str]]:
    world = World(policy=parse_policy({**POLICY, "accounts": {ACCOUNT: {"managed_domains": list(MANAGED)}}}))
    feed = list(sample_feed(20_000))
    for start in range(0, 20_000, 10):
        rows = feed[start : start + 10]
        world.queue({"urls": [{"url": row.url, "reporter": row.reporter, "category": row.tags} for row in rows]})
    return world, [row.url for row in feed]


def test_a_new_url_costs_1_1_write_units_and_a_duplicate_none_and_half_a_read() -> None:
    world, urls = real_shaped()
    messages = list(world.queued)
    units = memory(world).units
    while world.queued:
        world.intake(limit=1_000)
        world.clock.advance(seconds=1)
    new = len(claimed(world))
    per_url = units["written"] / new
    print(f"\n{len(urls):,} reports, {new:,} new URLs: {per_url:.3f} write units a new URL")
    assert new > 10_000
    assert per_url <= 1.1

    units.clear()
    world.queued = messages
    verdicts = {"duplicate": 0, "rejected": 0}
    while world.queued:
        outcome = world.intake(limit=1_000)
        for kind in verdicts:
            verdicts[kind] += outcome.verdicts[kind]
        assert set(outcome.verdicts) <= verdicts.keys()
    per_duplicate = units["halves read"] / 2 / verdicts["duplicate"]
    print(f"{verdicts['duplicate']:,} duplicates: {per_duplicate:.3f} read units each")
    # A duplicate writes nothing; what a batch refuses goes into one row of the journal.
    assert units["written"] <= 0.05 * verdicts["rejected"]
    assert per_duplicate <= 0.6


def test_every_url_of_a_real_shaped_feed_is_claimed_or_refused() -> None:
    world, urls = real_shaped()
    while world.queued:
        world.intake(limit=1_000)

    ours, refused = set(), 0
    for url in urls:
        try:
            canonical = canonical_url(url)
        except UnusableUrl:
            refused += 1
            continue
        if world.policy.accounts[ACCOUNT].covers(canonical.split("/")[2].partition(":")[0]):
            ours.add(canonical)
    assert claimed(world) == sorted(ours)
    assert refused > 0
