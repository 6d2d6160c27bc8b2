"""Watch a run for silent stops: what stays in a state beyond its time while nothing tells the operators (I10).

``ALLOWED`` is the table "How long each state may last" of docs/operating.md, as far as its states pass within a run,
with the times of the deployed copy (``dev.fault.shortened``). A test holds its names to the document.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

WAITS = 60.0
"""Seconds of waiting at which ``BansWaitAlarm`` would ring if its 15 minutes were shortened like the other times."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """How long a state may last, and which events or alarms tell that it lasts longer."""

    seconds: float
    told_by: tuple[str, ...]


ALLOWED: Mapping[str, Allowed] = {
    "chunk open": Allowed(45, ("chunk_without_urls", "SweepErrorsAlarm")),
    "chunk waiting": Allowed(WAITS, ("BansWaitAlarm",)),
    "chunk refused": Allowed(20, ("SweepErrorsAlarm",)),
    "task submitting": Allowed(WAITS, ("BansWaitAlarm",)),
    "task processing": Allowed(45, ("task_overdue",)),
    "account blocked": Allowed(15, ("vendor_refuses", "SubmissionBlockedAlarm")),
    "unban job": Allowed(60, ("unban_failed", "unban_overdue")),
}


@dataclass(frozen=True, slots=True)
class Stay:
    """Something in a state, from when it was seen there first until it was seen there last."""

    account: str
    state: str
    name: str
    since: float
    until: float

    @property
    def seconds(self) -> float:
        return self.until - self.since


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that tells the operators. ``account`` is empty where it is about none or any."""

    name: str
    at: float
    account: str = ""


@dataclass
class Watch:
    """What is where, as often as somebody looks."""

    alarms: list[Alarm] = field(default_factory=list)
    _here: dict[tuple[str, str, str], Stay] = field(default_factory=dict)
    _gone: list[Stay] = field(default_factory=list)

    def look(self, now: float, present: Iterable[tuple[str, str, str]]) -> None:
        """Note what is in which state now: account, state, name of the thing."""
        before, self._here = self._here, {}
        for key in present:
            since = before.pop(key).since if key in before else now
            self._here[key] = Stay(*key, since=since, until=now)
        self._gone += before.values()

    def silent_stops(self) -> list[str]:
        """Name what outlived its time without an alarm about it."""
        found = []
        for stay in (*self._gone, *self._here.values()):
            allowed = ALLOWED[stay.state]
            if stay.seconds > allowed.seconds and not self._told(stay, allowed):
                found.append(f"{stay.state} for {stay.seconds:.0f} s: {stay.account} {stay.name}".strip())
        return sorted(found)

    def _told(self, stay: Stay, allowed: Allowed) -> bool:
        return any(
            alarm.name in allowed.told_by
            and alarm.account in {"", stay.account}
            and stay.since <= alarm.at <= stay.until + allowed.seconds
            for alarm in self.alarms
        )


def states_of(account: str, rows: Sequence[Mapping[str, Any]], now: float) -> Iterator[tuple[str, str, str]]:
    """Yield what an account's rows and its tasks' rows say: account, state, name."""
    for row in rows:
        pk, sk, state = row["pk"], row["sk"], str(row.get("state", ""))
        if pk.startswith("task#") and state in {"submitting", "processing"}:
            yield account, f"task {state}", pk[5:]
        elif sk.startswith("chunk#") and state in {"open", "waiting", "refused"}:
            yield account, f"chunk {state}", sk[6:]
        elif pk == "jobs" and sk.startswith("u-"):  # the others wait for the end of a ban
            yield "", "unban job", sk
        elif sk == "control":
            blocks = ("blocked_until", "blocked_ban_until", "blocked_unban_until")
            if any(float(row.get(name) or 0) / 1000 > now for name in blocks):
                yield account, "account blocked", ""


def alarms_in(lines: Iterable[str]) -> Iterator[Alarm]:
    """Read the alarms from a function's log: its troubles, and the measures that an alarm watches."""
    for line in lines:
        try:
            entry = json.loads(line)
            at = datetime.fromisoformat(entry["timestamp"]).timestamp()
            event, account = str(entry["message"]), str(entry.get("account", ""))
        except (ValueError, KeyError, TypeError):
            continue
        for cause in str(entry.get("trouble", "")).split():
            yield Alarm(cause, at, account)
        if event == "submission_blocked":
            yield Alarm("SubmissionBlockedAlarm", at, account)
        if event == "account_swept" and float(entry.get("oldest_waiting", 0)) >= WAITS * 0.9:
            yield Alarm("BansWaitAlarm", at, account)
