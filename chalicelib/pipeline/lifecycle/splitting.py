"""Split or end a task that the vendor refused or failed, or that the policy forbids: parts go on, or URLs end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypedDict
from urllib.parse import urlsplit

from chalicelib.domain.model import Action, Rule, TaskState, UrlState, Verdict
from chalicelib.domain.packing import Slice, halve, sort_out, trimmed
from chalicelib.domain.policy.forbidden import forbidden
from chalicelib.domain.series import BY_PEOPLE
from chalicelib.ledger import claim_decisions, claim_ends, due_chunks, failed_unbans, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.failed_unbans import Asked
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import ordering
from chalicelib.pipeline.lifecycle.by_source import attributed
from chalicelib.pipeline.lifecycle.calling_back import call_back_of_task
from chalicelib.pipeline.lifecycle.handing_back import hand_back
from chalicelib.pipeline.lifecycle.retrying import end_failed
from chalicelib.pipeline.run import Run

LIFT_AGAIN = timedelta(days=1)
"""When edgeban tries again to lift bans at their end, after the vendor refused."""

TAKEN_BACK = "some of its URLs were unbanned before it was sent: the others go on"
WITHHELD = "the policy forbids some of its URLs by now: the others go on"


class Ending(TypedDict):
    """How a task's URLs end without a call, as fields of the task."""

    withheld: UrlState | None
    reason: str


def ending(verdict: Verdict | None) -> Ending:
    """Return how URLs end that a verdict keeps from the vendor. Without a verdict they are sent: their task decides."""
    return {
        "withheld": UrlState(verdict.kind.value) if verdict else None,
        "reason": verdict.reason if verdict else "",
    }


def urls_of(task: Task, chunks_by_id: Mapping[str, Chunk]) -> list[str]:
    """Return the canonical URLs of a task, in order."""
    return [chunks_by_id[part.chunk].urls[position] for part in task.slices for position in part.positions()]


def urls_sent(task: Task, chunks_by_id: Mapping[str, Chunk]) -> list[str]:
    """Return the URLs of a task as the vendor gets them, each once: two unbans of one URL may be in one task."""
    return list(dict.fromkeys(urls_of(task, chunks_by_id)))


def split(
    run: Run,
    task: Task,
    *,
    reason: str,
    parts: Sequence[tuple[Slice, ...]] = (),
    not_before: datetime | None = None,
) -> list[Task]:
    """End a task as failed and carry its URLs on in ``parts``, or in two halves; return the new tasks.

    One transaction does it: a URL is always in exactly one unfinished task. The answer is empty if somebody else ended
    the task first.
    """
    now = run.clock()
    children = [_part_of(task, part, now=now, not_before=not_before) for part in parts or halve(task.slices)]
    done = tasks.finish(run.rows, task, TaskState.FAILED, reason=reason, children=children, now=now)
    return children if done else []


def take_out(run: Run, task: Task, keys: Collection[str], chunks_by_id: Mapping[str, Chunk]) -> list[Task]:
    """End a task that was certainly not sent, and make a task of all its URLs except those with these keys.

    Return that task, if any URL is left.
    """
    groups = sort_out(task.slices, lambda chunk, position: chunks_by_id[chunk].keys[position] in keys)
    now, children = run.clock(), list[Task]()
    if False in groups:
        rest = _part_of(task, groups[False], now=now, not_before=task.not_before)
        children = [replace(rest, withheld=task.withheld, reason=task.reason)]
    done = tasks.finish(run.rows, task, TaskState.FAILED, reason=TAKEN_BACK, children=children, now=now)
    return children if done else []


