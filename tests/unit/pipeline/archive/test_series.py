"""Counts over time: the journal of a day, the decisions about its URLs, and its archive give the same numbers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from chalicelib.domain import series as counts
from chalicelib.domain.series import BY_REPORTS, BY_URLS, MOST_ROWS, THE_REST, Series
from chalicelib.pipeline.answers import stats
from chalicelib.pipeline.archive.series import add_archived_day, add_decided_urls
from dev.fakes.archive import DAY, KEYS, LedgerWorld, a_day
from dev.fakes.world import ACCOUNT

MIDNIGHT = datetime.combine(DAY, time(), UTC)


def archived() -> LedgerWorld:
    world = a_day()
    world.midnight()
    world.archive()
    return world


def from_ledger(world: LedgerWorld, by: str, bucket: str = "day") -> list[dict[str, Any]]:
    series = Series(by, bucket)
    count = add_decided_urls if by in BY_URLS else stats.read
    assert count(world.run(), series, since=MIDNIGHT, until=MIDNIGHT + timedelta(days=1))
    return series.rows()


def from_archive(world: LedgerWorld, by: str) -> list[dict[str, Any]]:
    series = Series(by, "day")
    assert add_archived_day(world.objects, series, DAY)
    return series.rows()


@pytest.mark.parametrize("by", ["", *BY_REPORTS, *BY_URLS])
def test_an_archived_day_counts_what_its_ledger_counted(by: str) -> None:
    world = archived()
    rows = from_ledger(world, by)
    assert from_archive(world, by) == rows
    assert rows


def test_a_day_is_counted_by_category_rule_and_state() -> None:
    world = archived()
    shown = {(by, row["value"]): row for by in BY_URLS for row in from_archive(world, by)}
    assert (shown["category", "phishing"]["ban"], shown["category", "phishing"]["banned"]) == (3, 2)
    assert (shown["category", "malware"]["hold"], shown["category", "malware"]["ban"]) == (1, 0)
    assert (shown["rule", "bare_host"]["hold"], shown["rule", "default"]["ban"]) == (1, 3)
    assert (shown["rule", "not_managed"]["rejected"], shown["rule", "unban"]["unbanned"]) == (2, 1)
    assert (shown["state", "banned"]["ban"], shown["state", "held"]["hold"]) == (1, 1)
    assert (shown["state", "rejected"]["ban"], shown["state", "rejected"]["rejected"]) == (1, 2)


def test_a_day_is_counted_by_source_and_account_with_the_seconds_to_a_ban() -> None:
    world = archived()
    shown = {(by, row["value"]): row for by in ("", *BY_REPORTS) for row in from_archive(world, by)}
    assert (shown["source", "desk"]["messages"], shown["source", "desk"]["ban"]) == (1, 3)
    assert (shown["source", "queue"]["duplicate"], shown["source", "queue"]["hold"]) == (2, 1)
    assert (shown["account", ACCOUNT]["banned"], shown["account", ACCOUNT]["unbanned"]) == (2, 1)
    assert (shown["source", "desk"]["banned"], shown["source", "desk"]["undone"], shown["", ""]["undone"]) == (2, 1, 1)
    assert shown["account", ACCOUNT]["p50"] == shown["", ""]["p50"]
    assert shown["", ""]["p50"]
    assert (shown["", ""]["reported"], shown["", ""]["banned"]) == (7, 2)


def test_hours_and_minutes_of_a_day_add_up_to_it() -> None:
    world = archived()
    for by in ("", "source", "rule"):
        (day, *_) = from_ledger(world, by)
        for bucket in ("minute", "hour"):
            rows = [row for row in from_ledger(world, by, bucket) if row["value"] == day["value"]]
            assert sum(row["reported"] for row in rows) == day["reported"]
            assert all(row["bucket"].startswith(DAY.isoformat()) for row in rows)


def test_counting_writes_nothing() -> None:
    world = archived()
    rows: Any = world.rows
    before = dict(rows.rows)
    for by in ("", *BY_REPORTS, *BY_URLS):
        from_ledger(world, by)
    assert rows.rows == before


def test_a_summary_of_an_earlier_version_is_counted_by_what_it_has() -> None:
    world = archived()
    (summary,) = world.objects.documents(KEYS.summary)
    new = {by: from_archive(world, by) for by in ("", *BY_REPORTS, *BY_URLS)}
    del summary["series"]
    world.objects.objects[KEYS.summary] = json.dumps(summary).encode()
    (total,) = from_archive(world, "")
    assert (total["ban"], total["hold"], total["rejected"], total["banned"]) == (3, 1, 2, 2)
    assert (total["p50"], total["p95"]) == (new[""][0]["p50"], new[""][0]["p95"])
    old = {row["value"]: row["ban"] for row in from_archive(world, "category") if row["ban"]}
    assert old == {row["value"]: row["ban"] for row in new["category"] if row["ban"]}
    states = {row["value"]: row["rejected"] for row in from_archive(world, "state")}
    assert states["rejected"] == 2


def test_a_day_that_is_not_archived_is_not_counted_as_one_without_events() -> None:
    world = archived()
    assert not add_archived_day(world.objects, Series("", "day"), DAY - timedelta(days=1))


def test_the_smallest_values_stand_together_where_an_answer_has_no_room_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counts, "MOST_ROWS", 10)
    assert MOST_ROWS > 10
    series = Series("source", "minute")
    for minute in range(5):
        for source in range(9):
            at = MIDNIGHT + timedelta(minutes=minute)
            series.add_taken(at, {f"s{source}": {"ban": source + 1}})
    rows = series.rows()
    assert {row["value"] for row in rows} == {"s8", "s7", THE_REST}
    assert sum(row["reported"] for row in rows) == 5 * sum(range(10))
