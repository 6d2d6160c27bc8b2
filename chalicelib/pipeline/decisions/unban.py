"""Undo bans: by URL, task, report, chunk, host or category, or all of a source gone wrong.

A request is recorded as a job before anything is done, and carried out chunk by chunk. Each step may be repeated: the
sweep goes on with a job whose request died.

A URL that an operator names is sent to the vendor whatever the ledger knows of it: the vendor may block a URL that
nobody here asked for, or whose ban should have ended. Every other request undoes only bans in force. A request by host
undoes the host's bans, no matter who asked for them. A request by task, report, chunk, source or category takes back
the words it names, and undoes only the bans for which no other word is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.cutting import cut
from chalicelib.domain.model import CHUNK_BYTES, CHUNK_URLS, Action, Rule, UrlState
from chalicelib.domain.policy.rules import accounts_for
from chalicelib.domain.urls import host_of
from chalicelib.domain.words.table import take_away
from chalicelib.domain.words.word import Effect, Outcome
from chalicelib.ledger import chunks, claim_decisions, claim_words, packed_words, reports, tasks, unban_jobs, undone
from chalicelib.ledger.chunks import OPERATOR, Chunk, Origin
from chalicelib.ledger.claim_words import Change
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.decisions import second_person
from chalicelib.pipeline.decisions.unban_selection import select, select_again
from chalicelib.pipeline.lifecycle import claiming, ending, ordering
from chalicelib.pipeline.lifecycle.on_claim import record_of
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter

TRIES = 5
"""How often one run tries again to unban URLs that something else changed between read and write."""

OVERDUE_AFTER = timedelta(hours=1)
"""A person is told if it takes longer than this to carry a request out."""

UNBAN_DAYS = 7
"""The duration in an unban. It has no meaning, and is sent only if the vendor's API demands one."""


def names_something(run: Run, job: Job, sources: Container[str]) -> bool:
    """Return whether the job names a task or report on record, a configured source, or a URL of our hosts."""
    if job.task:
        return bool(tasks.read(run.rows, [job.task]))
    if job.report:
        return reports.read(run.rows, job.report) is not None
    if job.chunk:
        return bool(chunks.read(run.rows, [job.chunk]))
    if job.by_index:
        return False
    if job.source:
        return job.source in sources
    policy = run.policy
    return any(accounts_for(host_of(url), policy) for url in job.urls)


def carry_on(run: Run) -> None:
    """Go on with every job that is not carried out, each with an even share of the time.

    A job that fails stops no other, and neither does one that waits for a second person.
    """
    jobs = [*unban_jobs.unfinished(run.rows), *unban_jobs.ends_due(run.rows, now=run.clock())]
    for index, job in enumerate(jobs):
        share = (run.deadline - run.clock()) / (len(jobs) - index)
        try:
            _go_on(run.at("", deadline=run.clock() + share), job)
        except Exception as error:  # noqa: BLE001, whatever it is, the other jobs go on
            run.emit("unban_failed", job_id=job.id, error=type(error).__name__)


def _go_on(run: Run, job: Job) -> None:
    """Carry a job out, unless it waits for a second person."""
    approved = second_person.look_at(run, job) if job.waits else job
    if approved is None:
        return
    age = run.clock() - approved.at
    if age > OVERDUE_AFTER:
        hours = round(age / timedelta(hours=1), 1)
        run.emit("unban_overdue", job_id=job.id, actor=job.actor, subject=job.subject, hours=hours)
    carry_out(run, approved)


def carry_out(run: Run, job: Job) -> int | None:
    """Unban what the job selects; return how many URLs, or ``None`` if time ran out and the sweep must go on.

    Crash order: the row that keeps undone sources from counting as reporters, the chunks of a group, the place in the
    journal, the end of the job, the wake-ups. After a crash a group is repeated and none is left out. URLs that the job
    has unbanned already are not selected again.
    """
    urls_by_account: Counter[str] = Counter()
    finished = False
    undone.record(run.rows, job)
    place = noted_place = job.place
    for group in select(run, job):
        if not _undo(run, job, _of_one_person(job, group.claims), urls_by_account):
            break
        place = group.place or place
        time_is_up = run.time_is_up
        if place != noted_place and (group.claims or time_is_up):
            unban_jobs.note_place(run.rows, job, place, undone=job.undone + urls_by_account.total())
            noted_place = place
        if time_is_up:
            break
    else:
        finished = True
        unban_jobs.finish(run.rows, job, undone=job.undone + urls_by_account.total(), now=run.clock())
    for account in urls_by_account:
        wake_submitter(run, account)
    urls = urls_by_account.total()
    run.emit("unban_carried_out", job_id=job.id, actor=job.actor, subject=job.subject, urls=urls, finished=finished)
    return urls if finished else None


def _of_one_person(job: Job, selected: Sequence[Claim]) -> Sequence[Claim]:
    """Leave out bans that are too old to be lifted without a second person, where the job is of the young ones."""
    since = job.only_from
    return [claim for claim in selected if second_person.began_since(claim, since)] if since else selected


