"""Which bans a request to undo is about: those of URLs, of a task, of a report, of a source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from chalicelib.domain.cutting import cut
from chalicelib.domain.model import CHUNK_URLS, Action
from chalicelib.domain.urls import scheme_twin, url_key
from chalicelib.ledger import chunks, claims, journal, remaining, reports, tasks
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import stamp
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows

if TYPE_CHECKING:
    from chalicelib.pipeline.decisions.unban import Job

LOOK_BACK = timedelta(days=40)
"""How far back a source's bans are undone: no ban that is not renewed is older than 30 days."""

CHUNKS_AT_ONCE = 20
"""Rows of the journal, and chunks with all their URLs, that are read at a time."""


@dataclass(frozen=True, slots=True)
class Group:
    """Claims to unban together, and from where the journal is walked on once they are."""

    claims: list[Claim]
    place: str = ""


def select(run: Run, job: Job) -> Iterator[Group]:
    """Find the claims that a job is about and that are in force, in groups; some are empty, to let the time be seen."""
    rows, policy = run.rows, run.policy
    report = reports.read(rows, job.report) if job.report else None
    if job.source or (job.report and report is None):  # of a report that came by the queue the chunks alone know
        seen: set[str] = set()  # a chunk may be found more than once, and is looked at once
        if not job.place:
            yield from _unfinished(run, job, seen)
        yield from _of_journal(run, job, seen)
        return
    if job.task:
        task = tasks.read(rows, [job.task]).get(job.task)
        owners = {each.chunk for each in task.slices} if task else set()
        keys = _keys_of_task(rows, task) if task else []
        for part in cut(keys, count=CHUNK_URLS):
            found = in_force(run, part)
            ours = _carrying_on(rows, {each.chunk for each in found}, owners)
            yield Group([each for each in found if each.chunk in ours])
        return
    # A report's URLs may have been banned under both schemes.
    urls = [each for url in report.urls for each in (url, scheme_twin(url)) if each] if report else job.urls
    # Whichever account serves the host now: an account may have served it when the URL was banned.
    accounts = dict.fromkeys((*policy.accounts, *(report.accounts if report else ())))
    for part in cut((url_key(account, url) for url in urls for account in accounts), count=CHUNK_URLS):
        found = in_force(run, part)
        # Of a report only what it caused: the rest is banned for another's word.
        yield Group([each for each in found if not job.report or each.report == job.report])


def _keys_of_task(rows: Rows, task: Task) -> list[str]:
    found = chunks.read(rows, [each.chunk for each in task.slices])
    return [
        found[each.chunk].keys[position]
        for each in task.slices
        if each.chunk in found  # else its rows have expired, and so have its bans
        for position in each.positions()
    ]


def _carrying_on(rows: Rows, names: set[str], owners: set[str]) -> set[str]:
    """Those of the chunks that are owners or, perhaps over several renewals, carry on an owner's bans."""
    ours, earlier = set[str](), {name: name for name in names}
    while earlier:
        ours |= {name for name, at in earlier.items() if at in owners}
        found = chunks.read(rows, [at for at in earlier.values() if at not in owners])
        earlier = {name: found[at].renews[0] for name, at in earlier.items() if at in found and found[at].renews}
    return ours


def in_force(run: Run, keys: Sequence[str]) -> list[Claim]:
    """Those of the keys whose claims have not ended."""
    now = run.clock()
    found = expiry.corrected(run, claims.read(run.rows, keys, consistent=True, whole=True))
    return [found[key] for key in dict.fromkeys(keys) if key in found and not found[key].ended(now)]


def _unfinished(run: Run, job: Job, seen: set[str]) -> Iterator[Group]:
    """What waits, is held or under way, however old it is."""
    rows, policy = run.rows, run.policy
    for account in policy.accounts:
        names = [each.chunk for each in remaining.of_account(rows, account)]
        names += [each.chunk for task in tasks.live(rows, account) for each in task.slices]
        for some in cut(names, count=CHUNKS_AT_ONCE):
            found = chunks.read(rows, some).values()
            if ours := _of_chunks(run, found, job, seen):
                yield Group(ours)


def _of_journal(run: Run, job: Job, seen: set[str]) -> Iterator[Group]:
    """Walk the journal for what was made in these days, and what was sent: there is no scan of the ledger.

    A hold may have been approved, and so sent, weeks after it was made.
    """
    rows, now = run.rows, run.clock()
    place = job.place or stamp(job.at - LOOK_BACK)
    midnight = datetime.strptime(place[:8], "%Y%m%d").replace(tzinfo=UTC)
    while midnight <= now:
        midnight += timedelta(days=1)
        while page := journal.following(rows, place, until=midnight, limit=CHUNKS_AT_ONCE):
            sent = tasks.read(rows, [event.subject for event in page if event.kind == "task"])
            parts = {task_id: [each.chunk for each in task.slices] for task_id, task in sent.items()}
            parts |= {event.subject: [event.subject] for event in page if event.kind == "chunk"}
            read = chunks.read(rows, [name for names in parts.values() for name in names])
            for event in page:
                place = event.place
                named = [read[name] for name in parts.get(event.subject, ()) if name in read]
                if ours := _of_chunks(run, named, job, seen):
                    yield Group(ours, place)
            yield Group([], place)
        if midnight <= now:  # else more may come on this day
            place = stamp(midnight)
            yield Group([], place)


def _of_chunks(run: Run, found: Iterable[Chunk], job: Job, seen: set[str]) -> list[Claim]:
    """What there is to undo of those of the chunks that were not seen yet."""
    new = [chunk for chunk in found if chunk.id not in seen]
    seen.update(chunk.id for chunk in new)
    named = {
        (key, chunk.id)
        for chunk in new
        if chunk.action is Action.BAN
        for key, origin in zip(chunk.keys, chunk.origins, strict=True)
        if _of(origin, job)
    }
    keys = [key for key, _ in named]
    return [each for each in in_force(run, keys) if (each.key, each.chunk) in named] if named else []


def _of(origin: Origin, job: Job) -> bool:
    return origin.source == job.source if job.source else origin.report == job.report
