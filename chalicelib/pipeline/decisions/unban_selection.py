"""Which URLs a request to undo bans is about: URLs by name, or the bans of a task, of a report, of a source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chalicelib.domain.cutting import cut
from chalicelib.domain.model import CHUNK_URLS, Action
from chalicelib.domain.policy.rules import accounts_for
from chalicelib.domain.urls import scheme_twin, url_key
from chalicelib.ledger import chunks, claim_words, claims, journal, packed_words, remaining, reports, tasks
from chalicelib.ledger.chunks import Chunk, Origin, made_at
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.reports import Report
from chalicelib.ledger.row import epoch, stamp
from chalicelib.ledger.tasks import Task
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows

LOOK_BACK = timedelta(days=40)
"""How far back a source's bans are undone: no ban that is not renewed is older than 30 days."""

CHUNKS_AT_ONCE = 20
"""Rows of the journal, and chunks with all their URLs, that are read at a time."""

Place = tuple[str, str]
"""A vendor account and a canonical URL."""


@dataclass(frozen=True, slots=True)
class Group:
    """Claims to unban together, and the place from which the journal is walked on once they are.

    A claim without a chunk stands for a URL that the ledger does not know.
    """

    claims: list[Claim]
    place: str = ""


def select(run: Run, job: Job) -> Iterator[Group]:
    """Find what a job is about, group by group.

    An empty group comes now and then, so that the caller can check its deadline.
    """
    if job.urls:
        return _of_urls(run, job)
    if job.task:
        return _of_task(run, job)
    report = reports.read(run.rows, job.report) if job.report else None
    if report:
        return _of_report(run, report)
    return _of_origin(run, job)


def select_again(run: Run, job: Job, changed: Sequence[Claim]) -> list[Claim]:
    """Select anew among claims that changed since they were selected.

    A renewal may have taken a ban over: it is undone if it is still the same report's. What ended needs no unban,
    unless the operator named its URL.
    """
    if job.urls:
        return _to_unban_by_name(run, job, [(claim.account, claim.url) for claim in changed])
    reports_by_key = {claim.key: claim.report for claim in changed}
    again = _in_force(run, list(reports_by_key))
    return [claim for claim in again if claim.report == reports_by_key[claim.key] or _has_word(claim, job)]


# --- by URL -----------------------------------------------------------------------------------------------------------


def _of_urls(run: Run, job: Job) -> Iterator[Group]:
    # Whichever account serves the host now: another may have served it when the URL was banned.
    places = [(account, url) for url in job.urls for account in run.policy.accounts]
    for some_places in cut(places, count=CHUNK_URLS):
        yield Group(_to_unban_by_name(run, job, some_places))


def _ended_by_a_person(run: Run, places_by_key: Mapping[str, Place]) -> list[Claim]:
    """Return the claims whose planned end has passed and is one that a person set.

    A later word may have moved the end out, and then nothing is lifted.
    """
    claims_by_key, now = claims.read(run.rows, list(places_by_key), consistent=True, whole=True), run.clock()
    return [
        claim
        for claim in claims_by_key.values()
        if not (claim.outcome or claim.held) and claim.lifted_at == claim.until and claim.until <= epoch(now)
    ]


def _to_unban_by_name(run: Run, job: Job, places: Sequence[Place]) -> list[Claim]:
    """Return the claims of these URLs where a ban is in force, and otherwise where the account serves the host.

    Left out is what was unbanned since the operator asked: this job did it before a crash, or a later one.
    """
    policy, now = run.policy, run.clock()
    places_by_key = {url_key(account, url): (account, url) for account, url in places}
    if job.ends:
        return _ended_by_a_person(run, places_by_key)
    claims_by_key = _read(run, list(places_by_key))
    selected = []
    for key, (account, url) in places_by_key.items():
        claim = claims_by_key.get(key, Claim(key=key, chunk="", until=0, url=url, account=account))
        if not claim.ended(now) or (account in accounts_for(url, policy) and made_at(claim.unban) < stamp(job.at)):
            selected.append(claim)
    return selected


# --- by task ----------------------------------------------------------------------------------------------------------


def _of_task(run: Run, job: Job) -> Iterator[Group]:
    task = tasks.read(run.rows, [job.task]).get(job.task)
    if task is None:
        return
    owners = {part.chunk for part in task.slices}
    keys = _keys_of_task(run.rows, task)
    for some_keys in cut(keys, count=CHUNK_URLS):
        in_force = _in_force(run, some_keys)
        carrying_on = _carrying_on(run.rows, {claim.chunk for claim in in_force}, owners)
        yield Group([claim for claim in in_force if claim.chunk in carrying_on])


def _keys_of_task(rows: Rows, task: Task) -> list[str]:
    chunks_by_id = chunks.read(rows, [part.chunk for part in task.slices])
    return [
        chunks_by_id[part.chunk].keys[position]
        for part in task.slices
        if part.chunk in chunks_by_id  # else its rows have expired, and so have its bans
        for position in part.positions()
    ]


def _carrying_on(rows: Rows, chunk_ids: set[str], owners: set[str]) -> set[str]:
    """Return those of the chunks that are owners or carry on an owner's bans, perhaps over several renewals."""
    carrying_on, earlier = set[str](), {chunk_id: chunk_id for chunk_id in chunk_ids}
    while earlier:
        carrying_on |= {chunk_id for chunk_id, ancestor in earlier.items() if ancestor in owners}
        ancestors = chunks.read(rows, [ancestor for ancestor in earlier.values() if ancestor not in owners])
        earlier = {
            chunk_id: ancestors[ancestor].renews[0]
            for chunk_id, ancestor in earlier.items()
            if ancestor in ancestors and ancestors[ancestor].renews
        }
    return carrying_on


