"""Unbans of many URLs, which wait for a second person if the policy says so (``approvals.lifts_two_above``).

Bans that are younger than a day never wait: a mistake of today is undone at once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.errors import Conflict, NotFound
from chalicelib.ledger import audit, unban_jobs
from chalicelib.ledger import second_person as steps
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.chunks import made_at
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import unpack
from chalicelib.ledger.row import stamp
from chalicelib.ledger.unban_jobs import S_JOBS, Job
from chalicelib.pipeline.run import Run

YOUNG = timedelta(days=1)
"""A ban that is younger than this is lifted without a second person."""


def began_since(claim: Claim, moment: datetime) -> bool:
    """Return whether a URL's ban began since a moment. A renewal does not begin a ban: its words are older."""
    if not claim.chunk or made_at(claim.chunk) < stamp(moment):
        return False
    return all(word.known_since >= moment for word in unpack(claim.words, ()))


def is_young(claim: Claim, at: datetime) -> bool:
    """Return whether one person may lift a URL's ban, however many URLs the request has."""
    return began_since(claim, at - YOUNG)


def ask(run: Run, job: Job, *, person: str, urls: int) -> tuple[Job, Job]:
    """Record an unban that waits, and one of the young bans that does not. Return both, the waiting one first.

    Bans that are made after the request are not part of the waiting unban: nobody has seen them.
    """
    until_time = job.until_time or (job.at if job.source or job.host or job.category else None)
    own_id = unban_jobs.new_id(job.at, beginning=S_JOBS)
    waiting = replace(job, id=own_id, waits=True, person=person, until_time=until_time)
    steps.ask(run.rows, waiting, urls=urls)
    run.emit("unban_waits", job_id=waiting.id, actor=job.actor, subject=job.subject, urls=urls)
    young = replace(job, id=unban_jobs.new_id(job.at, beginning=S_JOBS), only_from=job.at - YOUNG)
    return waiting, young


def approve(run: Run, unban_id: str, *, actor: str, person: str, reason: str) -> Job:
    """Approve an unban that waits; return the job to carry out. Raises NotFound and Conflict."""
    job = _find(run, unban_id)
    if job.person == person:
        raise Conflict("you have asked for this unban: it takes another person to approve it")
    subject = f"unban:{unban_id}"
    audit.record(run.rows, Decision(actor, "approve", subject, reason, run.clock(), before="waiting", after="approved"))
    if not steps.approve(run.rows, job, actor):
        raise Conflict("somebody decided about this unban at the same moment: look at it again")
    return steps.begin(run.rows, job, now=run.clock())


def cancel(run: Run, unban_id: str, *, actor: str, reason: str) -> None:
    """Cancel an unban that waits. Raises NotFound and Conflict."""
    job = _find(run, unban_id)
    subject = f"unban:{unban_id}"
    audit.record(run.rows, Decision(actor, "cancel", subject, reason, run.clock(), before="waiting", after="cancelled"))
    if not steps.cancel(run.rows, job, now=run.clock()):
        raise Conflict("somebody decided about this unban at the same moment: look at it again")


def _find(run: Run, unban_id: str) -> Job:
    job = steps.find(run.rows, unban_id)
    if job is None or job.approved_by:
        raise NotFound("no such unban waits for a second person: it is decided already, or its id is wrong")
    return job


def look_at(run: Run, job: Job) -> Job | None:
    """Return the job of an approval that died before it was carried out, or tell people that an unban waits."""
    if job.approved_by == steps.CANCELLED:
        steps.remove_cancelled(run.rows, job, now=run.clock())
        return None
    if job.approved_by:
        return steps.begin(run.rows, job, now=run.clock())
    if run.clock() - job.at > run.policy.approvals.alarm_after:
        hours = round((run.clock() - job.at) / timedelta(hours=1), 1)
        run.emit("unban_overdue", job_id=job.id, actor=job.actor, subject=job.subject, hours=hours)
    return None
