"""Unban jobs: what an operator asked to undo, on record from before the first step until the last one is done."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from chalicelib.ledger import audit
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.row import millis, moment, number, stamp, text, texts
from chalicelib.ports import Delete, Insert, Key, Put, Row, Rows, Update

ENDS_READ = 100
"""Jobs that lift bans at their end, read at once: a sweep takes the first, and the next one the rest."""

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
    ends: bool = False
    """Whether it lifts, at ``at``, bans that have come to the end which a person set."""
    even_if_others_said_so: bool = False
    """Whether bans that others asked for too are lifted as well."""
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


def lift_at(rows: Rows, job: Job) -> None:
    """Have bans lifted at the moment that ``job.at`` names. It is on record before the claims say so.

    Its name begins otherwise than those of other jobs, since version 1 would carry it out at once.
    """
    rows.apply(Put(_row(job)))


def end_id(at: datetime, urls: Iterable[str]) -> str:
    """Name a job that lifts bans at their end: repeating the request makes the same job."""
    return f"e-{stamp(at)}-{hashlib.sha256(chr(10).join(urls).encode()).hexdigest()[:12]}"


def subjects(urls: Iterable[str]) -> list[str]:
    """Return the subjects by which a decision about URLs is found."""
    return [f"url:{url}" for url in urls if len(url) <= LONGEST_SUBJECT]


def record(rows: Rows, job: Job) -> None:
    """Put the request on record. From here on it will be carried out."""
    decision = Decision(job.actor, "unban", job.subject, job.reason, job.at, after=job.id, targets=len(job.urls))
    audit.record(rows, decision, also_about=subjects(job.urls))
    rows.apply(Insert(_row(job)))


def _row(job: Job) -> Row:
    pk, sk = _key(job.id)
    return {
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
        **({"even_if_others_said_so": 1} if job.even_if_others_said_so else {}),
        **({"place": job.place} if job.place else {}),
    }


def unfinished(rows: Rows) -> list[Job]:
    """Read the jobs that are not carried out yet, oldest first, but for those that lift bans at their end."""
    return _jobs(rows.query("jobs", prefix="u-"))


def ends_due(rows: Rows, *, now: datetime) -> list[Job]:
    """Read the jobs that lift bans whose end has come, oldest first."""
    rows_read = rows.query("jobs", prefix="e-", limit=ENDS_READ)
    return _jobs(row for row in rows_read if text(row, "sk")[2:] <= stamp(now))


def _jobs(rows_read: Iterable[Row]) -> list[Job]:
    jobs = []
    for row in rows_read:
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
                ends=text(row, "sk").startswith("e-"),
                even_if_others_said_so=bool(number(row, "even_if_others_said_so")),
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
