"""Undo bans: by URL, by task, by report, or all of a source gone wrong.

A request is recorded as a job before anything is done, and carried out in steps of a chunk. Each step may be repeated:
the sweep goes on with a job whose request died.

A URL that an operator names is sent to the vendor whatever the ledger knows of it, since the vendor may block a URL
that nobody here asked for, or whose ban should have ended. By task, report and source only bans in force are undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from chalicelib.domain.cutting import cut
from chalicelib.domain.model import CHUNK_BYTES, CHUNK_URLS, Action, Rule, UrlState
from chalicelib.domain.policy.rules import accounts_for
from chalicelib.ledger import claim_words, claims, packed_words, reports, tasks, unban_jobs
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claim_words import Change
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.decisions.unban_selection import select, select_again
from chalicelib.pipeline.lifecycle import claiming, ordering
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter

TRIES = 5
"""How often, in one run, URLs are unbanned again that something else changed between read and write."""

UNBAN_DAYS = 7
"""The vendor's duration field of an unban: sent where the vendor's API demands one, without meaning there."""


def names_something(run: Run, job: Job, sources: Container[str]) -> bool:
    """Return whether the job names a task or report on record, a configured source, or a URL of our hosts."""
    if job.task:
        return bool(tasks.read(run.rows, [job.task]))
    if job.report:
        return reports.read(run.rows, job.report) is not None
    if job.source:
        return job.source in sources
    policy = run.policy
    return any(accounts_for(url, policy) for url in job.urls)


def carry_on(run: Run) -> None:
    """Go on with every job that is not carried out, each with an even share of the time.

    A job that fails stops no other.
    """
    jobs = [*unban_jobs.unfinished(run.rows), *unban_jobs.ends_due(run.rows, now=run.clock())]
    for index, job in enumerate(jobs):
        share = (run.deadline - run.clock()) / (len(jobs) - index)
        try:
            carry_out(run.at("", deadline=run.clock() + share), job)
        except Exception as error:  # noqa: BLE001, whatever it is, the other jobs go on
            run.emit("unban_failed", job_id=job.id, error=type(error).__name__)


def carry_out(run: Run, job: Job) -> int | None:
    """Unban what the job selects; return how many URLs, or ``None`` if time ran out and the sweep must go on.

    Crash order: the chunks of a group, the place in the journal, the end of the job, the wake-ups. A crash repeats a
    group and omits none; what the job has unbanned already is not selected again.
    """
    urls_by_account: Counter[str] = Counter()
    finished = False
    place = noted_place = job.place
    for group in select(run, job):
        if not _undo(run, job, group.claims, urls_by_account):
            break
        place = group.place or place
        time_is_up = run.time_is_up
        if place != noted_place and (group.claims or time_is_up):
            unban_jobs.note_place(run.rows, job, place)
            noted_place = place
        if time_is_up:
            break
    else:
        finished = True
        unban_jobs.finish(run.rows, job)
    for account in urls_by_account:
        wake_submitter(run, account)
    urls = urls_by_account.total()
    run.emit("unban_carried_out", job_id=job.id, actor=job.actor, subject=job.subject, urls=urls, finished=finished)
    return urls if finished else None


def _undo(run: Run, job: Job, selected: Sequence[Claim], urls_by_account: Counter[str]) -> bool:
    """Unban these claims and count them to their accounts; ``False`` if some change faster than they are unbanned."""
    for _ in range(TRIES):
        selected, changed = _leave_to_others(run, selected, job)
        for account, claims_of_account in _by_account(selected).items():
            under_way = _join(run, account, claims_of_account, job)
            urls_by_account[account] += len(under_way)
            rest = [claim for claim in claims_of_account if claim.key not in under_way]
            for part in cut(rest, count=CHUNK_URLS, size=CHUNK_BYTES, size_of=lambda claim: len(claim.url)):
                unbanned = _unban(run, account, part, job)
                urls_by_account[account] += len(unbanned)
                changed += [claim for claim in part if claim.key not in unbanned]
        if not changed:
            return True
        selected = select_again(run, job, changed)
        if not selected:
            return True
    return False


def stays_for_others(run: Run, claim: Claim, job: Job) -> bool:
    """Return whether a ban stays although its source is undone, because another source asks for it too."""
    if not job.source:
        return False
    return packed_words.end_of_ban(packed_words.without(claim.words, job.source)) > epoch(run.clock())


def _leave_to_others(run: Run, selected: Sequence[Claim], job: Job) -> tuple[list[Claim], list[Claim]]:
    """Take a source's word back where others asked for the ban too: it stays in their name, to their furthest end.

    Return the claims that are to be unbanned, and those that changed meanwhile.
    """
    if not job.source:
        return list(selected), []
    now, to_unban, changes = run.clock(), list[Claim](), list[Change]()
    for claim in selected:
        words = packed_words.without(claim.words, job.source)
        if not stays_for_others(run, claim, job):
            to_unban.append(claim)
        elif words != claim.words:
            end = min(packed_words.end_of_ban(words), claim.until)
            changes.append((claim, words, datetime.fromtimestamp(end, tz=UTC)))
    failed = claim_words.change(run.rows, changes, now=now)
    return to_unban, [claim for claim, _, _ in changes if claim.key in failed]


def _by_account(selected: Iterable[Claim]) -> dict[str, list[Claim]]:
    claims_by_account: dict[str, list[Claim]] = {}
    for claim in selected:
        claims_by_account.setdefault(claim.account, []).append(claim)
    return claims_by_account


def _join(run: Run, account: str, selected: Sequence[Claim], job: Job) -> set[str]:
    """Join unbans that are on their way: the later of both cool-downs stands, and nothing is sent twice."""
    unbanned = [claim for claim in selected if claim.outcome == UrlState.UNBANNED]
    if not unbanned:
        return set()
    under_way = ordering.unended(run.rows, account, dict.fromkeys(claim.unban for claim in unbanned))
    joined = [claim for claim in unbanned if claim.unban in under_way]
    return claims.cool_longer(run.rows, joined, until=_cool_until(run.clock(), job))


def _cool_until(now: datetime, job: Job) -> datetime:
    return now + timedelta(days=job.cool_down_days)


def _unban(run: Run, account: str, part: Sequence[Claim], job: Job) -> set[str]:
    """Make one unban chunk of these claims; return the keys that it unbans."""
    now = run.clock()
    origin = Origin(job.report, f"operator:{job.actor}", job.actor, "unban", job.reason)
    chunk = Chunk(
        account=account,
        action=Action.UNBAN,
        ban_days=UNBAN_DAYS,
        rule=Rule.UNBAN,
        urls=tuple(claim.url for claim in part),
        keys=tuple(claim.key for claim in part),
        origins=(origin,) * len(part),
        created_at=now,
        received_at=job.at,
        until=_cool_until(now, job),
        actor=job.actor,
        reason=job.reason,
    )
    return claiming.begin(run, chunk, {claim.key: claim for claim in part if claim.chunk})
