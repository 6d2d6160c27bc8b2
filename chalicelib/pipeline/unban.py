"""Undo bans: by URL, by task, by report, or all of a source gone wrong.

A request is recorded as a job before anything is done, and carried out in steps of a chunk that may each be repeated:
the sweep goes on with a job whose request died.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.domain.model import Action
from chalicelib.domain.policy import Policy, accounts_for
from chalicelib.domain.urls import url_key
from chalicelib.ledger import audit, chunks, claims, journal, reports, tasks
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import millis, moment, number, stamp, text, texts
from chalicelib.pipeline import claiming, order
from chalicelib.ports import Delete, Insert, Kick, Rows, Tell

LOOK_BACK = timedelta(days=40)
"""How far back a source's bans are undone: no ban that is not renewed is older than 30 days."""

UNBAN_DAYS = 7
"""The vendor's duration field for an unban: sent where its model demands one, without meaning there."""


@dataclass(frozen=True, slots=True)
class Job:
    """What an operator asked to undo. Exactly one of ``urls`` (canonical), ``task``, ``report``, ``source`` is set."""

    id: str
    actor: str
    reason: str
    cool_down_days: int
    at: datetime
    urls: tuple[str, ...] = ()
    task: str = ""
    report: str = ""
    source: str = ""

    @property
    def subject(self) -> str:
        """What the job is about, for the audit."""
        if self.task:
            return f"task:{self.task}"
        if self.report:
            return f"report:{self.report}"
        if self.source:
            return f"source:{self.source}"
        return f"urls:{len(self.urls)}"


def new_id(now: datetime) -> str:
    """Name a job."""
    return f"u-{stamp(now)}-{secrets.token_hex(4)}"


def record(rows: Rows, job: Job) -> None:
    """Put the request on record: from here on it will be carried out."""
    audit.record(rows, Decision(job.actor, "unban", job.subject, job.reason, job.at, after=job.id))
    rows.write([
        Insert({
            "pk": "jobs", "sk": job.id, "actor": job.actor, "reason": job.reason, "at": millis(job.at),
            "cool_down_days": job.cool_down_days, "urls": list(job.urls), "task": job.task, "report": job.report,
            "source": job.source,
        })
    ])  # fmt: skip


def unfinished(rows: Rows) -> list[Job]:
    """Read the jobs that are not carried out yet, oldest first."""
    jobs = []
    for row in rows.query("jobs", prefix="u-"):
        at = moment(row, "at")
        assert at
        jobs.append(
            Job(
                id=text(row, "sk"), actor=text(row, "actor"), reason=text(row, "reason"), at=at,
                cool_down_days=number(row, "cool_down_days"), urls=texts(row, "urls"), task=text(row, "task"),
                report=text(row, "report"), source=text(row, "source"),
            )
        )  # fmt: skip
    return jobs


def carry_out(
    job: Job, *, rows: Rows, policy: Policy, kick: Kick, tell: Tell, clock: Callable[[], datetime], deadline: datetime
) -> int | None:
    """Unban what the job selects; return how many URLs, or ``None`` if time ran out and the sweep must go on."""
    done = 0
    accounts: set[str] = set()
    finished = False
    for group in select(job, rows=rows, policy=policy, now=job.at):
        for account, of_account in _by_account(group).items():
            for part in claiming.parts((each.url, each) for each in of_account):
                won = _unban(part, account, job, rows=rows, now=clock())
                done += won
                accounts |= {account} if won else set()
        if clock() >= deadline:
            break
    else:
        finished = True
        rows.write([Delete(("jobs", job.id))])
    for account in accounts:
        kick(account, now=clock())
    tell("unban_carried_out", job_id=job.id, actor=job.actor, subject=job.subject, urls=done, finished=finished)
    return done if finished else None


def select(job: Job, *, rows: Rows, policy: Policy, now: datetime) -> Iterator[list[Claim]]:
    """Find the claims that a job is about and that are in force, in groups."""
    if job.source:
        yield from _of_source(job.source, rows=rows, now=now)
        return
    if job.task:
        keys = _keys_of_task(rows, job.task)
        owners = {each.chunk for task in tasks.read(rows, [job.task]).values() for each in task.slices}
        yield [each for each in _in_force(rows, keys, now) if each.chunk in owners]
        return
    urls: Sequence[str] = job.urls
    if job.report:
        report = reports.read(rows, job.report)
        urls = report.urls if report else ()
    keys = [url_key(account, url) for url in urls for account in accounts_for(url, policy)]
    found = _in_force(rows, keys, now)
    # Of a report only what it caused: the rest is banned for another's word.
    yield [each for each in found if not job.report or each.report == job.report]


def _keys_of_task(rows: Rows, task_id: str) -> list[str]:
    task = tasks.read(rows, [task_id]).get(task_id)
    if task is None:
        return []
    found = chunks.read(rows, [each.chunk for each in task.slices])
    return [found[each.chunk].keys[position] for each in task.slices for position in each.positions()]


def _in_force(rows: Rows, keys: Sequence[str], now: datetime) -> list[Claim]:
    found = claims.read(rows, keys, consistent=True, whole=True)
    return [found[key] for key in dict.fromkeys(keys) if key in found and not found[key].ended(now)]


def _of_source(source: str, *, rows: Rows, now: datetime) -> Iterator[list[Claim]]:
    """Walk the days' journals for chunks in which the source has URLs: no scan of the ledger."""
    day = (now - LOOK_BACK).date()
    while day <= now.date():
        ids = [text(row, "subject") for row in journal.read(rows, day) if row["kind"] == "chunk"]
        for start in range(0, len(ids), 20):
            for chunk in chunks.read(rows, ids[start : start + 20]).values():
                keys = [k for k, origin in zip(chunk.keys, chunk.origins, strict=True) if origin.source == source]
                if keys and chunk.action is Action.BAN:
                    yield [each for each in _in_force(rows, keys, now) if each.chunk == chunk.id]
        day += timedelta(days=1)


def _by_account(found: Iterable[Claim]) -> dict[str, list[Claim]]:
    accounts: dict[str, list[Claim]] = {}
    for each in found:
        accounts.setdefault(each.account, []).append(each)
    return accounts


def _unban(part: list[Claim], account: str, job: Job, *, rows: Rows, now: datetime) -> int:
    known: Mapping[str, Claim] = {each.key: each for each in part}
    keys = tuple(known)
    banned_by = dict.fromkeys(each.chunk for each in part)
    origin = Origin(job.report, f"operator:{job.actor}", job.actor, "unban", job.reason)
    chunk = Chunk(
        id=chunks.chunk_id(now, f"unban|{account}", keys),
        account=account, action=Action.UNBAN, ban_days=UNBAN_DAYS, rule="unban",
        urls=tuple(each.url for each in part), keys=keys, origins=(origin,) * len(keys), created_at=now,
        received_at=job.at, until=now + timedelta(days=job.cool_down_days), before=claiming.history(keys, known),
        after=tuple(each for each in banned_by if not order.ended(rows, account, each)),
        actor=job.actor, reason=job.reason,
    )  # fmt: skip
    return len(claiming.begin(rows, chunk, known, now=now))
