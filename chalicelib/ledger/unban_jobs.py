"""Unban jobs: what an operator asked to undo. A job is on record from before its first step until its last is done."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.ledger import KEEP_DECISIONS, audit
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.row import epoch, millis, moment, number, stamp, text, texts
from chalicelib.ports import Delete, Insert, Key, Put, Row, Rows, Update

ENDS_READ = 100
"""How many jobs that lift bans at their end a sweep reads: the next sweep reads the rest."""

LONGEST_REASON = 500
"""Characters of the reason of a lift at an end."""

LONGEST_SUBJECT = 1_500
"""Characters of a URL by which a decision about it is found: a partition key holds 2,048 bytes."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request to undo bans.

    It names URLs (``urls``, canonical), a ``task``, a ``report`` or a ``chunk``; or a ``source``, a ``host``, a
    ``category`` or several of these: then it undoes the bans that match all of them.
    """

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
    chunk: str = ""
    host: str = ""
    """With a dot in front it covers the host and all hosts below it."""
    category: str = ""
    since: datetime | None = None
    until_time: datetime | None = None
    """Only bans that were made by then are undone; ``None``: by now."""
    ends: bool = False
    """Whether it lifts bans at ``at``, which is the end that a person set for them."""
    even_if_others_said_so: bool = False
    """Whether bans are lifted even if other sources asked for them too."""
    place: str = ""
    """How far the walk through the journal, or through the index of bans, has come."""
    undone: int = 0
    """How many URLs earlier runs have undone."""
    only_from: datetime | None = None
    """Only bans that began since then are undone; older ones wait for a second person (``second_person``)."""
    waits: bool = False
    """Whether it waits for a second person."""
    person: str = ""
    """The person who asked, if the job waits: the second person must be another one."""
    approved_by: str = ""
    """The operator who approved it, if it waited."""

    @property
    def subjects(self) -> list[str]:
        """The things that the unban is about, one by one."""
        parts = {
            "task": self.task,
            "report": self.report,
            "chunk": self.chunk,
            "source": self.source,
            "host": self.host,
            "category": self.category,
        }
        named = [f"{kind}:{name}" for kind, name in parts.items() if name]
        return named or [f"urls:{len(self.urls)}"]

    @property
    def subject(self) -> str:
        """What the audit says the unban is about."""
        spans = {"since": self.since, "until": self.until_time}
        return " ".join([*self.subjects, *(f"{word} {at.isoformat()}" for word, at in spans.items() if at)])

    @property
    def by_index(self) -> bool:
        """Whether its bans are found in the index of bans."""
        return bool(self.host or self.category)

    @property
    def takes_back_words(self) -> bool:
        """Whether it takes back words, so that a ban stays if other sources asked for it too."""
        by_place = self.host and not (self.source or self.category)
        return not (self.urls or by_place or self.even_if_others_said_so)


WAITING = "w-"
"""The prefix of the id of a job that waits for a second person. Version 1 carries out no job with it."""

U_JOBS, S_JOBS = "u-", "s-"
"""How ids of jobs begin: one prefix for jobs that version 1 can carry out, one for selections that it does not know."""


UNKNOWN_TO_VERSION_1 = frozenset({"chunk", "host", "category", "until_time", "only_from"})
"""Fields of a job that version 1 does not read. It would undo everything that has no report."""


def beginning_of(selection: Collection[str]) -> str:
    """Return how the id of a job begins, by the fields of ``Job`` that its selection uses."""
    return U_JOBS if UNKNOWN_TO_VERSION_1.isdisjoint(selection) else S_JOBS


def new_id(now: datetime, *, beginning: str = U_JOBS) -> str:
    """Name a job. Ids sort by time."""
    return f"{beginning}{stamp(now)}-{secrets.token_hex(4)}"


def day_of(job_id: str) -> str:
    """Return the UTC day on which a job was asked for, as ``20260115``. For a text that is no job's id it is no day."""
    return job_id[2:10] if job_id.startswith((U_JOBS, S_JOBS)) else ""


CHANGES_WITHIN = timedelta(minutes=2)
"""The longest time from a job's row to the claim that names the same end: no function that changes ends runs longer."""


def lift_at(rows: Rows, end: datetime, urls: Sequence[str], *, actor: str, reason: str, now: datetime) -> None:
    """Put a job on record that lifts bans at their end. It is on record before the claims say so.

    The sweep carries it out at the end, and not before ``CHANGES_WITHIN`` has passed: it would find claims that do not
    say so yet, and lift nothing. Its id begins in its own way, since version 1 would carry out at once any job whose id
    it knows.
    """
    due = max(end, now + CHANGES_WITHIN)
    name = f"e-{stamp(due)}-{hashlib.sha256(chr(10).join(urls).encode()).hexdigest()[:12]}"
    rows.apply(Put(row_of(Job(name, actor, reason[:LONGEST_REASON], 0, end, tuple(urls)))))


