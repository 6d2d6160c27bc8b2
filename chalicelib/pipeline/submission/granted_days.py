"""How many days a call asks for, if a vendor grants fewer than were planned or ends no ban by itself.

Crash order: renewals and ends are planned before the task is recorded. If the ban was then not sent, they are postponed
when they are due.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

from chalicelib.domain.packing import Work
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.ledger import due_chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.pipeline.run import Run

ENDS_LATER = timedelta(minutes=1)
"""Bans are lifted this long after their planned end: the last task of their chunk may be submitted somewhat later."""


class GrantedDays:
    """The days of the bans of one drain. ``longest_ban`` is the vendor's; ``None``: it ends no ban by itself."""

    def __init__(self, run: Run, longest_ban: timedelta | None) -> None:
        self._run, self._longest_ban = run, longest_ban
        self._ends_planned: set[str] = set()

    def of_ban(self, work: Work, chunk_ids: Collection[str], chunks_by_id: Mapping[str, Chunk]) -> int:
        """Return the days that a call asks for; plan the renewal or the end of the bans of these chunks after them."""
        if self._longest_ban is None:
            for chunk_id in {*chunk_ids} - self._ends_planned:
                self._ends_planned.add(chunk_id)
                self._plan_end(work, chunks_by_id[chunk_id])
            return work.ban_days
        if work.ban_days <= self._longest_ban.days:
            return work.ban_days
        at = self._run.clock() + self._longest_ban - timedelta(hours=self._run.policy.renew_before_hours)
        for chunk_id in dict.fromkeys(chunk_ids):
            due_chunks.plan_renewal(self._run.rows, chunks_by_id[chunk_id], at=at)
        return self._longest_ban.days

    def _plan_end(self, work: Work, chunk: Chunk) -> None:
        """Plan that edgeban ends the bans of a chunk when their days are over."""
        if chunk.until < FOREVER:
            at = max(chunk.until, self._run.clock() + timedelta(days=work.ban_days)) + ENDS_LATER
            due_chunks.plan_end(self._run.rows, chunk.account, chunk.id, at=at)
