"""How long the bans of a chunk last at the vendor: from when they were submitted, which may be long after the claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.model import Action, TaskState
from chalicelib.ledger import chunks, tasks
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch
from chalicelib.ledger.tasks import Task
from chalicelib.ports import Rows


@dataclass(frozen=True, slots=True)
class Term:
    """``waiting``: something of the chunk is not at its end yet. ``until``: when its last ban ends at the vendor."""

    waiting: bool
    until: datetime | None


def of_task(task: Task) -> datetime | None:
    """When the bans of a task end at the vendor; ``None`` if it made none."""
    if task.action is not Action.BAN or task.state is not TaskState.SUCCEEDED or task.submitted_at is None:
        return None
    return task.submitted_at + timedelta(days=task.ban_days)


def of_chunk(rows: Rows, account: str, chunk: str) -> Term:
    """Look at all that became of a chunk."""
    waiting = chunks.work_of(rows, account, chunk) is not None
    until: datetime | None = None
    left = [task_id for task_id, _, _ in tasks.of_chunk(rows, chunk)]
    while left:
        found = tasks.read(rows, left)
        for task in found.values():
            waiting |= task.state in {TaskState.SUBMITTING, TaskState.PROCESSING}
            end = of_task(task)
            until = max(until, end) if until and end else until or end
        left = [child for task in found.values() for child in task.children]
    return Term(waiting, until)


def in_force(
    rows: Rows, account_of: Mapping[str, str], known: Mapping[str, Claim], *, now: datetime
) -> dict[str, Claim]:
    """Correct the planned end of claims that seem to have ended: an outage, a pause or a hold moved their bans.

    Only claims whose end has passed are looked into, which a report after a ban's end is; all others cost nothing.
    ``account_of`` maps URL keys to their accounts.
    """
    terms: dict[str, Term] = {}
    corrected = dict(known)
    for key, claim in known.items():
        if claim.outcome or claim.until > epoch(now):
            continue
        if claim.chunk not in terms:
            terms[claim.chunk] = of_chunk(rows, account_of[key], claim.chunk)
        term = terms[claim.chunk]
        if term.waiting:
            corrected[key] = replace(claim, until=epoch(now + timedelta(days=1)))
        elif term.until and term.until > now:
            corrected[key] = replace(claim, until=epoch(term.until))
    return corrected
