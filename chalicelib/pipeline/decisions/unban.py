"""Undo bans: by URL, by task, by report, or all of a source gone wrong.

A request is recorded as a job before anything is done, and carried out in steps of a chunk that may each be repeated:
the sweep goes on with a job whose request died.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.domain.cutting import cut
from chalicelib.domain.model import CHUNK_BYTES, CHUNK_URLS, Action, Rule
from chalicelib.domain.policy.rules import Policy
from chalicelib.ledger import audit, reports, tasks
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import millis, moment, number, stamp, text, texts
from chalicelib.pipeline.decisions.unban_selection import in_force, select
from chalicelib.pipeline.lifecycle import claiming
from chalicelib.pipeline.run import Run
from chalicelib.ports import Delete, Emit, Insert, Rows, Update, Wake

TRIES = 5
"""How often URLs are unbanned again that something else changed between read and write, in one run."""

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
    place: str = ""
    """How far the journal has been walked, if the job is found by it."""

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
    rows.apply(
        Insert(
            {
                "pk": "jobs",
                "sk": job.id,
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
                at=at,
                cool_down_days=number(row, "cool_down_days"),
                urls=texts(row, "urls"),
                task=text(row, "task"),
                report=text(row, "report"),
                source=text(row, "source"),
                place=text(row, "place"),
            )
        )
    return jobs


def carry_on(
    *, rows: Rows, policy: Policy, wake: Wake, emit: Emit, clock: Callable[[], datetime], deadline: datetime
) -> None:
    """Go on with every job that is not carried out, each with its share of the time: one that fails stops no other."""
    left = unfinished(rows)
    for index, job in enumerate(left):
        share = (deadline - clock()) / (len(left) - index)
        try:
            carry_out(job, rows=rows, policy=policy, wake=wake, emit=emit, clock=clock, deadline=clock() + share)
        except Exception as error:  # noqa: BLE001, whatever it is, the other jobs go on
            emit("unban_failed", job_id=job.id, error=type(error).__name__)


def carry_out(
    job: Job, *, rows: Rows, policy: Policy, wake: Wake, emit: Emit, clock: Callable[[], datetime], deadline: datetime
) -> int | None:
    """Unban what the job selects; return how many URLs, or ``None`` if time ran out and the sweep must go on."""
    done: Counter[str] = Counter()
    finished = False
    place = noted = job.place
    run = Run(rows=rows, emit=emit, wake=wake, clock=clock, read_policy=lambda: policy, deadline=deadline)
    for group in select(run, job):
        if not _undo(run, group.claims, job, done):
            break
        place = group.place or place
        over = clock() >= deadline
        if place != noted and (
            group.claims or over
        ):  # only after its chunks are sealed: a crash repeats, omits nothing
            rows.apply(Update(("jobs", job.id), set={"place": place}))
            noted = place
        if over:
            break
    else:
        finished = True
        rows.apply(Delete(("jobs", job.id)))
    for account in done:
        wake(account, now=clock())
    urls = done.total()
    emit("unban_carried_out", job_id=job.id, actor=job.actor, subject=job.subject, urls=urls, finished=finished)
    return urls if finished else None


def _undo(run: Run, found: Sequence[Claim], job: Job, done: Counter[str]) -> bool:
    """Unban these claims and count them to their accounts; ``False`` if some change faster than they are unbanned."""
    for _ in range(TRIES):
        lost: list[Claim] = []
        for account, of_account in _by_account(found).items():
            for part in cut(of_account, count=CHUNK_URLS, size=CHUNK_BYTES, size_of=lambda claim: len(claim.url)):
                won = _unban(run, part, account, job)
                if won:
                    done[account] += len(won)
                lost += [each for each in part if each.key not in won]
        if not lost:
            return True
        # A renewal took them over since they were read, and they are banned for the same report still; or they ended.
        reports_of = {each.key: each.report for each in lost}
        again = in_force(run, list(reports_of))
        found = [each for each in again if job.urls or each.report == reports_of[each.key]]
        if not found:
            return True
    return False


def known(job: Job, *, rows: Rows, sources: Container[str]) -> bool:
    """Whether there is a task, report or source of the name that the job gives; URLs need not be known."""
    if job.task:
        return bool(tasks.read(rows, [job.task]))
    if job.report:
        return reports.read(rows, job.report) is not None
    return not job.source or job.source in sources


def _by_account(found: Iterable[Claim]) -> dict[str, list[Claim]]:
    accounts: dict[str, list[Claim]] = {}
    for each in found:
        accounts.setdefault(each.account, []).append(each)
    return accounts


def _unban(run: Run, part: list[Claim], account: str, job: Job) -> set[str]:
    now = run.clock()
    known: Mapping[str, Claim] = {each.key: each for each in part}
    keys = tuple(known)
    origin = Origin(job.report, f"operator:{job.actor}", job.actor, "unban", job.reason)
    chunk = Chunk(
        account=account,
        action=Action.UNBAN,
        ban_days=UNBAN_DAYS,
        rule=Rule.UNBAN,
        urls=tuple(each.url for each in part),
        keys=keys,
        origins=(origin,) * len(keys),
        created_at=now,
        received_at=job.at,
        until=now + timedelta(days=job.cool_down_days),
        actor=job.actor,
        reason=job.reason,
    )
    return claiming.begin(run, chunk, known)
