"""Unbans that wait for a second person. Another person approves or cancels them; then they are jobs as all others.

Crash order of an approval: the row says who approved, the job joins those that are carried out, the waiting row is
removed. After a crash the sweep goes on from the first step. A cancellation is one transaction. Of two decisions at one
moment only one succeeds: each demands a row that says of neither.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chalicelib.ledger import audit, unban_jobs
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.unban_jobs import Job
from chalicelib.ports import Delete, Insert, Row, Rows, Update

CANCELLED = "(cancelled)"
"""Stands in the place of who approved an unban that an earlier version cancelled: it removed the row in a second call.
The sweep removes a row that is left, and must not take it for an approval."""


def ask(rows: Rows, job: Job, *, urls: int) -> None:
    """Record an unban of some number of URLs that another person must approve."""
    decision = Decision(job.actor, "unban", job.subject, job.reason, job.at, before="", after=job.id, targets=urls)
    audit.record(rows, decision, also_about=unban_jobs.subjects(job.urls) if job.urls else job.subjects)
    rows.apply(Insert(unban_jobs.row_of(job)))


def find(rows: Rows, job_id: str) -> Job | None:
    """Return an unban that waits; ``None`` if it no longer waits."""
    return next((job for job in unban_jobs.unfinished(rows) if job.waits and job.id == job_id), None)


def approve(rows: Rows, job: Job, actor: str) -> bool:
    """Record who approved a waiting unban; ``False`` if somebody decided about it before."""
    return rows.apply(Update(unban_jobs.key_of(job), set={"approved_by": actor}, expect=_undecided(job)))


def begin(rows: Rows, job: Job, *, now: datetime) -> Job:
    """Let an approved unban join the jobs that are carried out, as if asked for now. Repeating this changes nothing."""
    begun = replace(job, waits=False, at=now)
    rows.apply(Insert(unban_jobs.row_of(begun)))
    rows.apply(Delete(unban_jobs.key_of(job)))
    return begun


def cancel(rows: Rows, job: Job, *, now: datetime) -> bool:
    """Remove a waiting unban; ``False`` if somebody decided about it before. It counts as one that undid nothing."""
    cancelled = Delete(unban_jobs.key_of(job), expect=_undecided(job))
    return rows.transact([cancelled, unban_jobs.number_undone(job.id, 0, now=now)])


def remove_cancelled(rows: Rows, job: Job, *, now: datetime) -> None:
    """Remove an unban that an earlier version cancelled. Repeating this changes nothing."""
    rows.apply(unban_jobs.number_undone(job.id, 0, now=now))
    rows.apply(Delete(unban_jobs.key_of(job)))


def _undecided(job: Job) -> Row:
    return {"actor": job.actor, "approved_by": None}
