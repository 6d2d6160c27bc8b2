"""Compare the ledger with what the vendor says is banned, once a day, and mend what is missing.

Three kinds of drift: **missing**, we say banned and the vendor's list does not hold it, re-banned within a cap;
**unknown**, the vendor bans it and no decision of ours asks for it, reported so that a person may adopt or unban it;
**lingering**, unbanned by us and banned there still. The vendor's list is read page by page (50 URLs, below its rate)
within one function's time, some 900,000 URLs: beyond that only what is unknown can be told, and the report says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from chalicelib.domain.errors import UnusableUrl, VendorError
from chalicelib.domain.model import Action, ChunkState, TaskState
from chalicelib.domain.pacing import Pace
from chalicelib.domain.packing import Slice
from chalicelib.domain.policy.rules import Policy, plan_for
from chalicelib.domain.urls import canonical_url, url_key
from chalicelib.ledger import chunks, claims, journal, tasks
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch, stamp, text
from chalicelib.pipeline.lifecycle import claiming, expiry, ordering
from chalicelib.pipeline.lifecycle.splitting import DRIFT
from chalicelib.ports import BanVendor, Emit, Objects, Rows, Wake

QUERY_RATE = 20.0
"""Banned-URL list queries a second, of the vendor's 30."""

SETTLED = timedelta(hours=1)
"""Younger bans are left out: the vendor's list may not show them yet."""

REBAN_AT_MOST = 1_000
"""Missing bans that are banned again in one run: more look like a mistake of one side, and a person decides."""

LISTED = 10_000
"""URLs of each kind that the report names; it counts them all."""

TASKS_READ = 10
"""Tasks that are read at a time, with their chunks: the chunks of a full task come to 30 KB or so."""

ADOPTED_DAYS = 30
"""How long an adopted ban is taken to last: the vendor's list tells no end, and its longest is 30 days."""


@dataclass(slots=True)
class Drift:
    """What a comparison found."""

    account: str
    banned_there: int = 0
    complete: bool = True
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    lingering: list[str] = field(default_factory=list)
    rebanned: int = 0
    key: str = ""


def detect_drift(
    account: str,
    *,
    vendor: BanVendor,
    rows: Rows,
    objects: Objects,
    wake: Wake,
    emit: Emit,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    deadline: datetime,
    policy: Policy,
) -> Drift:
    """Compare one account and write the report to the archive."""
    now = clock()
    drift = Drift(account)
    there: set[str] = set()
    pace = Pace(QUERY_RATE, clock=clock, sleep=sleep)
    try:
        for urls in _banned_there(vendor, pace):
            _compare(urls, account, there, drift, rows=rows, now=now)
            if clock() >= deadline:
                drift.complete = False
                break
        missing = []
        for found in _missing(account, there, rows=rows, now=now) if drift.complete else ():
            missing += found
            if clock() >= deadline:
                drift.complete = False
                break
        missing = _still_missing(missing, vendor, pace)
    except VendorError as error:
        emit("vendor_error", account=account, kind=error.kind, code=error.code, problem=str(error)[:300])
        drift.complete, missing = False, []
    drift.missing = [url for _, group in missing for _, url in group]
    if 0 < len(drift.missing) <= REBAN_AT_MOST:
        for chunk, group in missing:
            positions = [position for position, _ in group]
            drift.rebanned += _ban_again(chunk, positions, policy, rows=rows, now=now)
        wake(account, now=now)
    drift.key = _report(drift, objects, now=now)
    emit(
        "drift_detected",
        account=account,
        banned_there=drift.banned_there,
        missing=len(drift.missing),
        unknown=len(drift.unknown),
        lingering=len(drift.lingering),
        rebanned=drift.rebanned,
        complete=drift.complete,
        key=drift.key,
    )
    return drift


def _banned_there(vendor: BanVendor, pace: Pace) -> Iterator[list[str]]:
    page, seen, total = 1, 0, 1
    while seen < total:
        pace.wait()
        found = vendor.list_banned_urls(page)
        if not found.urls:
            return
        yield [each.url for each in found.urls]
        page, seen, total = page + 1, seen + len(found.urls), found.total


def _compare(urls: Sequence[str], account: str, there: set[str], drift: Drift, *, rows: Rows, now: datetime) -> None:
    keys = {_key(account, url): url for url in urls}
    there.update(keys)  # not |=, which makes a new set of a set and a dict's keys
    drift.banned_there += len(keys)
    known = claims.read(rows, list(keys))
    known = expiry.in_force(rows, dict.fromkeys(keys, account), known, now=now)
    for key, url in keys.items():
        claim = known.get(key)
        if claim and claim.unban:
            if claim.cool_until and ordering.ended(rows, account, claim.unban):
                drift.lingering.append(url)
        elif claim is None or claim.outcome or claim.until < epoch(now - timedelta(days=1)):
            drift.unknown.append(url)


def _key(account: str, url: str) -> str:
    try:
        return url_key(account, canonical_url(url))
    except UnusableUrl:
        return url_key(account, url)


