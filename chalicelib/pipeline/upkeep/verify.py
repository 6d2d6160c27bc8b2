"""Ask the edge whether bans are in force: some URLs of each ban task, once, a few minutes after it succeeded.

The tasks are found in the days' journals, from where the run before stopped. Crash order: ask, record on the task, move
on; a crash in between asks again for the task that is not on record, and for no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from chalicelib.domain.errors import ConfigurationError, VendorError
from chalicelib.domain.model import Action, TaskState
from chalicelib.domain.policy.rules import Policy, Verification, accounts_for
from chalicelib.ledger import chunks, claims, journal, tasks
from chalicelib.ledger.row import stamp, text
from chalicelib.ledger.tasks import Task, Verified
from chalicelib.ports import Emit, Probe, Rows

LOOK_BACK = timedelta(days=1)
"""What ended longer ago is not looked at any more: where verification was just switched on, or long at rest."""

PAGE = 100
"""Events, or claims, read at a time."""

OPEN_SHOWN = 10
"""URLs that are open still, of which a task's row keeps the text."""


def verify_bans(
    account: str,
    *,
    rows: Rows,
    policy: Policy,
    probe: Probe,
    emit: Emit,
    clock: Callable[[], datetime],
    deadline: datetime,
) -> int:
    """Verify what is due at an account, until the deadline; return how many tasks."""
    wanted = policy.verification
    if not wanted.sample:
        return 0
    now = clock()
    reader = f"verify_bans#{account}"
    place = begun_at = max(journal.place_of(rows, reader), stamp(now - LOOK_BACK))
    verified = 0
    for following, task in _ended(rows, place, until=now - timedelta(minutes=wanted.after_minutes)):
        if clock() >= deadline:
            break
        if task and task.account == account and _succeeded(task) and not task.verified:
            urls = _sample(task, rows=rows, policy=policy, size=wanted.sample, now=clock())
            found, problem = _ask(urls, wanted, probe=probe, clock=clock, deadline=deadline)
            if tasks.record_verified(rows, task, found):
                emit(
                    "bans_verified",
                    account=account,
                    task_id=task.id,
                    sampled=found.sampled,
                    blocked=found.blocked,
                    open=found.open,
                    problem=problem[:300],
                )
                verified += 1
        place = following
    if place != begun_at:
        journal.record_place(rows, reader, place)
    return verified


def _ended(rows: Rows, place: str, *, until: datetime) -> Iterator[tuple[str, Task | None]]:
    """Read what happened after a place: the place of each event, with the task that ended there."""
    while page := journal.following(rows, place, until=until, limit=PAGE):
        found = tasks.read(rows, [text(row, "subject") for row in page if row["kind"] == "task"])
        for row in page:
            place = text(row, "sk")
            yield place, found.get(text(row, "subject"))


def _succeeded(task: Task) -> bool:
    return task.action is Action.BAN and task.state is TaskState.SUCCEEDED


def _sample(task: Task, *, rows: Rows, policy: Policy, size: int, now: datetime) -> list[str]:
    """Choose URLs of a task that are ours to ask for (I5) and that it should be banning still; the same ones again
    after a crash.
    """
    found = chunks.read(rows, [each.chunk for each in task.slices])
    carried = [
        (found[each.chunk].keys[position], found[each.chunk].urls[position], each.chunk)
        for each in task.slices
        if each.chunk in found
        for position in each.positions()
    ]
    ours = [each for each in carried if task.account in accounts_for(each[1], policy)]
    ours.sort(key=lambda each: hashlib.sha256(f"{task.id} {each[0]}".encode()).digest())
    chosen: list[str] = []
    for start in range(0, len(ours), PAGE):
        part = ours[start : start + PAGE]
        known = claims.read(rows, [key for key, _, _ in part], consistent=True)
        chosen += [
            url
            for key, url, chunk in part
            if key in known and known[key].chunk == chunk and not known[key].outcome and not known[key].ended(now)
        ]
        if len(chosen) >= size:
            break
    return chosen[:size]


def _ask(
    urls: list[str], wanted: Verification, *, probe: Probe, clock: Callable[[], datetime], deadline: datetime
) -> tuple[Verified, str]:
    """Ask for each, one after another; return what was said, and the last thing that went wrong."""
    sampled = blocked = 0
    still_open: list[str] = []
    problem = ""
    for url in urls:
        if sampled and clock() >= deadline:  # with what is known by now: a task must not keep the others waiting
            break
        sampled += 1
        try:
            if probe(url) in wanted.expect:
                blocked += 1
            else:
                still_open.append(url)
        except (VendorError, ConfigurationError) as error:
            problem = str(error)
    return Verified(clock(), sampled, blocked, len(still_open), tuple(still_open[:OPEN_SHOWN])), problem
