"""Keep to the number of URLs that a vendor takes a day. Bans and unbans count separately, in the vendor's day.

Lifts that edgeban makes by itself at the end of bans leave a tenth of the day's unbans to people. A crash between a
call and its count leaves the count too low by that call. The vendor then refuses, which also blocks the action.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone

from chalicelib.domain.errors import QuotaExceeded
from chalicelib.domain.model import Action, Rule, VendorLimits
from chalicelib.ledger import control, sent, task_repeats
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle.splitting import split
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.backlog import Backlog
from chalicelib.pipeline.submission.brakes import Brakes

LIFTS_SHARE = 0.9
"""The share of a day's unbans that edgeban's own lifts may use."""


class DayQuota:
    """The URLs of the day at the run's account. It costs nothing if the vendor has no such limit."""

    def __init__(self, run: Run, limits: VendorLimits, backlog: Backlog, brakes: Brakes) -> None:
        self._run, self._backlog, self._brakes = run, backlog, brakes
        self._limits = {Action.BAN: limits.urls_per_day, Action.UNBAN: limits.unbans_per_day}
        self._zone = timezone(limits.utc_offset)
        self._day: date | None = None
        self._sent: dict[Action, int] = {}

    def has_room(self, task: Task, *, under_way: int) -> bool:
        """Return whether the day has room for a task beside the URLs whose calls are under way.

        If it has none, the task waits for the next day, and so does its action. If only lifts have no more room, unbans
        that people asked for still go. A task of more URLs than a whole day takes is halved.
        """
        limit = self._limits[task.action]
        if not limit:
            return True
        today = self._today()
        if today != self._day:
            self._day, self._sent = today, sent.read(self._run.rows, self._run.account, today)
        is_lift = self._backlog.chunks_of(task.slices)[task.slices[0].chunk].rule == Rule.ENDED
        most = max(int(limit * LIFTS_SHARE), 1) if is_lift else limit
        if self._sent[task.action] + under_way + task.count <= most:
            return True
        if task.count > most:
            self._backlog.recorded.add(*split(self._run, task, reason=f"the vendor takes only {limit} URLs a day"))
            return False
        if is_lift:
            until = self._next_day
            self._backlog.recorded.postpone(task_repeats.record_postponed(self._run.rows, task, until=until), until)
            return False
        self._block(task.action)
        self._brakes.close(task.action, "blocked")
        self._backlog.recorded.call_again(task)
        return False

    def count(self, task: Task) -> None:
        """Count a task that the vendor took."""
        if self._limits[task.action]:
            self._day, now = self._today(), self._run.clock()
            self._sent = sent.count(self._run.rows, self._run.account, self._day, task.action, task.count, now=now)

    @property
    def _next_day(self) -> datetime:
        """When the vendor's next day begins."""
        return datetime.combine(self._today() + timedelta(days=1), time(), tzinfo=self._zone)

    def _block(self, action: Action) -> None:
        """Write down that an action waits for the next day, as if the vendor had refused it."""
        error = QuotaExceeded(f"the {self._limits[action]} URLs a day that the vendor takes are used up")
        control.block(self._run.rows, self._run.account, until=self._next_day, error=error, subject=action.value)

    def _today(self) -> date:
        return self._run.clock().astimezone(self._zone).date()
