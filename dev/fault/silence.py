"""Watch a run for silent stops: what stays in a state beyond its time while nothing tells the operators (I10).

``ALLOWED`` is the table "How long each state may last" of docs/operating.md, as far as its states pass within a run,
and ``SHORTENED`` has the times of the deployed copy (``dev.fault.shortened``). A test holds the names to the document.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

WAITS = "BansWaitAlarm"
"""The alarm that rings where the oldest has waited for as long as a chunk may wait."""

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Allowed:
    """How long a state may last, and which events or alarms tell that it lasts longer."""

    seconds: float
    told_by: tuple[str, ...]


ALLOWED: Mapping[str, Allowed] = {
    "chunk open": Allowed(7 * MINUTE, ("chunk_without_urls", "SweepErrorsAlarm")),
    "chunk waiting": Allowed(17 * MINUTE, (WAITS,)),
    "chunk refused": Allowed(3 * MINUTE, ("SweepErrorsAlarm",)),
    "task submitting": Allowed(17 * MINUTE, (WAITS,)),
    "task processing": Allowed(122 * MINUTE, ("task_overdue",)),
    "account blocked": Allowed(17 * MINUTE, ("vendor_refuses", "SubmissionBlockedAlarm")),
    "unban job": Allowed(62 * MINUTE, ("unban_failed", "unban_overdue")),
}
"""The documented times, and two minutes in which the next run of a schedule finds that they are over."""

SHORTENED: Mapping[str, Allowed] = {
    state: Allowed(seconds, ALLOWED[state].told_by)
    for state, seconds in {
        "chunk open": 45.0,
        "chunk waiting": 60.0,
        "chunk refused": 20.0,
        "task submitting": 60.0,
        "task processing": 50.0,
        "account blocked": 15.0,
        "unban job": 60.0,
    }.items()
}


@dataclass(frozen=True, slots=True)
class Stay:
    """A thing in a state, from the first look that saw it there until the last."""

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
    """An alarm for the operators. ``account`` is empty if the alarm is about none or any."""

    name: str
    at: float
    account: str = ""


@dataclass
class Watch:
    """The states of things at each look."""

    allowed: Mapping[str, Allowed]
    alarms: list[Alarm] = field(default_factory=list)
    _here: dict[tuple[str, str, str], Stay] = field(default_factory=dict)
    _gone: list[Stay] = field(default_factory=list)

    def look(self, now: float, present: Iterable[tuple[str, str, str]]) -> None:
        """Note the things of this moment, each as account, state and name."""
        before, self._here = self._here, {}
        for key in present:
            since = before.pop(key).since if key in before else now
            self._here[key] = Stay(*key, since=since, until=now)
        self._gone += before.values()

    def silent_stops(self) -> list[str]:
        """Name the things that stayed in a state beyond its time, without an alarm."""
        found = []
        for stay in (*self._gone, *self._here.values()):
            allowed = self.allowed[stay.state]
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


def alarms_in(lines: Iterable[str], allowed: Mapping[str, Allowed]) -> Iterator[Alarm]:
    """Read the alarms from a function's log: its troubles, and the measures that an alarm watches."""
    for line in lines:
        try:
            entry = json.loads(line)
            at = datetime.fromisoformat(entry["timestamp"]).timestamp()
            event, causes = str(entry["message"]), str(entry.get("trouble", "")).split()
        except (ValueError, KeyError, TypeError):
            continue
        yield from alarms_of(event, entry, causes, at=at, allowed=allowed)


def alarms_of(
    event: str, fields: Mapping[str, Any], causes: Iterable[str], *, at: float, allowed: Mapping[str, Allowed]
) -> Iterator[Alarm]:
    """Tell which alarms an event rings; ``causes`` are its troubles."""
    account = str(fields.get("account", ""))
    for cause in causes:
        yield Alarm(cause, at, account)
    if event == "submission_blocked":
        yield Alarm("SubmissionBlockedAlarm", at, account)
    if event == "account_swept" and float(fields.get("oldest_waiting", 0)) >= 0.85 * allowed["chunk waiting"].seconds:
        yield Alarm(WAITS, at, account)
