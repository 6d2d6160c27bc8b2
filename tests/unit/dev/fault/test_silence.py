"""The watch of a storm names the things that stay in a state beyond its time while no alarm rings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dev.fault.silence import ALLOWED, SHORTENED, Alarm, Watch, alarms_in, states_of

OPERATING = Path(__file__).resolve().parents[4] / "docs" / "operating.md"
CHUNK = ("main", "chunk waiting", "c")


def watched(seconds: float, *alarms: Alarm, key: tuple[str, str, str] = CHUNK) -> list[str]:
    watch = Watch(SHORTENED)
    for at in range(0, int(seconds) + 1, 2):
        watch.look(1_000.0 + at, [key])
    watch.look(1_000.0 + seconds + 2, [])
    watch.alarms += alarms
    return watch.silent_stops()


def test_what_stays_within_its_time_is_no_stop() -> None:
    assert watched(SHORTENED["chunk waiting"].seconds) == []


def test_what_outlives_its_time_in_silence_is_named() -> None:
    (stop,) = watched(SHORTENED["chunk waiting"].seconds + 10)
    assert stop.startswith("chunk waiting for 70 s: main c")


@pytest.mark.parametrize(
    ("alarm", "stops"),
    [
        (Alarm("BansWaitAlarm", 1_065.0, "main"), 0),
        (Alarm("BansWaitAlarm", 1_065.0, "other"), 1),
        (Alarm("task_overdue", 1_065.0, "main"), 1),
        (Alarm("BansWaitAlarm", 900.0, "main"), 1),
    ],
)
def test_only_an_alarm_of_the_state_and_the_account_and_the_time_breaks_the_silence(alarm: Alarm, stops: int) -> None:
    assert len(watched(70, alarm)) == stops


def test_a_thing_that_changes_its_state_begins_a_new_stay() -> None:
    watch = Watch(SHORTENED)
    for at in range(0, 100, 2):
        watch.look(float(at), [("main", "chunk open" if at < 40 else "chunk waiting", "c")])
    assert watch.silent_stops() == []


def test_the_states_are_read_from_the_rows() -> None:
    rows: list[dict[str, object]] = [
        {"pk": "account#main", "sk": "chunk#c", "state": "waiting"},
        {"pk": "account#main", "sk": "chunk#d", "state": "held"},
        {"pk": "task#t", "sk": "task", "state": "processing"},
        {"pk": "account#main", "sk": "control", "blocked_ban_until": 2_000_000},
        {"pk": "jobs", "sk": "u-1"},
        {"pk": "jobs", "sk": "e-1"},
    ]
    states = [state for _, state, _ in states_of("main", rows, 1_000.0)]
    assert states == ["chunk waiting", "task processing", "account blocked", "unban job"]


def test_the_alarms_are_read_from_the_log() -> None:
    lines = [
        "START RequestId: 1",
        json.dumps({"timestamp": "2026-01-15T08:30:00+00:00", "message": "task_overdue", "trouble": "task_overdue"}),
        json.dumps({"timestamp": "2026-01-15T08:30:00+00:00", "message": "account_swept", "oldest_waiting": 59}),
        json.dumps({"timestamp": "2026-01-15T08:30:00+00:00", "message": "account_swept", "oldest_waiting": 5}),
    ]
    assert [alarm.name for alarm in alarms_in(lines, SHORTENED)] == ["task_overdue", "BansWaitAlarm"]


def test_each_state_and_its_alarms_stand_in_the_table_for_operators() -> None:
    table = OPERATING.read_text()
    for state, allowed in ALLOWED.items():
        row = re.search(rf"^\| {state} \|.*$", table, re.MULTILINE)
        assert row, state
        assert all(name in row[0] for name in allowed.told_by), state
