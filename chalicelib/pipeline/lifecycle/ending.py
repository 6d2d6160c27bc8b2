"""Lift the bans that the vendor does not end in time: edgeban unbans them at their planned end.

A vendor whose ``longest_ban`` is ``None`` blocks a URL until edgeban unbans it. The submitter writes down when the bans
of a chunk end (``ledger.due_chunks``), before it records their task. A change that moves a planned end in writes it
down too. The sweep lifts what is due every minute.

Crash order: the lift (a chunk, as every unban), the next moment at which the chunk is looked at, the row that was due.
After a crash in between the sweep comes here again, and finds URLs that are marked already. If a report moves the end
out at the same moment, only one of the two succeeds: a claim is marked only if its planned end is still the one that
was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from chalicelib.domain.model import Action, Rule
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.ledger import carriers, chunk_chain, claims, due_chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.pipeline.lifecycle import claiming, expiry
from chalicelib.pipeline.lifecycle.due_chunks import work_through
from chalicelib.pipeline.run import Run

SOONEST = timedelta(minutes=1)
"""A chunk is not looked at again before this time has passed."""

UNSENT = timedelta(hours=1)
"""When a chunk is looked at again if no vendor has some of its URLs yet: their bans have not begun."""

LIFT_DAYS = 1
"""The days that a lift's task states. They mean nothing at a vendor."""

REASON = "the ban came to its planned end"


def end_due_bans(run: Run) -> int:
    """Lift the bans that are due at the run's account; return how many URLs these are."""
    lifted = work_through(run, "ends", _lift)
    if lifted:
        run.emit("bans_ended", account=run.account, urls=lifted)
    return lifted


def _lift(run: Run, chunk: Chunk) -> int:
    """Lift those of a chunk's bans whose end has come; plan when the others are looked at."""
    now = run.clock()
    claims_by_key = claims.read(run.rows, chunk.keys, consistent=True)
    ends_by_position = _ends(run, chunk, claims_by_key, now)
    due = [position for position, end in ends_by_position.items() if end <= now]
    lifted = len(claiming.begin(run, _lift_chunk(chunk, due, now), claims_by_key)) if due else 0
    later = [end for end in ends_by_position.values() if now < end < FOREVER]
    if later or lifted < len(due):  # a report may have moved an end out since the claims were read
        next_look = max(min(later, default=now), now + SOONEST)
        due_chunks.plan_end(run.rows, chunk.account, chunk.id, at=next_look)
    return lifted


def _ends(run: Run, chunk: Chunk, claims_by_key: Mapping[str, Claim], now: datetime) -> dict[int, datetime]:
    """Return when edgeban is to end the ban of each position that the chunk still has.

    That is the planned end, or later if the ban began late. If the vendor ends bans itself, edgeban ends only those
    whose end a later word moved in, and those that drift restored shortly before their end.
    """
    kept = [position for position in range(len(chunk.keys)) if chunk_chain.belongs(claims_by_key, chunk, position)]
    if not kept:
        return {}
    ends_by_position = dict.fromkeys(kept, now + UNSENT)
    lasting: set[int] = set()
    for task in carriers.of_chunk(run.rows, chunk.id):  # parents before their children: the last one holds
        end = expiry.of_task(task) or now + UNSENT
        positions = [position for part in task.slices if part.chunk == chunk.id for position in part.positions()]
        ends_by_position.update((position, end) for position in positions if position in ends_by_position)
        if task.endless:
            lasting.update(positions)
    for position in kept:
        planned = datetime.fromtimestamp(claims_by_key[chunk.keys[position]].until, tz=UTC)
        begun = ends_by_position[position] != now + UNSENT
        restored = chunk.rule == Rule.DRIFT  # for whole days, which outlast what was left of the ban
        moved_in = planned < chunk.until - timedelta(seconds=1)  # claims know whole seconds
        if begun and (moved_in or (restored and planned < ends_by_position[position])):
            ends_by_position[position] = planned
        elif begun and position not in lasting:
            del ends_by_position[position]
        else:
            ends_by_position[position] = max(ends_by_position[position], planned)
    return ends_by_position


def _lift_chunk(chunk: Chunk, positions: list[int], now: datetime) -> Chunk:
    return Chunk(
        account=chunk.account,
        action=Action.UNBAN,
        ban_days=LIFT_DAYS,
        rule=Rule.ENDED,
        urls=tuple(chunk.urls[position] for position in positions),
        keys=tuple(chunk.keys[position] for position in positions),
        origins=tuple(chunk.origins[position] for position in positions),
        created_at=now,
        received_at=now,
        until=now,
        renews=(chunk.id,),
        reason=REASON,
    )