def _missing(
    account: str, there: set[str], *, rows: Rows, now: datetime
) -> Iterator[list[tuple[Chunk, list[tuple[int, str]]]]]:
    """Bans that should be in force and are not on the list: by the tasks that ended in the days of the longest ban.

    Some at a time, so that whoever asks can stop. A ban that was adopted is not among them: nobody here ever asked
    for it.
    """
    for back in range(31, -1, -1):
        events = journal.read(rows, (now - timedelta(days=back)).date())
        ids = [text(event, "subject") for event in events if event["kind"] == "task"]
        for start in range(0, len(ids), TASKS_READ):
            made = [
                task
                for task in tasks.read(rows, ids[start : start + TASKS_READ]).values()
                if task.account == account and task.action is Action.BAN and task.state is TaskState.SUCCEEDED
                if task.finished_at and task.finished_at <= now - SETTLED
            ]
            slices = [each for task in made for each in task.slices]
            found = chunks.read(rows, [each.chunk for each in slices])
            absent = [
                (found[each.chunk], _absent(found[each.chunk], each, there, rows=rows, now=now))
                for each in slices
                if each.chunk in found
            ]
            yield [(chunk, group) for chunk, group in absent if group]


def _absent(chunk: Chunk, part: Slice, there: set[str], *, rows: Rows, now: datetime) -> list[tuple[int, str]]:
    absent = [position for position in part.positions() if chunk.keys[position] not in there]
    known = claims.read(rows, [chunk.keys[position] for position in absent]) if absent else {}
    return [
        (position, chunk.urls[position])
        for position in absent
        if _in_force(known.get(chunk.keys[position]), chunk, now)
    ]


def _in_force(claim: Claim | None, chunk: Chunk, now: datetime) -> bool:
    return claim is not None and claim.chunk == chunk.id and not claim.outcome and claim.until > epoch(now)


def _still_missing(
    missing: list[tuple[Chunk, list[tuple[int, str]]]], vendor: BanVendor, pace: Pace
) -> list[tuple[Chunk, list[tuple[int, str]]]]:
    """Ask for each by its URL, up to the cap: the list moves while it is read, and a page may have been missed."""
    if sum(len(group) for _, group in missing) > REBAN_AT_MOST:
        return missing
    sure = []
    for chunk, group in missing:
        left = []
        for position, url in group:
            pace.wait()
            if not any(each.url == url for each in vendor.list_banned_urls(1, url).urls):
                left.append((position, url))
        if left:
            sure.append((chunk, left))
    return sure


def _ban_again(chunk: Chunk, positions: list[int], policy: Policy, *, rows: Rows, now: datetime) -> int:
    keys = tuple(chunk.keys[position] for position in positions)
    known = claims.read(rows, keys, consistent=True)
    # An approval moves the end of the bans that it begins, so the claims know it and the chunk does not.
    until = datetime.fromtimestamp(max((each.until for each in known.values()), default=epoch(chunk.until)), tz=UTC)
    ban_days = plan_for(max(1, math.ceil((until - now) / timedelta(days=1)))).ban_days
    again = Chunk(
        id=chunks.chunk_id(now, f"drift|{chunk.account}", keys),
        account=chunk.account,
        action=Action.BAN,
        ban_days=ban_days,
        rule=DRIFT,
        urls=tuple(chunk.urls[position] for position in positions),
        keys=keys,
        origins=tuple(chunk.origins[position] for position in positions),
        created_at=now,
        received_at=now,
        until=until,
        renews=(chunk.id,),
        before=claiming.history(keys, known),
        renew_at=claiming.renew_at(now, ban_days, until, policy),
    )
    return len(claiming.begin(rows, again, known, now=now))


def _report(drift: Drift, objects: Objects, *, now: datetime) -> str:
    key = f"drift/account={drift.account}/dt={now:%Y-%m-%d}/{stamp(now)}.json"
    document = {
        "account": drift.account,
        "at": now.isoformat(),
        "complete": drift.complete,
        "banned_there": drift.banned_there,
        "rebanned": drift.rebanned,
        **{
            kind: {"urls": len(found), "first": found[:LISTED]}
            for kind, found in (("missing", drift.missing), ("unknown", drift.unknown), ("lingering", drift.lingering))
        },
    }
    objects.put_new(key, json.dumps(document, indent=1).encode(), content_type="application/json")
    return key


def shown(
    account: str,
    urls: Sequence[str],
    *,
    vendor: BanVendor,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    deadline: datetime,
) -> list[str] | None:
    """Those of the URLs that the vendor's list holds; ``None`` if there was not the time to ask for each."""
    pace = Pace(QUERY_RATE, clock=clock, sleep=sleep)
    found = []
    for url in urls:
        if clock() >= deadline:
            return None
        pace.wait()
        if any(_key(account, each.url) == url_key(account, url) for each in vendor.list_banned_urls(1, url).urls):
            found.append(url)
    return found


def adopt(account: str, urls: Sequence[str], *, actor: str, reason: str, rows: Rows, now: datetime) -> int:
    """Take bans that the vendor holds and we never asked for as ours; return how many were not ours before."""
    origin = Origin("", f"operator:{actor}", actor, "adopted", reason)
    adopted = 0
    for part in claiming.parts((url, url) for url in dict.fromkeys(urls)):
        keys = tuple(url_key(account, url) for url in part)
        known = claims.read(rows, keys, consistent=True)
        chunk = Chunk(
            id=chunks.chunk_id(now, f"adopted|{account}", keys),
            account=account,
            action=Action.BAN,
            ban_days=ADOPTED_DAYS,
            rule="adopted",
            urls=tuple(part),
            keys=keys,
            origins=(origin,) * len(keys),
            created_at=now,
            received_at=now,
            until=now + timedelta(days=ADOPTED_DAYS),
            before=claiming.history(keys, known),
            actor=actor,
            reason=reason,
        )
        adopted += len(claiming.begin(rows, chunk, known, then=ChunkState.ADOPTED, now=now))
    return adopted
