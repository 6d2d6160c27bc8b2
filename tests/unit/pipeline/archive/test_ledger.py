"""What was decided on a day is archived once, whole, and summed up in numbers that add up (I7, I8)."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.series import MOST_VALUES
from chalicelib.ledger import journal, subjects
from chalicelib.ledger.row import compress
from chalicelib.pipeline.archive.keys import ledger_keys
from chalicelib.pipeline.archive.summary import Summary, quantiles
from chalicelib.ports import Key, Put, Row, Value
from dev.fakes.archive import BARE, DAY, FOREIGN, KEYS, LedgerWorld, a_day
from dev.fakes.operations import undo
from dev.fakes.world import ACCOUNT, POLICY, START, pages


def test_a_day_holds_every_ban_unban_refusal_and_hold_with_its_reason_source_task_and_outcome() -> None:
    world = a_day()
    world.midnight()
    assert world.archive().archived == [DAY]
    events = world.of_day()
    urls = {
        (each["event"], each["url"]): (each["state"], each["source"], each["rule"])
        for each in events
        if each["event"] in {"ban", "unban", "hold", "refusal"}
    }
    assert urls == {
        ("ban", pages(1)[0]): ("unbanned", "desk", ""),
        ("ban", pages(2)[1]): ("banned", "desk", ""),
        ("ban", pages(3)[2]): ("rejected", "desk", ""),
        ("hold", BARE): ("held", "queue", "bare_host"),
        ("unban", pages(1)[0]): ("unbanned", "operator:ana", "unban"),
        ("refusal", FOREIGN): ("rejected", "desk", "not_managed"),
        ("refusal", f"{FOREIGN}2"): ("rejected", "queue", "not_managed"),
    }
    ban = next(each for each in events if each["event"] == "ban" and each["url"] == pages(2)[1])
    assert ban["category"] == "phishing"
    assert ban["vendor"] == "huawei"
    assert ban["report_id"].startswith("r-")
    assert set(ban["vendor_task_ids"]) <= world.vendor.tasks.keys()
    assert ban["task_ids"]
    assert ban["seconds"] == pytest.approx(
        (datetime.fromisoformat(ban["finished_at"]) - START).total_seconds(), abs=0.1
    )
    lifted = next(each for each in events if each["event"] == "unban")
    assert (lifted["actor"], lifted["reason"]) == ("ana", "mistake")
    decision = next(each for each in events if each["event"] == "decision")
    assert (decision["actor"], decision["action"], decision["reason"]) == ("ana", "unban", "mistake")


def test_files_sums_and_counts_agree() -> None:
    world = a_day()
    world.midnight()
    world.archive()
    world.objects.sound(KEYS.manifest)
    (manifest,) = world.objects.documents(KEYS.manifest)
    kinds = Counter(each["event"] for each in world.of_day())
    assert (
        manifest["events_by_kind"]
        == dict(kinds)
        == {kind: said["count"] for kind, said in world.summary()["events"].items()}
    )
    assert manifest["events"] == kinds.total()
    assert manifest["journal_complete"] is True
    assert world.objects.puts[-1] == KEYS.manifest
    assert sorted(world.objects.objects) == sorted([KEYS.events, KEYS.summary, KEYS.manifest])
    assert world.summary()["events"]["ban"] == {
        "count": 3,
        "by_account": {ACCOUNT: 3},
        "by_category": {"phishing": 3},
        "by_source": {"desk": 3},
        "by_state": {"banned": 1, "rejected": 1, "unbanned": 1},
        "by_vendor": {"huawei": 3},
    }
    times = world.summary()["seconds_to_ban"]
    assert times["urls"] == 2
    assert 0 < times["median"] <= times["p95"]
    assert times["by_vendor"]["huawei"] == {key: times[key] for key in ("urls", "median", "p95")}


def test_a_day_is_archived_once_and_only_when_it_has_settled() -> None:
    world = a_day()
    world.midnight(hours=0.5)
    world.archive()
    assert KEYS.manifest not in world.objects.objects
    world.midnight()
    world.archive()
    puts = list(world.objects.puts)
    assert KEYS.manifest in puts
    world.clock.advance(hours=3)
    assert world.archive().archived == []
    assert world.objects.puts == puts


def test_days_that_were_missed_are_caught_up_oldest_first_and_quiet_days_have_an_archive_too() -> None:
    world = a_day()
    world.midnight(DAY + timedelta(days=3))
    days = [DAY + timedelta(days=n) for n in range(4)]
    assert world.archive().archived == days
    for day in days:
        world.objects.sound(ledger_keys(day).manifest)
    assert world.of_day(days[2]) == []
    assert world.summary(days[2])["seconds_to_ban"]["median"] is None


def test_a_ledger_without_a_history_begins_with_yesterday() -> None:
    world = LedgerWorld()
    assert world.archive().archived == [DAY - timedelta(days=1)]


def test_a_day_that_stays_missing_is_late() -> None:
    world = a_day()
    world.midnight(hours=2)
    assert world.archive(hours=0).late == 0
    world.midnight(hours=7)
    assert world.archive(hours=0).late == 1
    assert world.events("ledger_checked")[-1]["late"] == 1


def test_a_day_that_is_archived_after_its_journal_expired_says_so() -> None:
    world = LedgerWorld()
    world.archive()
    world.clock.advance(days=60)
    world.archive()
    (manifest,) = world.objects.documents(ledger_keys(DAY).manifest)
    assert manifest["journal_complete"] is False
    assert DAY.isoformat() in {each["day"] for each in world.events("ledger_day_lost")}
    (manifest,) = world.objects.documents(ledger_keys(DAY + timedelta(days=59)).manifest)
    assert manifest["journal_complete"] is True


def of_unknown_kind(kind: str, subject: str, *, now: datetime, **fields: Value) -> Row:
    """Return the row of an event that a later version wrote."""
    return {**journal.entry("taken", subject, now=now, **fields), "kind": kind}


def test_an_event_of_a_kind_not_known_here_is_archived_with_all_that_its_row_says() -> None:
    world = LedgerWorld()
    entry = of_unknown_kind("weather", "w-1", now=world.clock(), account=ACCOUNT, sky="grey", degrees=4)
    world.rows.write([Put(entry)])
    world.midnight()
    world.archive()
    (event,) = world.of_day()
    assert event == {
        "event": "weather",
        "at": "2026-01-15T08:30:00+00:00",
        "subject": "w-1",
        "account": ACCOUNT,
        "details": {"sky": "grey", "degrees": 4},
    }
    assert world.summary()["events"]["weather"]["count"] == 1


def test_a_url_banned_again_after_an_unban_counts_in_both_bans() -> None:
    world = LedgerWorld()
    world.post({"urls": pages(1)}, webhook_id="w1")
    world.minutes(5)
    undo(world, reason="mistake", cool_down_days=0, urls=(pages(1)[0],))
    world.minutes(5)
    world.post({"urls": pages(1)}, webhook_id="w2")
    world.minutes(5)
    world.midnight()
    world.archive()
    assert Counter((e["event"], e["state"]) for e in world.of_day() if "url" in e) == {
        ("ban", "banned"): 2,
        ("unban", "unbanned"): 1,
    }


def test_a_url_that_two_chunks_wanted_counts_once() -> None:
    world = LedgerWorld()
    world.queue({"urls": pages(2)})
    world.queue({"urls": pages(2)})
    both = list(world.queued)
    with world.crash(3, after=False):  # It opens a chunk and claims nothing: a second chunk claims.
        world.intake()
    world.clock.advance(seconds=10)
    world.queued = both
    world.minutes(12)
    world.midnight()
    world.archive()
    assert sorted(e["url"] for e in world.of_day() if e["event"] == "ban") == pages(2)


def test_a_report_sent_again_the_next_day_does_not_repeat_its_refusals() -> None:
    world = LedgerWorld()
    world.post({"urls": [FOREIGN]}, webhook_id="w1")
    world.clock.advance(minutes=1)
    world.post({"urls": [FOREIGN]}, webhook_id="w1")
    world.midnight()
    world.post({"urls": [FOREIGN]}, webhook_id="w1")
    world.midnight(DAY + timedelta(days=1))
    world.archive()
    assert [each["event"] for each in world.of_day()] == ["refusal"]
    assert world.of_day(DAY + timedelta(days=1)) == []


@pytest.mark.parametrize("after", [False, True])
def test_a_run_killed_at_any_call_leaves_nothing_that_the_next_does_not_finish(after: bool) -> None:
    world = a_day()
    world.midnight()
    rows = world.rows
    world.crasher.calls = 0
    world.archive()
    calls = world.crasher.calls
    assert calls > 20
    for at in range(1, calls + 1):
        again = LedgerWorld()
        again.rows = rows
        again.midnight()
        with again.crash(at, after=after):
            again.archive()
        with changed_since(again):
            again.archive()
        again.objects.sound(KEYS.manifest)
        assert len(again.objects.puts) == len(set(again.objects.puts)) == 3
        (manifest,) = again.objects.documents(KEYS.manifest)
        assert manifest["events_by_kind"] == dict(Counter(each["event"] for each in again.of_day()))
        assert {k: v["count"] for k, v in again.summary()["events"].items()} == manifest["events_by_kind"]


def test_a_day_whose_events_are_stored_is_not_read_again() -> None:
    world = a_day()
    world.midnight()
    world.archive()
    before = dict(world.objects.objects)
    again = LedgerWorld()  # The ledger is empty now.
    again.objects.put_new(f"ledger-manifest/dt={DAY - timedelta(days=1)}/manifest.json", b"{}", content_type="")
    again.objects.put_new(KEYS.events, before[KEYS.events], content_type="")
    again.midnight()
    again.archive()
    assert again.objects.objects[KEYS.summary] == before[KEYS.summary]
    assert again.rows.units["halves read"] == 0  # type: ignore[attr-defined]


@contextmanager
def changed_since(world: LedgerWorld) -> Iterator[None]:
    """Change what the ledger says before the next run."""
    entry = of_unknown_kind("late", "l-1", now=START)
    world.rows.write([Put(entry)])
    try:
        yield
    finally:
        world.rows.rows.pop((entry["pk"], entry["sk"]))  # type: ignore[attr-defined]


def test_a_large_day_is_read_some_rows_at_a_time() -> None:
    world = LedgerWorld()
    for number in range(1_203):
        world.rows.write([Put(of_unknown_kind("note", f"{number:05}", now=world.clock()))])
    world.midnight()
    world.archive()
    assert [each["subject"] for each in world.of_day()] == [f"{number:05}" for number in range(1_203)]


def test_the_archive_holds_a_pseudonym_of_the_reporter_and_no_note() -> None:
    world = LedgerWorld()
    world.queue({"urls": [{"url": url, "reporter": "Ana Example", "note": "call Ana"} for url in pages(2)]})
    world.minutes(3)
    world.midnight()
    world.archive()
    bans = [event for event in world.of_day() if event["event"] == "ban"]
    (pseudonym,) = {event["reporter"] for event in bans}
    assert pseudonym.startswith("p-")
    assert "ana" not in json.dumps(world.of_day()).lower()
    assert subjects.pseudonyms(world.rows, ["ana example"], now=world.clock()) == {"ana example": pseudonym}


class ManyChunks:
    """A ledger that makes its rows only when they are read, so that they take no memory: chunks of 500 banned URLs."""

    def __init__(self, count: int) -> None:
        self.count = count

    def get(self, keys: Sequence[Key], **_: object) -> dict[Key, dict[str, Any]]:
        made = {"chunk": self._chunk, "url": self._claim, "subject": self._subject}
        return {key: made[kind](key[0]) for key in keys if (kind := key[0].partition("#")[0]) in made}

    def write(self, writes: Sequence[object]) -> set[int]:
        return set()

    def query(self, pk: str, *, after: str = "", limit: int = 0, **_: object) -> list[dict[str, Any]]:
        if pk != f"day#{DAY}":
            return []
        first = int(after.rpartition("#")[2]) + 1 if after else 0
        numbers = range(first, min(self.count, first + limit))
        return [{"pk": pk, "sk": f"x#chunk#{n:06}", "kind": "chunk", "subject": f"{n:06}"} for n in numbers]

    @staticmethod
    def _chunk(pk: str) -> dict[str, Any]:
        keys = [f"{pk[6:]}-{n}" for n in range(500)]
        urls = [f"https://www.example.com/{key}/{'p' * 60}" for key in keys]
        body = {"urls": urls, "keys": keys, "origins": [["r", "desk", "me", "phishing", ""]], "origin": []}
        row: dict[str, Any] = dict.fromkeys(("created_at", "received_at", "until"), round(START.timestamp() * 1000))
        return {"pk": pk, "sk": "chunk", "account": ACCOUNT, "action": "ban", "rule": "", "body": compress(body), **row}

    @staticmethod
    def _subject(pk: str) -> dict[str, Any]:
        return {"pk": pk, "sk": "key", "key": b"k" * 32}

    @staticmethod
    def _claim(pk: str) -> dict[str, Any]:
        return {"pk": pk, "sk": "claim", "chunk": pk[4:].partition("-")[0], "until": 0, "url": "u", "account": ACCOUNT}


def test_the_memory_that_a_day_takes_does_not_grow_with_it() -> None:
    def peak(count: int) -> int:
        world = LedgerWorld()
        world.rows = ManyChunks(count)  # type: ignore[assignment]
        world.objects.put_new(f"ledger-manifest/dt={DAY - timedelta(days=1)}/manifest.json", b"{}", content_type="")
        world.midnight()
        tracemalloc.start()
        try:
            world.archive()
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert world.summary()["events"]["ban"]["count"] == 500 * count
        return most

    small, large = peak(10), peak(60)
    print(f"5,000 URLs: {small / 1e6:.1f} MB, 30,000 URLs: {large / 1e6:.1f} MB")
    assert large < 1.5 * small


# --- the summary ------------------------------------------------------------------------------------------------


def test_half_and_95_percent_are_nearest_ranks_weighed_by_urls() -> None:
    assert quantiles(Counter({10: 50, 20: 45, 99: 5})) == {"urls": 100, "median": 10, "p95": 20}
    assert quantiles(Counter({10: 49, 20: 45, 99: 6})) == {"urls": 100, "median": 20, "p95": 99}
    assert quantiles(Counter({7: 1})) == {"urls": 1, "median": 7, "p95": 7}


def test_categories_without_end_do_not_fill_the_memory() -> None:
    summary = Summary()
    for number in range(3 * MOST_VALUES):
        summary.add({"event": "ban", "category": f"c{number}"})
    counted = summary.document("2026-01-15")["events"]["ban"]["by_category"]
    assert len(counted) == MOST_VALUES + 1
    assert counted["(others)"] == 2 * MOST_VALUES


def test_each_door_tells_its_own_refusals_once_and_by_rule() -> None:
    world = LedgerWorld()
    world.post({"urls": [*pages(1), FOREIGN]})
    world.policy = parse_policy({**POLICY, "protected": [{"host": "www.example.com", "comment": "ours"}]})
    world.intake()
    world.midnight()
    world.archive()
    assert world.summary()["events"]["refusal"]["by_rule"] == {"not_managed": 1, "protected": 1}
    assert world.summary()["events"]["refusal"]["by_state"] == {"rejected": 1, "suppressed": 1}
