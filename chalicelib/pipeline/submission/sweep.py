"""Every minute, at every account: finish what a crash left open, end bans, wake the submitter if something waits.

An open chunk whose lease has passed was left by a crash: its URLs are claimed again for the same chunk. A person's
decision about a hold that was recorded and not carried out is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from chalicelib.domain.model import Action, ChunkState, TaskState
from chalicelib.domain.packing import Work
from chalicelib.ledger import control, remaining, tasks, waiting_from
from chalicelib.ledger.waiting_from import Mark
from chalicelib.pipeline.decisions import approving, hold_notices, holds
from chalicelib.pipeline.lifecycle import ending, finishing
from chalicelib.pipeline.run import Run, each_account
from chalicelib.pipeline.submission.vendor_tasks import LIST_LAG
from chalicelib.pipeline.waking import wake_submitter_anew
from chalicelib.ports import Notify


@dataclass(frozen=True, slots=True)
class Seen:
    """The holds of all accounts that a sweep came across."""

    held: list[Work] = field(default_factory=list)
    not_read: list[Mark] = field(default_factory=list)
    """Marks up to which the holds were not read."""


def sweep(run: Run, notify: Notify | None = None) -> dict[str, int]:
    """Look at every account; return how many chunks and tasks of each account wait to be submitted.

    ``notify`` tells people of new holds; ``None`` tells nobody. If one account fails, people are still told of the
    holds of the others.
    """
    seen = Seen()
    waiting: dict[str, int] = {}
    failure: Exception | None = None
    try:
        waiting = each_account(run, list(run.policy.accounts), partial(_sweep_account, seen))
    except Exception as error:  # noqa: BLE001, it is raised again when people were told
        failure = error
    if notify:
        hold_notices.tell(run, seen.held, notify, not_read=seen.not_read)
    if failure:
        raise failure
    return waiting


def _sweep_account(seen: Seen, run: Run) -> int:
    """Sweep the run's account, and add its holds to ``seen``. Thousands of old holds are read every ten minutes."""
    now, account, age = run.clock(), run.account, run.policy.approvals.alarm_after
    mark = waiting_from.read(run.rows, account, consistent=False)
    old = mark if mark.speaks_for_holds(now) else Mark()
    all_work = remaining.of_account(run.rows, account, after=old.chunk)
    held = [work for work in all_work if holds.undecided(work)]
    seen.held.extend(held)
    seen.not_read.append(old)
    finished = False
    for work in all_work:
        if work.state is ChunkState.OPEN and work.lease_until and work.lease_until < now:
            finished |= finishing.finish(run, work)
        if work.state is ChunkState.REFUSED:
            holds.finish_refusal(run, work)
        if work.approving and work.state is ChunkState.HELD:
            approving.finish(run, work)
    if not old.chunk:
        waiting_from.advance(run.rows, account, mark, all_work, age=age, now=now)
    ending.end_due_bans(run)
    waiting = [work for work in all_work if work.state is ChunkState.WAITING]
    unsent = [task for task in tasks.live(run.rows, account) if task.state is TaskState.SUBMITTING]
    due = [
        task
        for task in unsent
        if not (task.not_before and task.not_before > now)
        and not (task.attempted_at and task.attempted_at + LIST_LAG > now)
    ]
    oldest = min([work.received_at for work in waiting] + [task.received_at for task in unsent], default=now)
    paused = control.paused(run.rows, account)
    run.emit(
        "account_swept",
        account=account,
        chunks_waiting=len(waiting),
        tasks_submitting=len(unsent),
        chunks_held=len(held) + old.held,
        oldest_waiting=(now - oldest).total_seconds(),
        paused=int(paused),
        holds_overdue=len(holds.overdue(held, age=age, now=now)) + old.overdue_at(now, age),
    )
    unban_waits = Action.UNBAN in {*(work.action for work in waiting), *(task.action for task in due)}
    if unban_waits or ((waiting or due or finished) and not paused):
        wake_submitter_anew(run, account)
    return len(waiting) + len(unsent)