def subjects(urls: Iterable[str]) -> list[str]:
    """Return the subjects by which a decision about URLs is found."""
    return [f"url:{url}" for url in urls if len(url) <= LONGEST_SUBJECT]


LONGEST_NAMED = 500
"""How many characters of a URL a decision names as its subject: the journal's sort key has room for 1,024 bytes."""


def subject_of(urls: Sequence[str]) -> str:
    """Return the subject of a decision about URLs: the URL if there is only one, else their number."""
    return f"url:{urls[0]}" if len(urls) == 1 and len(urls[0]) <= LONGEST_NAMED else f"urls:{len(urls)}"


def record(rows: Rows, job: Job) -> None:
    """Put the request on record. From here on it will be carried out."""
    subject = subject_of(job.urls) if job.urls else job.subject
    decision = Decision(job.actor, "unban", subject, job.reason, job.at, after=job.id, targets=len(job.urls))
    audit.record(rows, decision, also_about=subjects(job.urls) if job.urls else job.subjects)
    rows.apply(Insert(row_of(job)))


def row_of(job: Job) -> Row:
    """Return a job as its row has it."""
    pk, sk = key_of(job)
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
        **{name: getattr(job, name) for name in ("place", "chunk", "host", "category") if getattr(job, name)},
        **({"since": millis(job.since)} if job.since else {}),
        **({"until_time": millis(job.until_time)} if job.until_time else {}),
        **({"only_from": millis(job.only_from)} if job.only_from else {}),
        **({"person": job.person} if job.waits else {}),
    }


_BEHIND_ENDS = "e."
"""Sorts behind the ids of jobs that lift bans at their end, and before all others."""


def unfinished(rows: Rows) -> list[Job]:
    """Read the jobs that are not carried out yet, oldest first, without those that lift bans at their end.

    Jobs that wait for a second person are among them.
    """
    return sorted(_jobs(rows.query("jobs", after=_BEHIND_ENDS)), key=lambda job: job.id[2:])


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
                id=text(row, "sk").removeprefix(WAITING),
                actor=text(row, "actor"),
                reason=text(row, "reason"),
                cool_down_days=number(row, "cool_down_days"),
                at=at,
                urls=texts(row, "urls"),
                task=text(row, "task"),
                report=text(row, "report"),
                source=text(row, "source"),
                chunk=text(row, "chunk"),
                host=text(row, "host"),
                category=text(row, "category"),
                since=moment(row, "since"),
                until_time=moment(row, "until_time"),
                ends=text(row, "sk").startswith("e-"),
                even_if_others_said_so=bool(number(row, "even_if_others_said_so")),
                place=text(row, "place"),
                undone=number(row, "undone"),
                only_from=moment(row, "only_from"),
                waits=text(row, "sk").startswith(WAITING),
                person=text(row, "person"),
                approved_by=text(row, "approved_by"),
            )
        )
    return jobs


def note_place(rows: Rows, job: Job, place: str, *, undone: int) -> None:
    """Record how far the walk has come and how many URLs were undone, so that the next run goes on from there."""
    rows.apply(Update(_key(job.id), set={"place": place, "undone": undone}))


def finish(rows: Rows, job: Job, *, undone: int, now: datetime) -> None:
    """Remove a job that is carried out, and keep how many URLs it undid.

    The audit and the chunks keep what it did. The number is written first: after a crash between the two writes the
    job is carried out again, and the number written again.
    """
    if not job.ends:
        rows.apply(number_undone(job.id, undone, now=now))
    rows.apply(Delete(_key(job.id)))


def number_undone(job_id: str, undone: int, *, now: datetime) -> Put:
    """Return the step that keeps how many URLs a job has undone."""
    pk, sk = _done_key(job_id)
    return Put({"pk": pk, "sk": sk, "undone": undone, "at": millis(now), "expires_at": epoch(now + KEEP_DECISIONS)})


def undone(rows: Rows, job_ids: Sequence[str]) -> dict[str, int]:
    """Return how many URLs each finished job has undone. Earlier versions kept no number."""
    found = rows.get([_done_key(job_id) for job_id in job_ids])
    return {pk.removeprefix("unban#"): number(row, "undone") for (pk, _), row in found.items()}


def _done_key(job_id: str) -> Key:
    return (f"unban#{job_id}", "done")


def key_of(job: Job) -> Key:
    """Return the key of a job's row."""
    return _key(f"{WAITING}{job.id}" if job.waits else job.id)


def _key(job_id: str) -> Key:
    return ("jobs", job_id)
