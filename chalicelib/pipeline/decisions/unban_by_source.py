"""Find the bans of a source, or of a report that came by the queue, to undo them: only the chunks name these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from chalicelib.domain.ban_index import covers
from chalicelib.domain.cutting import cut
from chalicelib.domain.model import Action
from chalicelib.domain.urls import host_of
from chalicelib.ledger import chunks, claim_words, journal, remaining, tasks
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import stamp
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.decisions.selected_claims import Group, carrying_on_from, claims_in_force, has_word, took_back
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows

LOOK_BACK = timedelta(days=40)
"""So far back a source's bans are undone: a ban that is not renewed is never older than 30 days."""

CHUNKS_AT_ONCE = 20
"""How many rows of the journal, or chunks with all their URLs, are read at a time."""


def of_origin(run: Run, job: Job) -> Iterator[Group]:
    """Find the bans that a source or a report caused, or about which it has a word."""
    seen: set[str] = set()  # a chunk may be found more than once, and is looked at once
    if not job.place:
        yield from unfinished(run, job, seen)
    yield from _of_journal(run, job, seen)


def unfinished(run: Run, job: Job, seen: set[str]) -> Iterator[Group]:
    """Find the bans that wait, are held or are under way, however old they are."""
    for account in run.policy.accounts:
        chunk_ids = [work.chunk for work in remaining.of_account(run.rows, account)]
        chunk_ids += [part.chunk for task in tasks.live(run.rows, account) for part in task.slices]
        for some_ids in cut(chunk_ids, count=CHUNKS_AT_ONCE):
            read = chunks.read(run.rows, some_ids).values()
            if selected := _of_chunks(run, job, seen, read):
                yield Group(selected)


def _of_journal(run: Run, job: Job, seen: set[str]) -> Iterator[Group]:
    """Walk the journal for chunks that were made during the last ``LOOK_BACK``, and for chunks that were sent then.

    A hold may have been approved and sent weeks after it was made. There is no scan of the ledger.
    """
    end = min(run.clock(), job.until_time or run.clock())
    place = job.place or stamp(job.at - LOOK_BACK)
    midnight = datetime.strptime(place[:8], "%Y%m%d").replace(tzinfo=UTC)
    while midnight <= end:
        midnight += timedelta(days=1)
        until = min(midnight, job.until_time or midnight)
        while page := journal.following(run.rows, place, until=until, limit=CHUNKS_AT_ONCE):
            chunk_ids_by_subject = _chunks_of_page(run.rows, page)
            read = chunks.read(run.rows, [name for names in chunk_ids_by_subject.values() for name in names])
            for event in page:
                place = event.place
                chunk_ids = chunk_ids_by_subject.get(event.subject, [])
                selected = _of_chunks(run, job, seen, [read[name] for name in chunk_ids if name in read])
                if event.kind == "words":
                    selected = _of_words(run, job, event)
                if selected:
                    yield Group(selected, place)
            yield Group([], place)
        if midnight <= end:  # else more may come on this day
            place = stamp(midnight)
            yield Group([], place)


def _chunks_of_page(rows: Rows, page: Sequence[journal.Entry]) -> dict[str, list[str]]:
    """Return the ids of the chunks of each event that is about a chunk or a task, by what it is about."""
    sent = tasks.read(rows, [event.subject for event in page if event.kind == "task"])
    chunk_ids_by_subject = {task_id: [part.chunk for part in task.slices] for task_id, task in sent.items()}
    return chunk_ids_by_subject | {event.subject: [event.subject] for event in page if event.kind == "chunk"}


def _of_chunks(run: Run, job: Job, seen: set[str], read: Iterable[Chunk]) -> list[Claim]:
    """Return the bans in force of the job's source or report, in the chunks that were not seen yet."""
    unseen = [chunk for chunk in read if chunk.id not in seen]
    seen.update(chunk.id for chunk in unseen)
    banned = {
        (key, chunk.id): origin.source
        for chunk in unseen
        if chunk.action is Action.BAN and _in_span(job, chunk)
        for key, url, origin in zip(chunk.keys, chunk.urls, chunk.origins, strict=True)
        if _is_of(job, url, origin)
    }
    in_force = [
        claim
        for claim in (claims_in_force(run, [key for key, _ in banned]) if banned else [])
        if not took_back(claim, banned.get((claim.key, claim.chunk), job.source))
    ]
    if not job.until_time:
        # What left the source's hold is in a later chunk; the source's word went with it.
        return [claim for claim in in_force if (claim.key, claim.chunk) in banned or has_word(claim, job)]
    # The chunks that carry the bans on were made later than the request looks.
    owners = {chunk_id for _, chunk_id in banned}
    carrying_on = carrying_on_from(run.rows, {claim.chunk for claim in in_force}, owners)
    return [claim for claim in in_force if claim.chunk in carrying_on]


def _in_span(job: Job, chunk: Chunk) -> bool:
    """Return whether a chunk was made in the job's span of time. The walk of a source begins where this span does."""
    too_early = job.by_index and job.since is not None and chunk.created_at < job.since
    return not too_early and (job.until_time is None or chunk.created_at <= job.until_time)


def _of_words(run: Run, job: Job, event: journal.Entry) -> list[Claim]:
    """Return, of the bans that a batch changed, those in force about which the job's source or report has a word."""
    keys = {
        key: None
        for key, source, report in claim_words.mentioned(event)
        if (source == job.source if job.source else report == job.report)
    }
    return [claim for claim in claims_in_force(run, list(keys)) if has_word(claim, job)]


def _is_of(job: Job, url: str, origin: Origin) -> bool:
    if job.by_index:
        return (
            job.source in {"", origin.source}
            and job.category.lower() in {"", origin.category.lower()}
            and (not job.host or covers(job.host, host_of(url)))
        )
    return origin.source == job.source if job.source else origin.report == job.report
