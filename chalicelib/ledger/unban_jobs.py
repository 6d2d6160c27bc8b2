"""Unban jobs: what an operator asked to undo, on record from before the first step until the last one is done."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from chalicelib.ledger import audit
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.row import millis, moment, number, stamp, text, texts
from chalicelib.ports import Delete, Insert, Key, Rows, Update

LONGEST_SUBJECT = 1_500
"""Characters of a URL by which a decision about it is found: a partition key holds 2,048 bytes."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request to undo bans: exactly one of ``urls`` (canonical), ``task``, ``report`` and ``source`` is set."""

    id: str
    actor: str
    reason: str
    cool_down_days: int
    at: datetime
    """When the operator asked."""
    urls: tuple[str, ...] = ()
    task: str = ""
    report: str = ""
    source: str = ""
    place: str = ""
    """How far the journal has been walked, where the bans are found by it."""

    @property
    def subject(self) -> str:
        """What the audit says the unban is about."""
        if self.task:
            return f"task:{self.task}"
        if self.report:
            return f"report:{self.report}"
        if self.source:
            return f"source:{self.source}"
        return f"urls:{len(self.urls)}"


def new_id(now: datetime) -> str:
    """Name a job. Ids sort by time."""
    return f"u-{stamp(now)}-{secrets.token_hex(4)}"


def record(rows: Rows, job: Job) -> None:
    """Put the request on record. From here on it will be carried out."""
    decision = Decision(job.actor, "unban", job.subject, job.reason, job.at, after=job.id, targets=len(job.urls))
    audit.record(rows, decision, also_about=[f"url:{url}" for url in job.urls if len(url) <= LONGEST_SUBJECT])
    pk, sk = _key(job.id)
    rows.apply(
        Insert(
            {
                "pk": pk,
                "sk": sk,
                "actor": job.actor,
                "reason": job.reason,
                "at": millis(job.at),
                "cool_down_days": job.cool_down_days,
                "urls": list(job.urls),
                "task": job.task,
                "report": job.report,
                "source": job.source,
            }
        )
    )


def unfinished(rows: Rows) -> list[Job]:
    """Read the jobs that are not carried out yet, oldest first."""
    jobs = []
    for row in rows.query("jobs", prefix="u-"):
        at = moment(row, "at")
        assert at
        jobs.append(
            Job(
                id=text(row, "sk"),
                actor=text(row, "actor"),
                reason=text(row, "reason"),
                cool_down_days=number(row, "cool_down_days"),
                at=at,
                urls=texts(row, "urls"),
                task=text(row, "task"),
                report=text(row, "report"),
                source=text(row, "source"),
                place=text(row, "place"),
            )
        )
    return jobs


def note_place(rows: Rows, job: Job, place: str) -> None:
    """Record how far the journal has been walked, so that the next run goes on from there."""
    rows.apply(Update(_key(job.id), set={"place": place}))


def finish(rows: Rows, job: Job) -> None:
    """Take a job that is carried out off the record; the audit and the chunks keep what it did."""
    rows.apply(Delete(_key(job.id)))


def _key(job_id: str) -> Key:
    return ("jobs", job_id)
