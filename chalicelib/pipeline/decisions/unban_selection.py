"""Find the URLs of a request to undo bans: URLs by name, or the bans of a task, a report, a chunk, a source, a host.

The bans of a host or a category are found in the index of bans, all others in the ledger. The claims decide: the index
may be behind, and only says where to look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from chalicelib.domain.ban_index import Ban, Wanted
from chalicelib.domain.cutting import cut
from chalicelib.domain.model import CHUNK_URLS
from chalicelib.domain.policy.rules import accounts_for
from chalicelib.domain.urls import host_of, scheme_variant, url_key
from chalicelib.ledger import chunks, claims, packed_words, reports, tasks
from chalicelib.ledger.chunks import made_at
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.reports import Report
from chalicelib.ledger.row import epoch, stamp
from chalicelib.ledger.tasks import Task
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.answers.ban_index import Reader, up_to_now
from chalicelib.pipeline.decisions.selected_claims import (
    Group,
    claims_in_force,
    has_word,
    of_owners,
    read_claims,
    took_back,
)
from chalicelib.pipeline.decisions.unban_by_source import of_origin, unfinished
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows

Place = tuple[str, str]
"""A vendor account and a canonical URL."""


def select(run: Run, job: Job) -> Iterator[Group]:
    """Find the bans of a job, group by group.

    Some groups are empty, so that the caller can check its deadline now and then.
    """
    if job.urls:
        return _of_urls(run, job)
    if job.task:
        return _of_task(run, job)
    if job.chunk:
        return _of_chunk(run, job)
    if job.by_index:
        return _of_index(run, job)
    report = reports.read(run.rows, job.report) if job.report else None
    if report:
        return _of_report(run, report)
    return of_origin(run, job)


def select_again(run: Run, job: Job, changed: Sequence[Claim]) -> list[Claim]:
    """Select again among claims that changed since they were selected.

    A renewal may have taken a ban over: the ban is undone if it is still of the same report. A ban that has ended needs
    no unban, unless the operator named its URL.
    """
    if job.urls:
        return _to_unban_by_name(run, job, [(claim.account, claim.url) for claim in changed])
    reports_by_key = {claim.key: claim.report for claim in changed}
    again = claims_in_force(run, list(reports_by_key))
    if not job.takes_back_words:
        return again
    return [claim for claim in again if claim.report == reports_by_key[claim.key] or has_word(claim, job)]


# --- by URL -----------------------------------------------------------------------------------------------------------


def _of_urls(run: Run, job: Job) -> Iterator[Group]:
    # Look at every account: another one may have served the host when the URL was banned.
    places = [(account, url) for url in job.urls for account in run.policy.accounts]
    for some_places in cut(places, count=CHUNK_URLS):
        yield Group(_to_unban_by_name(run, job, some_places))


def _ended_by_a_person(run: Run, places_by_key: Mapping[str, Place]) -> list[Claim]:
    """Return the claims whose planned end has passed, if a person set this end.

    A later word may have moved the end out, and then nothing is lifted.
    """
    claims_by_key, now = claims.read(run.rows, list(places_by_key), consistent=True, whole=True), run.clock()
    return [
        claim
        for claim in claims_by_key.values()
        if not (claim.outcome or claim.held) and claim.lifted_at == claim.until and claim.until <= epoch(now)
    ]


def _to_unban_by_name(run: Run, job: Job, places: Sequence[Place]) -> list[Claim]:
    """Return the claims of these URLs that have a ban in force, and the others if the account serves the host.

    URLs that were unbanned since the operator asked are left out: this job did that before a crash, or a later job did.
    """
    policy, now = run.policy, run.clock()
    places_by_key = {url_key(account, url): (account, url) for account, url in places}
    if job.ends:
        return _ended_by_a_person(run, places_by_key)
    claims_by_key = read_claims(run, list(places_by_key))
    selected = []
    for key, (account, url) in places_by_key.items():
        claim = claims_by_key.get(key, Claim(key=key, chunk="", until=0, url=url, account=account))
        if not claim.needs_new_ban(now) or (
            account in accounts_for(host_of(url), policy) and made_at(claim.unban) < stamp(job.at)
        ):
            selected.append(claim)
    return selected


def not_in_force(run: Run, urls: Sequence[str]) -> list[str]:
    """Return the URLs that have no ban in force, on its way or waiting, by the ledger."""
    keys_by_url = {url: [url_key(account, url) for account in run.policy.accounts] for url in urls}
    known = {claim.key for claim in claims_in_force(run, [key for keys in keys_by_url.values() for key in keys])}
    return [url for url, keys in keys_by_url.items() if known.isdisjoint(keys)]


# --- by task ----------------------------------------------------------------------------------------------------------


def _of_task(run: Run, job: Job) -> Iterator[Group]:
    task = tasks.read(run.rows, [job.task]).get(job.task)
    if task is None:
        return
    yield from of_owners(run, _keys_of_task(run.rows, task), {part.chunk for part in task.slices})


def _of_chunk(run: Run, job: Job) -> Iterator[Group]:
    chunk = chunks.read(run.rows, [job.chunk]).get(job.chunk)
    if chunk is not None:
        yield from of_owners(run, chunk.keys, {chunk.id})


def _keys_of_task(rows: Rows, task: Task) -> list[str]:
    chunks_by_id = chunks.read(rows, [part.chunk for part in task.slices])
    return [
        chunks_by_id[part.chunk].keys[position]
        for part in task.slices
        if part.chunk in chunks_by_id  # else its rows have expired, and so have its bans
        for position in part.positions()
    ]


# --- by report --------------------------------------------------------------------------------------------------------


def _of_report(run: Run, report: Report) -> Iterator[Group]:
    """Find the bans that a report caused. Bans of the same URLs that another report caused are left out."""
    # A report's URLs may have been banned under both schemes.
    urls = [variant for url in report.urls for variant in (url, scheme_variant(url)) if variant]
    # Look at the accounts of the policy then, and at those of the policy now.
    accounts = dict.fromkeys((*run.policy.accounts, *report.accounts))
    keys = [url_key(account, url) for url in urls for account in accounts]
    for some_keys in cut(keys, count=CHUNK_URLS):
        in_force = claims_in_force(run, some_keys)
        yield Group(
            [
                claim
                for claim in in_force
                if (claim.report == report.id and not took_back(claim, report.source))
                or packed_words.without_report(claim.words, report.id) != claim.words
            ]
        )


# --- by host or category ----------------------------------------------------------------------------------------------


def _of_index(run: Run, job: Job) -> Iterator[Group]:
    """Find the bans of a host or a category: first those on their way, then those in force.

    A ban that comes into force between the two is found by one of them. The walk goes in the order of keys, so that it
    can be continued.
    """
    if not job.place:
        yield from unfinished(run, job, set())
    asked_at = run.clock()
    index, as_of = up_to_now(run, Reader(run.open_views()))
    if as_of < asked_at:  # time ran out in the journal: keys that come later may lie before the place of a walk
        yield Group([])
        return
    found = Wanted(host=job.host, category=job.category, since=job.since).select(index, now=as_of)
    last = epoch(job.until_time or as_of)
    bans = (Ban.of(line) for line in found)
    source_by_key = {ban.key: ban.source for ban in bans if ban.key > job.place and ban.banned_at <= last}
    for keys in cut(sorted(source_by_key), count=CHUNK_URLS):
        selected = claims_in_force(run, keys)
        if job.source:
            selected = [claim for claim in selected if has_word(claim, job) or source_by_key[claim.key] == job.source]
        yield Group(selected, keys[-1])
