"""Compare the ledger with the vendor's list of banned URLs, once a day, and ban missing URLs again.

There are three kinds of drift. **Missing**: we say that the URL is banned, and the vendor's list lacks it. It is banned
again; above a cap it is held for a person. **Unknown**: the vendor bans the URL, and no decision of ours asks for it.
It is reported, so that a person may unban it. **Lingering**: we have unbanned the URL, and the vendor still bans it.

The vendor's list is read page by page (50 URLs, below its rate) within one function's time: some 900,000 URLs. If the
list is longer, only unknown URLs can be told, and the report says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import UnusableUrl, VendorError
from chalicelib.domain.model import Action, ChunkState, Rule, TaskState, UrlState
from chalicelib.domain.pacing import Pace
from chalicelib.domain.packing import Slice
from chalicelib.domain.urls import canonical_url, url_key
from chalicelib.ledger import chunk_chain, chunks, claim_ends, claims, due_chunks, journal, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch, stamp
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.lifecycle import claiming, expiry, ordering, successors
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter
from chalicelib.ports import BanVendor, Objects

LIST_SHARE = 2 / 3
"""The share of the vendor's list rate that a comparison uses."""

NEARLY_FULL = 0.9
"""A person is told if a vendor's store is filled to this share: a full store takes no more bans."""

SETTLED = timedelta(hours=1)
"""Younger bans are left out: the vendor's list may not show them yet."""

REBAN_AT_MOST = 1_000
"""The most missing bans that one run makes again. More look like a mistake of one side: they are held for a person."""

ASK_AGAIN = timedelta(seconds=60)
"""The time to ask for single URLs: at most ``REBAN_AT_MOST`` calls, within the time that the function keeps back."""

TIME_UP = "the time of the function was over first"

LIFTED = "a person asked for the unban, which failed; the vendor's list shows the ban no more"

LISTED = 10_000
"""How many URLs of each kind the report names. It counts all of them."""

TASKS_READ = 10
"""Tasks that are read at a time, with their chunks: the chunks of a full task come to 30 KB or so."""


Missing = tuple[Chunk, list[int]]
"""Positions of a chunk whose URLs should be banned and are not on the vendor's list."""


@dataclass(slots=True)
class Drift:
    """What a comparison found."""

    account: str
    banned_there: int = 0
    complete: bool = True
    cut_short: str = ""
    """Why the vendor's list was not read to its end, unless that is told elsewhere."""
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    lingering: list[str] = field(default_factory=list)
    rebanned: int = 0
    held: int = 0
    """Missing bans that wait for a person, because they are too many."""
    key: str = ""
    listed: set[str] = field(default_factory=set, repr=False)
    """Keys of all URLs on the vendor's list."""
    agreed: set[str] = field(default_factory=set, repr=False)
    """Keys of the listed URLs that the ledger bans, too."""
    missing_keys: set[str] = field(default_factory=set, repr=False)


def detect_drift(run: Run, vendor: BanVendor, objects: Objects) -> Drift:
    """Compare an account with its vendor, mend what is missing, and write the report to the archive."""
    drift = Drift(run.account)
    started_at = run.clock()
    missing: list[Missing] = []
    if vendor_refusals.blocked(run, "drift"):
        drift.complete = False
    else:
        try:
            missing = _compare(run, vendor, drift)
        except VendorError as error:
            drift.complete = False
            if not vendor_refusals.note(run, error):
                drift.cut_short = str(error)[:300]
    drift.missing = [chunk.urls[position] for chunk, positions in missing for position in positions]
    drift.missing_keys = {chunk.keys[position] for chunk, positions in missing for position in positions}
    if len(drift.missing) > REBAN_AT_MOST:
        drift.held = sum(_ban_again(run, part, then=ChunkState.HELD) for part in missing)
    elif drift.missing:
        drift.rebanned = sum(_ban_again(run, part, then=ChunkState.WAITING) for part in missing)
        wake_submitter(run, run.account)
    drift.key = _report(drift, objects, now=started_at)
    run.emit(
        "drift_detected",
        account=run.account,
        banned_there=drift.banned_there,
        missing=len(drift.missing),
        unknown=len(drift.unknown),
        lingering=len(drift.lingering),
        rebanned=drift.rebanned,
        held=drift.held,
        complete=drift.complete,
        cut_short=int(bool(drift.cut_short)),
        problem=drift.cut_short,
        nearly_full=int(0 < vendor.limits.capacity * NEARLY_FULL <= drift.banned_there),
        key=drift.key,
    )
    return drift


def _compare(run: Run, vendor: BanVendor, drift: Drift) -> list[Missing]:
    """Read the vendor's list and sort its URLs, then find the bans that it lacks. Stop when time is up."""
    pages = vendor.banned()
    if pages is None:  # the vendor has no such list: no ban can be called missing
        drift.complete = False
        return []
    pace = run.pace(vendor.limits.lists_per_second * LIST_SHARE)
    banned_keys = drift.listed
    for urls in run.paced(pages, pace):
        _sort_out(run, urls, drift)
    if run.time_is_up:
        drift.complete, drift.cut_short = False, TIME_UP
        return []
    missing: list[Missing] = []
    for some in _missing(run, banned_keys):
        missing += some
        if run.time_is_up:
            drift.complete, drift.cut_short = False, TIME_UP
            break
    return _still_missing(run, missing, vendor, pace)