def _undo(run: Run, job: Job, selected: Sequence[Claim], urls_by_account: Counter[str]) -> bool:
    """Unban these claims and count them to their accounts; ``False`` if some change faster than this can unban them."""
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
        selected = _of_one_person(job, select_again(run, job, changed))
        if not selected:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Undoing:
    """Which words of a URL a job takes back, and which are left."""

    job: Job
    now: datetime
    carried_until: datetime | None
    """When the job's task or chunk was made. It carried the words that had been said by then."""

    @classmethod
    def of(cls, run: Run, job: Job) -> Undoing:
        """Prepare to undo."""
        task = tasks.read(run.rows, [job.task]).get(job.task) if job.task else None
        chunk = chunks.read(run.rows, [job.chunk]).get(job.chunk) if job.chunk else None
        carrier = task or chunk
        return cls(job, run.clock(), carrier.created_at if carrier else None)

    def left(self, claim: Claim) -> bytes:
        """Return the words of others, which stay."""
        job = self.job
        if not job.takes_back_words:
            return b""
        if job.source:
            return packed_words.without(claim.words, job.source)
        if job.category:  # what was said in it is what the ban was made for
            return packed_words.without_report(claim.words, claim.report)
        if job.report:
            return packed_words.without_report(claim.words, job.report)
        return packed_words.said_after(claim.words, self.carried_until) if self.carried_until else b""

    def outcome(self, claim: Claim) -> Outcome:
        """Decide what happens to a URL: it stays banned, or held, if others asked for it too."""
        record = record_of(claim, packed_words.unpack(claim.words, ()), self.now)
        return take_away(record, packed_words.unpack(self.left(claim), ()))

    def stays(self, claim: Claim) -> bool:
        """Return whether a URL stays banned, or held, because others asked for it too."""
        return self.outcome(claim).effect is not Effect.LIFT


def _leave_to_others(run: Run, selected: Sequence[Claim], job: Job) -> tuple[list[Claim], list[Claim]]:
    """Take words back whose ban others asked for too: the ban stays for the others, until their furthest end.

    A source that is undone leaves a marker until its cool-down ends, but not in a hold: no vendor ever had that ban.
    Return the claims that must be unbanned, and those that changed meanwhile.
    """
    undoing = Undoing.of(run, job)
    if not job.takes_back_words:
        return list(selected), []
    now, to_unban, changes = run.clock(), list[Claim](), list[Change]()
    for claim in selected:
        outcome, left = undoing.outcome(claim), undoing.left(claim)
        if outcome.effect is Effect.LIFT:
            to_unban.append(claim)
        elif left != claim.words:
            assert outcome.until
            marked = packed_words.marked(claim.words, left, until=_cool_until(now, job))
            changes.append((claim, left if claim.waits(now) else marked, outcome.until))
    for claim, _, end in changes:  # the vendor bans for longer than what is left
        if epoch(end) < claim.until:
            reason = f"the ban came to the end that is left of it since {job.actor} undid {job.subject}"
            unban_jobs.lift_at(run.rows, end, [claim.url], actor=job.actor, reason=reason, now=run.clock())
    shorter = [change for change in changes if epoch(change[2]) < change[0].until]
    failed = claim_words.change(run.rows, shorter, now=now, lifted=True)
    failed |= claim_words.change(run.rows, [change for change in changes if change not in shorter], now=now)
    return to_unban, [claim for claim, _, _ in changes if claim.key in failed]


def _by_account(selected: Iterable[Claim]) -> dict[str, list[Claim]]:
    claims_by_account: dict[str, list[Claim]] = {}
    for claim in selected:
        claims_by_account.setdefault(claim.account, []).append(claim)
    return claims_by_account


def _join(run: Run, account: str, selected: Sequence[Claim], job: Job) -> set[str]:
    """Join unbans that are on their way: the later of both cool-downs counts, and nothing is sent twice."""
    unbanned = [claim for claim in selected if claim.outcome == UrlState.UNBANNED]
    if not unbanned:
        return set()
    under_way = ordering.unended(run.rows, account, dict.fromkeys(claim.unban for claim in unbanned))
    joined = [claim for claim in unbanned if claim.unban in under_way]
    return claim_decisions.cool_longer(run.rows, joined, until=_cool_until(run.clock(), job))


def _cool_until(now: datetime, job: Job) -> datetime:
    return now + timedelta(days=job.cool_down_days)


def _unban(run: Run, account: str, part: Sequence[Claim], job: Job) -> set[str]:
    """Make one unban chunk of these claims; return the keys that it unbans."""
    now = run.clock()
    origin = Origin(job.report, OPERATOR + job.actor, job.actor, "unban", job.reason)
    chunk = Chunk(
        account=account,
        action=Action.UNBAN,
        ban_days=UNBAN_DAYS,
        rule=Rule.UNDO if job.takes_back_words else Rule.UNBAN,
        urls=tuple(claim.url for claim in part),
        keys=tuple(claim.key for claim in part),
        origins=(origin,) * len(part),
        created_at=now,
        received_at=job.at,
        until=_cool_until(now, job),
        actor=job.actor,
        reason=job.reason,
        unban_id=job.id,
    )
    undoing = Undoing.of(run, job)
    left = {claim.key: undoing.left(claim) for claim in part} if job.takes_back_words else {}
    if job.ends:  # it ends as planned: reports are not suppressed, and a source that a person undid stays undone
        owners = tuple(sorted({claim.chunk for claim in part}))
        chunk = replace(chunk, rule=Rule.ENDED, until=now, renews=owners, reason=ending.REASON)
    return claiming.begin(run, chunk, {claim.key: claim for claim in part if claim.chunk}, words=left)
