"""What becomes of a task that the vendor refused or failed, or the policy forbids: parts go on, or URLs end."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import TypedDict

from chalicelib.domain.model import Action, TaskState, UrlState, Verdict
from chalicelib.domain.packing import Slice, halve, sort_out
from chalicelib.domain.policy.rules import Policy, forbidden
from chalicelib.ledger import claims, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import expiry, ordering
from chalicelib.ports import Rows

ChunkOf = Callable[[str], Chunk]
"""Find a chunk by its id."""

DRIFT = "drift"
"""The rule of chunks that ban again what the vendor lost."""

WITHHELD = "the policy forbids some of its URLs by now: the others go on"


class Ending(TypedDict):
    """How a task's URLs end without a call."""

    withheld: UrlState | None
    reason: str


def urls_of(task: Task, chunk_of: ChunkOf) -> list[str]:
    """The canonical URLs of a task, in order."""
    return [chunk_of(each.chunk).urls[position] for each in task.slices for position in each.positions()]


def split(
    rows: Rows, task: Task, *, reason: str, now: datetime, whole: bool = False, not_before: datetime | None = None
) -> list[Task]:
    """End a task as failed and carry its URLs on in two halves, or once more as a ``whole``; return the new tasks.

    One transaction: the URLs are always in exactly one unfinished task. Empty if somebody else did it before.
    """
    parts: tuple[tuple[Slice, ...], ...] = (task.slices,) if whole else halve(task.slices)
    children = [
        tasks.new_task(
            account=task.account,
            action=task.action,
            ban_days=task.ban_days,
            slices=part,
            parent=task,
            received_at=task.received_at,
            now=now,
            not_before=not_before,
        )
        for part in parts
    ]
    done = tasks.finish(rows, task, TaskState.FAILED, reason=reason, children=children, now=now)
    return children if done else []


def allowed(
    slices: tuple[Slice, ...], *, account: str, action: Action, chunk_of: ChunkOf, policy: Policy, now: datetime
) -> dict[Verdict | None, tuple[Slice, ...]]:
    """Split what is about to be sent by why the policy as it is now forbids it; ``None`` stands for what it allows.

    Between claim and call a host may have left the account, and a URL been protected (I5). Unbans are always allowed.
    """
    if action is Action.UNBAN:
        return {None: slices}
    found = {each.chunk: chunk_of(each.chunk).urls for each in slices}
    return sort_out(slices, lambda chunk, position: forbidden(found[chunk][position], account, policy, now))


def withhold(rows: Rows, task: Task, policy: Policy, *, chunk_of: ChunkOf, now: datetime) -> list[Task]:
    """Put parts in the place of a task that is certainly not at the vendor, if the policy forbids some of it by now."""
    parts = allowed(task.slices, account=task.account, action=task.action, chunk_of=chunk_of, policy=policy, now=now)
    if [*parts] == [None]:
        return []
    children = [
        tasks.new_task(
            account=task.account,
            action=task.action,
            ban_days=task.ban_days,
            slices=part,
            parent=task,
            received_at=task.received_at,
            now=now,
            **ending(why),
        )
        for why, part in parts.items()
    ]
    return children if tasks.finish(rows, task, TaskState.FAILED, reason=WITHHELD, children=children, now=now) else []


def ending(why: Verdict | None) -> Ending:
    """How a task's URLs end without a call, as fields of the task."""
    return {"withheld": UrlState(why.kind.value) if why else None, "reason": why.reason if why else ""}


def give_up(rows: Rows, task: Task, outcome: UrlState, *, reason: str, chunk_of: ChunkOf, now: datetime) -> bool:
    """End a task and its URLs: first each URL's claim says why, then the task, so that a crash between repeats it.

    An unban that failed leaves the ban in force, unless that was taken back before the vendor ever had it. A renewal
    that failed leaves in force what it would have renewed, for as long as that lasts.
    """
    for each in task.slices:
        chunk = chunk_of(each.chunk)
        keys = [chunk.keys[position] for position in each.positions()]
        if task.action is Action.UNBAN:
            sent = ordering.sent(rows, chunk, keys)
            claims.keep_banned(rows, sent, chunk=chunk.id, reason=f"the unban failed: {reason}")
        else:
            _hand_back(rows, chunk, keys, reason=f"not renewed: {reason}", now=now)
            claims.end(rows, keys, chunk=chunk.id, outcome=outcome, reason=reason)
    return tasks.finish(rows, task, TaskState.FAILED, reason=reason, now=now)


def _hand_back(rows: Rows, chunk: Chunk, keys: Collection[str], *, reason: str, now: datetime) -> None:
    """Give the claims that a renewal took over back to the bans that are still in force at the vendor."""
    if not chunk.renews or chunk.rule == DRIFT:  # what drift bans again is in force no more
        return
    owners: dict[str, list[str]] = {}
    for position, ban, _ in chunk.before:
        if ban in chunk.renews and chunk.keys[position] in keys:
            owners.setdefault(ban, []).append(chunk.keys[position])
    for ban, theirs in owners.items():
        until = expiry.of_chunk(rows, chunk.account, ban).until
        if until and until > now:
            claims.give_back(rows, theirs, chunk=chunk.id, to=ban, until=until, reason=reason)
