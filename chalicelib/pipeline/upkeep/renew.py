"""Carry on bans that are planned to outlive what the vendor grants (30 days at the most).

A chunk whose bans lapse soon is followed by one that renews it: the same URLs but for those that were unbanned or
ended otherwise, through the same claim and the same submitter, which packs renewals into full tasks. A chunk that
renews takes the claims over one by one, each on the condition that it is still the old chunk's and not unbanned: so an
unban at the same moment wins or is won over, and never both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from chalicelib.domain.model import Action, Verdict
from chalicelib.domain.policy.rules import NOT_MANAGED, Policy, accounts_for, plan_for, standing
from chalicelib.ledger import chunks, claims
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.row import stamp, text
from chalicelib.pipeline.lifecycle import claiming, expiry
from chalicelib.ports import Delete, Emit, Put, Rows, Wake

AT_ONCE = 50
"""Due chunks read at a time."""

POSTPONED = timedelta(days=1)
EARLY = timedelta(hours=2)
"""How much earlier than it must a renewal may come."""


def renew_bans(
    account: str,
    *,
    rows: Rows,
    policy: Policy,
    wake: Wake,
    emit: Emit,
    clock: Callable[[], datetime],
    deadline: datetime,
) -> int:
    """Renew what is due at an account; return how many URLs."""
    renewed = 0
    while clock() < deadline:
        now = clock()
        due = [row for row in rows.query(f"renewals#{account}", limit=AT_ONCE) if text(row, "sk") <= stamp(now)]
        if not due:
            break
        found = chunks.read(rows, [text(row, "chunk") for row in due])
        for row in due:
            chunk = found.get(text(row, "chunk"))
            if chunk:
                renewed += _renew(chunk, rows=rows, policy=policy, now=now)
            rows.apply(Delete((text(row, "pk"), text(row, "sk"))))
    if renewed:
        wake(account, now=clock())
    emit("bans_renewed", account=account, urls=renewed)
    return renewed


def _renew(chunk: Chunk, *, rows: Rows, policy: Policy, now: datetime) -> int:
    at_vendor = expiry.of_chunk(rows, chunk.account, chunk.id)
    if at_vendor.waiting:  # held, or waiting for a vendor: its bans have not begun
        rows.apply(Put(chunks.renewal(chunk, now + POSTPONED)))
        return 0
    due_at = at_vendor.until - timedelta(hours=policy.renew_before_hours) if at_vendor.until else now
    if due_at > now + EARLY:  # they began later than the chunk was made
        rows.apply(Put(chunks.renewal(chunk, due_at)))
        return 0
    known = claims.read(rows, chunk.keys, consistent=True)
    kept: list[int] = []
    stopped: dict[Verdict, list[str]] = {}
    for position, key in enumerate(chunk.keys):
        if key not in known or known[key].chunk != chunk.id or known[key].outcome:
            continue
        served = chunk.account in accounts_for(chunk.urls[position], policy)
        why = standing(chunk.urls[position], policy, now) if served else NOT_MANAGED
        if why:
            stopped.setdefault(why, []).append(key)
        else:
            kept.append(position)
    for why, lapsing in stopped.items():
        reason, until = f"not renewed: {why.reason}", at_vendor.until or now
        claims.give_back(rows, lapsing, chunk=chunk.id, to=chunk.id, until=until, reason=reason)
    # An approval moves the end of the bans that it begins, so the claims know it and the chunk does not.
    until = datetime.fromtimestamp(max((known[chunk.keys[p]].until for p in kept), default=0), tz=UTC)
    days_left = math.ceil((until - now) / timedelta(days=1))
    if days_left <= 0 or not kept:
        return 0
    keys = tuple(chunk.keys[position] for position in kept)
    ban_days = plan_for(days_left).ban_days
    following = Chunk(
        id=chunks.chunk_id(now, f"renewal|{chunk.account}", keys),
        account=chunk.account,
        action=Action.BAN,
        ban_days=ban_days,
        rule="renewal",
        urls=tuple(chunk.urls[position] for position in kept),
        keys=keys,
        origins=tuple(chunk.origins[position] for position in kept),
        created_at=now,
        received_at=now,
        until=until,
        renews=(chunk.id,),
        before=claiming.history(keys, known),
        renew_at=claiming.renew_at(now, ban_days, until, policy),
    )
    return len(claiming.begin(rows, following, known, now=now))