# --- by report --------------------------------------------------------------------------------------------------------


def _of_report(run: Run, report: Report) -> Iterator[Group]:
    """Find the bans that a report caused, and not those of the same URLs that another report caused."""
    # A report's URLs may have been banned under both schemes.
    urls = [variant for url in report.urls for variant in (url, scheme_twin(url)) if variant]
    # Accounts that served a host then, and those that serve it now.
    accounts = dict.fromkeys((*run.policy.accounts, *report.accounts))
    keys = [url_key(account, url) for url in urls for account in accounts]
    for some_keys in cut(keys, count=CHUNK_URLS):
        in_force = _in_force(run, some_keys)
        yield Group(
            [
                claim
                for claim in in_force
                if claim.report == report.id or packed_words.without_report(claim.words, report.id) != claim.words
            ]
        )


# --- by source, or by a report that came by the queue: only the chunks know these -----------------------------------


def _of_origin(run: Run, job: Job) -> Iterator[Group]:
    seen: set[str] = set()  # a chunk may be found more than once, and is looked at once
    if not job.place:
        yield from _unfinished(run, job, seen)
    yield from _of_journal(run, job, seen)


def _unfinished(run: Run, job: Job, seen: set[str]) -> Iterator[Group]:
    """Find what waits, is held or under way, however old it is."""
    for account in run.policy.accounts:
        chunk_ids = [work.chunk for work in remaining.of_account(run.rows, account)]
        chunk_ids += [part.chunk for task in tasks.live(run.rows, account) for part in task.slices]
        for some_ids in cut(chunk_ids, count=CHUNKS_AT_ONCE):
            read = chunks.read(run.rows, some_ids).values()
            if selected := _of_chunks(run, job, seen, read):
                yield Group(selected)


def _of_journal(run: Run, job: Job, seen: set[str]) -> Iterator[Group]:
    """Walk the journal for the chunks that were made in the days of ``LOOK_BACK``, and for those that were sent then.

    A hold may have been approved, and so sent, weeks after it was made. There is no scan of the ledger.
    """
    now = run.clock()
    place = job.place or stamp(job.at - LOOK_BACK)
    midnight = datetime.strptime(place[:8], "%Y%m%d").replace(tzinfo=UTC)
    while midnight <= now:
        midnight += timedelta(days=1)
        while page := journal.following(run.rows, place, until=midnight, limit=CHUNKS_AT_ONCE):
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
        if midnight <= now:  # else more may come on this day
            place = stamp(midnight)
            yield Group([], place)


def _chunks_of_page(rows: Rows, page: Sequence[journal.Entry]) -> dict[str, list[str]]:
    """Return the ids of the chunks of each event that is about a chunk or a task, by what it is about."""
    sent = tasks.read(rows, [event.subject for event in page if event.kind == "task"])
    chunk_ids_by_subject = {task_id: [part.chunk for part in task.slices] for task_id, task in sent.items()}
    return chunk_ids_by_subject | {event.subject: [event.subject] for event in page if event.kind == "chunk"}


def _of_chunks(run: Run, job: Job, seen: set[str], read: Iterable[Chunk]) -> list[Claim]:
    """Return the bans in force of the job's source or report in those of the chunks that were not seen yet."""
    unseen = [chunk for chunk in read if chunk.id not in seen]
    seen.update(chunk.id for chunk in unseen)
    banned = {
        (key, chunk.id)
        for chunk in unseen
        if chunk.action is Action.BAN
        for key, origin in zip(chunk.keys, chunk.origins, strict=True)
        if _is_of(job, origin)
    }
    in_force = _in_force(run, [key for key, _ in banned]) if banned else []
    return [claim for claim in in_force if (claim.key, claim.chunk) in banned]


def _of_words(run: Run, job: Job, event: journal.Entry) -> list[Claim]:
    """Return the bans in force about which the job's source or report has a word, among those that a batch changed."""
    keys = {
        key: None
        for key, source, report in claim_words.mentioned(event)
        if (source == job.source if job.source else report == job.report)
    }
    return [claim for claim in _in_force(run, list(keys)) if _has_word(claim, job)]


def _has_word(claim: Claim, job: Job) -> bool:
    """Return whether a word of a claim is the job's source's, or stands as its report said it."""
    if job.source:
        return bool(packed_words.end_of_word(claim.words, job.source))
    return bool(job.report) and packed_words.without_report(claim.words, job.report) != claim.words


def _is_of(job: Job, origin: Origin) -> bool:
    return origin.source == job.source if job.source else origin.report == job.report


# --- claims -----------------------------------------------------------------------------------------------------------


def _in_force(run: Run, keys: Sequence[str]) -> list[Claim]:
    """Return the claims of these keys whose bans have not ended, in the order of the keys."""
    claims_by_key, now = _read(run, keys), run.clock()
    existing = [claims_by_key[key] for key in dict.fromkeys(keys) if key in claims_by_key]
    return [claim for claim in existing if not claim.ended(now)]


def _read(run: Run, keys: Sequence[str]) -> dict[str, Claim]:
    """Read claims with the true end of their bans."""
    return expiry.corrected(run, claims.read(run.rows, keys, consistent=True, whole=True))