def split_by_host(run: Run, task: Task, urls: Sequence[str], *, reason: str) -> list[Task]:
    """End a task of several hosts as failed, and make two tasks with half of the hosts each; return these."""
    hosts = list(dict.fromkeys(map(host_of, urls)))
    first = set(hosts[: len(hosts) // 2])
    url_of = {
        (part.chunk, position): url
        for (part, position), url in zip(
            ((part, position) for part in task.slices for position in part.positions()), urls, strict=True
        )
    }
    groups = sort_out(task.slices, lambda chunk, position: host_of(url_of[chunk, position]) in first)
    now = run.clock()
    children = [_part_of(task, tuple(map(trimmed, groups[is_first])), now=now) for is_first in (True, False)]
    done = tasks.finish(run.rows, task, TaskState.FAILED, reason=reason, children=children, now=now)
    return children if done else []


def host_of(url: str) -> str:
    """Return the host of a canonical URL, with its port."""
    return urlsplit(url).netloc


def allowed(
    run: Run, action: Action, slices: tuple[Slice, ...], chunks_by_id: Mapping[str, Chunk]
) -> dict[Verdict | None, tuple[Slice, ...]]:
    """Group the URLs that are about to be sent by the verdict that forbids them now; ``None`` for allowed ones.

    Between claim and call a host may have left the account, or the policy may have protected a URL (I5). Unbans are
    always allowed.
    """
    if action is Action.UNBAN:
        return {None: slices}
    policy, now = run.policy, run.clock()
    return sort_out(
        slices,
        lambda chunk, position: forbidden(chunks_by_id[chunk].urls[position], run.account, policy, now),
    )


def withhold(run: Run, task: Task, chunks_by_id: Mapping[str, Chunk]) -> list[Task]:
    """Split a task that is certainly not at the vendor, if the policy now forbids some of its URLs; return the parts.

    The answer is empty if the policy allows all URLs, or if somebody else ended the task first.
    """
    parts = allowed(run, task.action, task.slices, chunks_by_id)
    if [*parts] == [None]:
        return []
    now = run.clock()
    children = [_part_of(task, part, now=now, verdict=verdict) for verdict, part in parts.items()]
    done = tasks.finish(run.rows, task, TaskState.FAILED, reason=WITHHELD, children=children, now=now)
    return children if done else []


def carry_on(
    run: Run,
    task: Task,
    failed: tuple[Slice, ...],
    *,
    reason: str,
    not_before: datetime,
    chunks_by_id: Mapping[str, Chunk],
) -> int:
    """End a task that failed for some URLs, and begin one that repeats these; return how many it repeats.

    A task of which no URL worked has failed. The answer is 0 if somebody else ended the task first.
    """
    now = run.clock()
    child = _part_of(task, failed, now=now, not_before=not_before)
    ending_task = attributed(run.rows, _failing_at(task, failed), chunks_by_id)
    state = TaskState.FAILED if child.count == task.count else TaskState.SUCCEEDED
    if not tasks.finish(run.rows, ending_task, state, reason=reason, children=[child], now=now):
        return 0
    call_back_of_task(run, task, chunks_by_id)
    return child.count


def _failing_at(task: Task, failed: tuple[Slice, ...]) -> Task:
    """Return the task with the places of the URLs that it failed, so that no later reader takes these for done."""
    not_done = {(part.chunk, position) for part in failed for position in part.positions()}
    failed_at = tuple(place for place, where in enumerate(task.places()) if where in not_done)
    return replace(task, failed_at=failed_at) if failed else task


def give_up(
    run: Run,
    task: Task,
    outcome: UrlState,
    *,
    reason: str,
    chunks_by_id: Mapping[str, Chunk],
    only: tuple[Slice, ...] = (),
) -> int | None:
    """End a task and its URLs; return how many of them edgeban does not send again by itself.

    Return ``None`` if somebody else ended the task. ``only`` are the URLs to end, if the vendor has done the others.

    Crash order: each URL's claim says why it ended, the request to unban says how many failed, then the task ends. A
    crash in between repeats the steps before. A failed unban leaves the ban in force, unless the ban was taken back
    before the vendor ever had it. If a renewal fails, the old ban stays in force, and may be renewed again.
    """
    now = run.clock()
    slices = only or task.slices
    urls, again = sum(part.count for part in slices), 0
    state = TaskState.FAILED if urls == task.count else TaskState.SUCCEEDED
    if task.action is Action.UNBAN:
        _give_up_unban(run, task, slices, chunks_by_id, reason=reason)
    for part in slices if task.action is Action.BAN else ():
        chunk = chunks_by_id[part.chunk]
        keys = [chunk.keys[position] for position in part.positions()]
        again += hand_back(run, task, chunk, keys, outcome, reason=reason)
        if task.withheld:
            claim_ends.end(run.rows, keys, chunk=chunk.id, outcome=outcome, reason=reason)
        else:
            again += end_failed(run, chunk, keys, outcome, reason=reason)
    ending_task = _failing_at(task, only)
    if state is TaskState.SUCCEEDED:
        ending_task = attributed(run.rows, ending_task, chunks_by_id)
    ended = tasks.finish(run.rows, ending_task, state, reason=reason, now=now)
    if ended:
        call_back_of_task(run, task, chunks_by_id)
    if ended and task.action is Action.UNBAN:
        run.emit("unban_failed", task_id=task.id, account=task.account, urls=urls, problem=reason[:300])
    return urls - again if ended else None


def _give_up_unban(
    run: Run, task: Task, slices: Sequence[Slice], chunks_by_id: Mapping[str, Chunk], *, reason: str
) -> None:
    """Leave the bans that were not lifted in force, and count them for each person's request."""
    now, failed_of = run.clock(), Counter[Asked]()
    for part in slices:
        chunk = chunks_by_id[part.chunk]
        keys = [chunk.keys[position] for position in part.positions()]
        banned = ordering.perhaps_banned(run.rows, chunk, keys)
        claim_decisions.unban_failed(run.rows, chunk, banned, reason=f"the unban failed: {reason}")
        if chunk.rule in BY_PEOPLE:
            failed_of[Asked(chunk.actor, chunk.received_at, chunk.unban_id)] += len(banned)
        if chunk.rule == Rule.ENDED:  # the bans outlast their end: the lift is tried again
            for ban in chunk.renews:
                due_chunks.plan_end(run.rows, chunk.account, ban, at=now + LIFT_AGAIN)
    for asked, urls in failed_of.items():
        failed_unbans.note(run.rows, asked, task=task.id, urls=urls, now=now)


def _part_of(
    parent: Task,
    slices: tuple[Slice, ...],
    *,
    now: datetime,
    not_before: datetime | None = None,
    verdict: Verdict | None = None,
) -> Task:
    """Make a task of some URLs of another one. With a ``verdict`` it ends these URLs without a call."""
    return Task(
        account=parent.account,
        action=parent.action,
        ban_days=parent.ban_days,
        slices=slices,
        created_at=now,
        received_at=parent.received_at,
        root=parent.root,
        endless=parent.endless,
        parent=parent.id,
        not_before=not_before,
        **ending(verdict),
    )


def end_withheld(run: Run, task: Task, outcome: UrlState, chunks_by_id: Mapping[str, Chunk]) -> None:
    """End a task that the policy keeps from the vendor, and its URLs."""
    ended = give_up(run, task, outcome, reason=task.reason, chunks_by_id=chunks_by_id)
    if ended is not None:
        run.emit("urls_withheld", task_id=task.id, account=run.account, urls=task.count, reason=task.reason)
