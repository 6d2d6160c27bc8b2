"""Look up at the vendor each recorded task whose last call may have had an effect, before it is called again (I2).

A submitter that died after the vendor answered leaves such a task, and so does a call without an answer. edgeban asks
the vendor for a task with exactly these URLs. If the vendor has one that belongs to no other task of ours, its id is
written and nothing is sent twice. If the vendor shows none ``LIST_LAG`` after the attempt, the call had no effect and
is repeated. A declarative vendor has no tasks: the call is repeated at once, which does no harm.

A person may unban URLs of such a task. If its call had no effect, the URLs leave it before it is repeated.

The policy may forbid URLs of such a task. If a declarative vendor may have banned them, they are unbanned, since their
task then ends without a further call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import VendorError
from chalicelib.domain.model import CHUNK_BYTES, CHUNK_URLS, Action, Rule, TaskState, UrlState
from chalicelib.ledger import claims, control, task_repeats, tasks, vendor_task_ids
from chalicelib.ledger.chunks import EDGEBAN, OPERATOR, Chunk, Origin
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.lifecycle import claiming
from chalicelib.pipeline.lifecycle.splitting import allowed
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.backlog import Backlog
from chalicelib.pipeline.submission.brakes import Brakes
from chalicelib.pipeline.submission.vendor_tasks import LIST_LAG, LOOK_UP_SHARE, SKEW, is_shown
from chalicelib.ports import BanVendor

LIST_LAG_LONGEST = timedelta(hours=1)
"""The same wait if the list also lacks other tasks that the vendor has accepted."""

LOOK_AGAIN = timedelta(seconds=3)
"""How long after a lost answer its task is looked up."""

WHY_UNDONE = "the policy forbids it by now, and the vendor may have banned it"


class LostAnswers:
    """Finds out whether a task's last call had an effect. ``adopted`` is called for each task that the vendor has."""

    def __init__(
        self, run: Run, vendor: BanVendor, backlog: Backlog, brakes: Brakes, *, adopted: Callable[[Task], None]
    ) -> None:
        self._run, self._vendor, self._backlog, self._brakes = run, vendor, backlog, brakes
        self._adopted = adopted
        self.pace = run.pace(vendor.limits.lists_per_second * LOOK_UP_SHARE)
        """The pace of this drain's look-ups in the vendor's lists."""

    def postpone(self, task: Task) -> None:
        """Have a task looked up in a moment: its call has no answer, and may have had an effect."""
        self._backlog.recorded.postpone(task, self._run.clock() + LOOK_AGAIN)

    def settled(self, task: Task, urls: Sequence[str]) -> bool:
        """Look a task up if its last call may have had an effect; return whether it must not be called now."""
        if task.attempted_at and self._vendor.limits.declarative:
            self._undo_forbidden(task)
        elif task.attempted_at and self._may_be_there(task, urls):
            return True
        unban_waits = task.attempted_at and self._backlog.unban_waits and not self._vendor.limits.declarative
        if task.action not in self._brakes.closed and not unban_waits:
            return False
        task_repeats.record_not_sent(self._run.rows, task)
        self._backlog.put_back(replace(task, attempts=0, attempted_at=None))
        return True

    def _undo_forbidden(self, task: Task) -> None:
        """Unban those URLs of a repeated ban that the policy forbids by now, at this account alone.

        The unban waits until the ban's task has ended. A URL whose unban is on its way already needs no other.
        """
        run, chunks_by_id = self._run, self._backlog.chunks_of(task.slices)
        forbidden = [
            (chunks_by_id[part.chunk], position)
            for verdict, slices in allowed(run, task.action, task.slices, chunks_by_id).items()
            for part in slices
            for position in part.positions()
            if verdict
        ]
        keys = [chunk.keys[position] for chunk, position in forbidden]
        claims_by_key = claims.read(run.rows, keys, consistent=True) if keys else {}
        lifted = [
            (chunk, position)
            for chunk, position in forbidden
            if (claim := claims_by_key.get(chunk.keys[position])) and claim.outcome != UrlState.UNBANNED
        ]
        for some in cut(lifted, count=CHUNK_URLS, size=CHUNK_BYTES, size_of=lambda place: len(place[0].urls[place[1]])):
            claiming.begin(run, self._unban_of(some), claims_by_key)

    def _unban_of(self, places: Sequence[tuple[Chunk, int]]) -> Chunk:
        now = self._run.clock()
        origin = Origin("", OPERATOR + EDGEBAN, EDGEBAN, "unban", WHY_UNDONE)
        return Chunk(
            account=self._run.account,
            action=Action.UNBAN,
            ban_days=1,
            rule=Rule.UNBAN,
            urls=tuple(chunk.urls[position] for chunk, position in places),
            keys=tuple(chunk.keys[position] for chunk, position in places),
            origins=(origin,) * len(places),
            created_at=now,
            received_at=now,
            until=now,
            actor=EDGEBAN,
            reason=WHY_UNDONE,
        )

    def _may_be_there(self, task: Task, urls: Sequence[str]) -> bool:
        """Look up a task whose last call has no recorded answer.

        Return ``False`` if the vendor certainly did not make it. Otherwise it is adopted, or looked up again later.
        """
        assert task.attempted_at
        try:
            vendor_task_id = self._adopt(task, urls)
        except VendorError as error:  # an error of the list says nothing of the task
            self._backlog.look_ups_allowed = False
            if not self._brakes.blocked(task, error):
                self._brakes.not_answered()
            self.postpone(task)
            return True
        if vendor_task_id:
            account = self._run.account
            self._run.emit("task_adopted", task_id=task.id, account=account, vendor_task_id=vendor_task_id)
            self._adopted(task)
            return True
        now = self._run.clock()
        if now < task.attempted_at + LIST_LAG or self._run.time_is_up:
            self._backlog.recorded.postpone(task, task.attempted_at + LIST_LAG)
            return True
        if self._list_lags(task.attempted_at, now):
            self._run.emit("vendor_list_lags", account=self._run.account, task_id=task.id)
            self._backlog.recorded.postpone(task, now + LIST_LAG)
            return True
        return False

    def _list_lags(self, attempted_at: datetime, now: datetime) -> bool:
        """Return whether the vendor's list may not yet show a task that was created at this attempt."""
        if now >= attempted_at + LIST_LAG_LONGEST:
            return False
        try:
            reaches = self._list_reaches(attempted_at)
        except VendorError as error:
            vendor_refusals.note(self._run, error)
            return True
        if reaches is not None:
            return not reaches
        state = control.read(self._run.rows, [self._run.account])[self._run.account]
        return now < attempted_at + LIST_LAG + control.slow_end(state, now=now)

    def _list_reaches(self, moment: datetime) -> bool | None:
        """Return whether the vendor's list now shows tasks that were created at a moment; ``None`` if nothing tells.

        Another task of ours tells: one that the vendor accepted and that has not ended, the first one after that
        moment, else the last one before it. If the list lacks it, the list may lack others, too.
        """
        live = tasks.live(self._run.rows, self._run.account)
        accepted = sorted((task for task in live if task.state is TaskState.PROCESSING), key=_accepted_at)
        later = [task for task in accepted if _accepted_at(task) >= moment]
        for witness in (later or accepted[-1:])[:1]:
            shown = is_shown(self._run, self._vendor, witness, self.pace)
            return shown if later or not shown else None
        return None

    def _adopt(self, task: Task, urls: Sequence[str]) -> str:
        """Look for the vendor task that carries exactly these URLs, and record it as ``task``'s.

        Return the vendor's id. It is empty if the vendor shows no such task, or only one that is recorded for another
        task of ours. The look-up may have stopped at the deadline: then an empty id proves nothing.
        """
        now, rows = self._run.clock(), self._run.rows
        steps = self._vendor.find_task(task.action, urls, task.created_at - SKEW, now + SKEW)
        matches = [vendor_task_id for vendor_task_id in self._run.paced(steps, self.pace) if vendor_task_id]
        recorded = vendor_task_ids.recorded_among(rows, task.account, matches)
        for vendor_task_id in matches:
            if vendor_task_id not in recorded and tasks.record_processing(rows, task, vendor_task_id, now=now):
                return vendor_task_id
        return ""


def _accepted_at(task: Task) -> datetime:
    return task.submitted_at or task.created_at