def _sort_out(run: Run, urls: Sequence[str], drift: Drift) -> None:
    """Note the keys of some URLs of the vendor's list, and which of them are unknown to the ledger or lingering."""
    urls_by_key = {_key(run.account, url): url for url in urls}
    drift.listed.update(urls_by_key)  # not |=, which makes a new set of a set and a dict's keys
    drift.banned_there += len(urls_by_key)
    claims_by_key = expiry.corrected(run, claims.read(run.rows, list(urls_by_key)))
    now = run.clock()
    a_day_ago = epoch(now - timedelta(days=1))
    for key, url in urls_by_key.items():
        claim = claims_by_key.get(key)
        if claim and claim.unban:
            if claim.cool_until and ordering.ended(run.rows, run.account, claim.unban):
                drift.lingering.append(url)
        elif claim is None or claim.outcome or claim.until < a_day_ago:
            drift.unknown.append(url)
        elif not claim.held and not claim.needs_new_ban(now):
            drift.agreed.add(key)


def _key(account: str, url: str) -> str:
    try:
        return url_key(account, canonical_url(url))
    except UnusableUrl:
        return url_key(account, url)


def _missing(run: Run, banned_keys: set[str]) -> Iterator[list[Missing]]:
    """Yield bans that should be in force and are not on the list, in groups, so that the caller can stop.

    They are found by the tasks that ended in the days of the longest ban.
    """
    now = run.clock()
    for back in range(31, -1, -1):
        events = journal.read(run.rows, (now - timedelta(days=back)).date())
        ids = [event.subject for event in events if event.kind == "task"]
        for some in cut(ids, count=TASKS_READ):
            slices = [
                part
                for task in tasks.read(run.rows, some).values()
                if task.account == run.account and task.action is Action.BAN and task.state is TaskState.SUCCEEDED
                if task.finished_at and task.finished_at <= now - SETTLED
                for part in task.slices
            ]
            chunks_by_id = chunks.read(run.rows, [part.chunk for part in slices])
            yield [
                (chunks_by_id[part.chunk], absent)
                for part in slices
                if part.chunk in chunks_by_id
                if (absent := _absent(run, chunks_by_id[part.chunk], part, banned_keys))
            ]


def _absent(run: Run, chunk: Chunk, part: Slice, banned_keys: set[str]) -> list[int]:
    """Return the positions of a slice that the vendor's list lacks and that should be banned."""
    absent = [position for position in part.positions() if chunk.keys[position] not in banned_keys]
    if not absent:
        return []
    claims_by_key = claims.read(run.rows, [chunk.keys[position] for position in absent])
    now = run.clock()
    return [
        position
        for position in absent
        if chunk_chain.belongs(claims_by_key, chunk, position)
        and not claims_by_key[chunk.keys[position]].needs_new_ban(now)
    ]


def _still_missing(run: Run, missing: list[Missing], vendor: BanVendor, pace: Pace) -> list[Missing]:
    """Ask the vendor for each missing URL, up to the cap: a page may have been skipped, since the list changes.

    A URL does not count as missing if there was no time to ask for it.
    """
    if sum(len(positions) for _, positions in missing) > REBAN_AT_MOST:
        return missing
    run = run.at(run.account, deadline=run.clock() + ASK_AGAIN)

    def listed(url: str) -> bool:
        pages = vendor.banned(url) or iter(())
        return any(url in urls for urls in run.paced(pages, pace)) or run.time_is_up

    still = [(chunk, [at for at in positions if not listed(chunk.urls[at])]) for chunk, positions in missing]
    return [(chunk, positions) for chunk, positions in still if positions]


def _ban_again(run: Run, missing: Missing, *, then: ChunkState) -> int:
    """Ban URLs of a chunk again until the planned end of their bans, or hold them for a person; return how many."""
    chunk, positions = missing
    claims_by_key = claims.read(run.rows, [chunk.keys[position] for position in positions], consistent=True)
    lifted = [position for position in positions if _lift_was_asked(claims_by_key.get(chunk.keys[position]))]
    keys = [chunk.keys[position] for position in lifted]
    claim_ends.end(run.rows, keys, chunk=chunk.id, outcome=UrlState.UNBANNED, reason=LIFTED)
    positions = [position for position in positions if position not in lifted]
    again = successors.successors(chunk, positions, claims_by_key, rule=Rule.DRIFT, now=run.clock())
    rebanned = 0
    for part in again:
        if part.until < part.created_at + timedelta(days=part.ban_days):  # before the chunk: a crash leaves a stray row
            due_chunks.plan_end(run.rows, part.account, part.id, at=part.until)
        rebanned += len(claiming.begin(run, part, claims_by_key, then=then))
    return rebanned


def _lift_was_asked(claim: Claim | None) -> bool:
    """Whether a person asked to unban a URL and the vendor refused. If the ban was lifted since, it stays lifted."""
    return claim is not None and bool(claim.unban_failed)


def _report(drift: Drift, objects: Objects, *, now: datetime) -> str:
    key = f"drift/account={drift.account}/dt={now:%Y-%m-%d}/{stamp(now)}.json"
    document = {
        "account": drift.account,
        "at": now.isoformat(),
        "complete": drift.complete,
        "banned_there": drift.banned_there,
        "rebanned": drift.rebanned,
        "held": drift.held,
        **{
            kind: {"urls": len(found), "first": found[:LISTED]}
            for kind, found in (("missing", drift.missing), ("unknown", drift.unknown), ("lingering", drift.lingering))
        },
    }
    objects.put_new(key, json.dumps(document, indent=1).encode(), content_type="application/json")
    return key
