"""Slow down the calls of a drain, or end it: because of throttling, outages, refusals, a pause or the deadline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from chalicelib.domain.errors import AccessRefused, Throttled, VendorError
from chalicelib.domain.model import Action, VendorLimits
from chalicelib.ledger import control
from chalicelib.ledger.control import Control
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.backlog import Backlog

GATHERS = timedelta(seconds=0.5)
"""How long after an earlier drain's last call a drain waits: what comes until then goes into one task."""

PROOF_LASTS = timedelta(minutes=5)
"""For this long a drain trusts that the vendor answers well because an earlier drain has seen it."""

PATIENCE = timedelta(seconds=10)
"""How long a drain with nothing else to do waits for a postponed task, instead of leaving it to the sweep."""

MAX_FAILURES = 3
"""After so many calls in a row without an answer the vendor counts as down, and the next sweep tries again."""

MAX_THROTTLES = 8
"""After so many throttled calls in a row the vendor counts as down."""

CHECK_PAUSED = timedelta(seconds=10)
"""How often a drain reads whether somebody has paused the account."""


class Brakes:
    """The brakes of one drain: the pace of its calls, the actions that it may not send, and why it must end."""

    def __init__(
        self, run: Run, backlog: Backlog, limits: VendorLimits, *, state: Control, closed: Mapping[Action, str]
    ) -> None:
        """``state`` is the account's control row. ``closed`` says why some actions may not be sent now."""
        self._run, self._backlog = run, backlog
        last = state.last_call_at and min(state.last_call_at, run.clock())  # another function's clock may be ahead
        self.pace = run.pace(limits.creates_per_second, last=last, last_calls=state.last_calls)
        if last:
            self.pace.hold((last + GATHERS - run.clock()).total_seconds())
        self.pace.hold(vendor_refusals.seconds_held(run, state))
        self.closed: dict[Action, str] = {}
        for action, why in closed.items():
            self.close(action, why)
        self.stop = ""
        """Why the drain must end before its work is done; empty while it goes on."""
        self.proven = bool(state.answered_at and run.clock() - state.answered_at < PROOF_LASTS)
        """Whether the vendor has answered well, in this drain or a while ago. Until then calls go one at a time."""
        self._failures = self._throttles = 0
        self._throttled_at: datetime | None = None
        """When the last call that counted as throttled was answered."""
        self._pause_checked_at = run.clock()

    @property
    def stopped(self) -> bool:
        """Whether the drain must end now."""
        now = self._run.clock()
        if not self.stop and max(now, self.pace.due) >= self._run.deadline:
            held = self.pace.due - now > timedelta(seconds=vendor_refusals.LONG_WAIT)
            self.stop = "throttled" if held else "deadline"  # the sweep wakes the account when the vendor's wait ends
        if not self.stop and now - self._pause_checked_at >= CHECK_PAUSED:
            self._pause_checked_at = now
            if Action.BAN not in self.closed and control.paused(self._run.rows, self._run.account):
                self.close(Action.BAN, "paused")
        return bool(self.stop)

    def wait_until(self, due_at: datetime | None) -> bool:
        """Sleep until a postponed task is due, if that is soon; ``False`` if there is no such task."""
        now = self._run.clock()
        if due_at is None or due_at > min(now + PATIENCE, self._run.deadline):
            return False
        if due_at > now:
            self._run.rest((due_at - now).total_seconds())
        return True

    @property
    def ended_well(self) -> bool:
        """Whether the vendor answered well up to the drain's end: then the next drain calls it in parallel at once."""
        return self.stop == "deadline" or (self.proven and not self._failures and not self.stop)

    def close(self, action: Action, why: str) -> None:
        """Send no more of an action. A pause stops only bans: it is there to stop harm, and an unban undoes harm."""
        self.closed[action] = why
        self._backlog.closed.add(action)

    def blocked(self, task: Task, error: VendorError) -> bool:
        """Note an error of a task's call or look-up; return whether the vendor refuses more than this call."""
        if not vendor_refusals.note(self._run, error, quota=task.action, task_id=task.id):
            return False
        for action in Action if isinstance(error, AccessRefused) else (task.action,):
            self.close(action, "blocked")
        return True

    def answered(self) -> None:
        """Note that the vendor answered a call well."""
        self.proven, self._failures, self._throttles = True, 0, 0

    def throttled(self, task: Task, error: Throttled) -> None:
        """Wait as long as the vendor asks, and twice as long after each further call in a row that it throttles.

        Calls that were under way together are throttled together, and count as one.
        """
        if self._throttled_at is None or not task.attempted_at or task.attempted_at >= self._throttled_at:
            self._throttles += 1
            self._throttled_at = self._run.clock()
        seconds = error.retry_after * 2 ** min(self._throttles - 1, 4)
        self.pace.hold(seconds)
        vendor_refusals.hold_creates(self._run, error, seconds)
        if self._throttles > MAX_THROTTLES:
            self.stop = "down"

    def not_answered(self) -> None:
        """Count a call without an answer, and wait longer after each. After too many in a row the vendor is down."""
        self._failures += 1
        self.pace.hold(2.0 ** min(self._failures, MAX_FAILURES) - 1)  # many calls may be under way
        if self._failures >= MAX_FAILURES:
            self.stop = "down"
