"""Ask the edge whether bans are in force: some URLs of each ban task, once, a few minutes after it succeeded.

The tasks are found in the journal, from the place where the run before stopped. Crash order: ask, record the answers on
the task, move on. After a crash in between, only the task without answers on record is asked about again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta

from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import ConfigurationError, VendorError
from chalicelib.domain.model import Action, TaskState
from chalicelib.domain.policy.model import EdgeOfAccount, Policy
from chalicelib.domain.policy.rules import accounts_for
from chalicelib.domain.urls import host_of
from chalicelib.ledger import chunk_chain, chunks, claims, journal, tasks
from chalicelib.ledger.row import stamp
from chalicelib.ledger.tasks import Task
from chalicelib.ledger.verified import Verified, record
from chalicelib.pipeline.run import Run
from chalicelib.ports import Probe, Rows

LOOK_BACK = timedelta(days=1)
"""Tasks that ended longer ago are skipped: verification was switched on just now, or stood still for long."""

PAGE = 100
"""Events of the journal, or claims, read at a time."""

OPEN_SHOWN = 10
"""How many URLs that are still open a task's row names."""


def verify_bans(run: Run, probe: Probe) -> int:
    """Verify the tasks that are due at an account, until the deadline; return how many these are."""
    policy = run.policy
    verification = policy.verification
    if not verification.sample:
        return 0
    now = run.clock()
    reader = f"verify_bans#{run.account}"
    place = begun_at = max(journal.place_of(run.rows, reader), stamp(now - LOOK_BACK))
    verified = 0
    for following, task in _ended_after(run.rows, place, until=now - timedelta(minutes=verification.after_minutes)):
        if run.time_is_up:
            break
        if task and task.account == run.account and _is_due(task):
            urls = _sample(run, task, policy)
            answers, problem = _ask(run, urls, policy, probe)
            if record(run.rows, tasks.task_key(task.id), answers):
                run.emit(
                    "bans_verified",
                    account=run.account,
                    task_id=task.id,
                    sampled=answers.sampled,
                    blocked=answers.blocked,
                    open=answers.open,
                    problem=problem[:300],
                )
                verified += 1
        place = following
    if place != begun_at:
        journal.record_place(run.rows, reader, place)
    return verified


def _ended_after(rows: Rows, place: str, *, until: datetime) -> Iterator[tuple[str, Task | None]]:
    """Yield the place of each event after a place, with the task that ended there, if one did."""
    while page := journal.following(rows, place, until=until, limit=PAGE):
        tasks_by_id = tasks.read(rows, [event.subject for event in page if event.kind == "task"])
        for event in page:
            place = event.place
            yield place, tasks_by_id.get(event.subject)


def _is_due(task: Task) -> bool:
    return task.action is Action.BAN and task.state is TaskState.SUCCEEDED and not task.verified


def _sample(run: Run, task: Task, policy: Policy) -> list[str]:
    """Choose URLs of a task that are on our hosts (I5) and that it should still ban.

    After a crash the same URLs are chosen again.
    """
    now, size = run.clock(), policy.verification.sample
    chunks_by_id = chunks.read(run.rows, [part.chunk for part in task.slices])
    carried = [
        (chunks_by_id[part.chunk], position)
        for part in task.slices
        if part.chunk in chunks_by_id
        for position in part.positions()
    ]
    ours = [
        (chunk, position)
        for chunk, position in carried
        if task.account in accounts_for(host_of(chunk.urls[position]), policy)
    ]
    ours.sort(key=lambda pair: hashlib.sha256(f"{task.id} {pair[0].keys[pair[1]]}".encode()).digest())
    chosen: list[str] = []
    for part in cut(ours, count=PAGE):
        claims_by_key = claims.read(run.rows, [chunk.keys[position] for chunk, position in part], consistent=True)
        chosen += [
            chunk.urls[position]
            for chunk, position in part
            if chunk_chain.belongs(claims_by_key, chunk, position)
            and not claims_by_key[chunk.keys[position]].needs_new_ban(now)
        ]
        if len(chosen) >= size:
            break
    return chosen[:size]


def _ask(run: Run, urls: list[str], policy: Policy, probe: Probe) -> tuple[Verified, str]:
    """Ask for each URL, one after another; return the answers, and the last thing that went wrong.

    When time is up, the answers so far count: a task with slow URLs must not keep the other tasks waiting for ever.
    """
    edge = policy.edges.get(run.account, EdgeOfAccount())
    expect = edge.expect or policy.verification.expect
    sampled = blocked = 0
    open_urls: list[str] = []
    problem = ""
    for url in urls:
        if sampled and run.time_is_up:
            break
        sampled += 1
        try:
            if probe(url, edge=edge.host) in expect:
                blocked += 1
            else:
                open_urls.append(url)
        except (VendorError, ConfigurationError) as error:
            problem = str(error)
    return Verified(run.clock(), sampled, blocked, len(open_urls), tuple(open_urls[:OPEN_SHOWN])), problem
