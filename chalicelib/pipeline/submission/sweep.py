"""Every minute: finish what a crash left open, and wake the submitters of what waits."""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.domain.model import ChunkState, TaskState
from chalicelib.domain.policy.rules import Policy
from chalicelib.ledger import chunks, control, tasks
from chalicelib.pipeline.accounts import each_account
from chalicelib.pipeline.decisions import holds
from chalicelib.pipeline.lifecycle import claiming
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.submit import SETTLE
from chalicelib.ports import Emit, Rows, Wake


def sweep(policy: Policy, *, rows: Rows, wake: Wake, emit: Emit, now: datetime) -> dict[str, int]:
    """Look at every account; return how many chunks and tasks of each wait to be submitted."""
    return each_account(
        policy.accounts, lambda account: _sweep(account, policy, rows=rows, wake=wake, emit=emit, now=now), emit=emit
    )


def _sweep(account: str, policy: Policy, *, rows: Rows, wake: Wake, emit: Emit, now: datetime) -> int:
    alarm_age = timedelta(hours=policy.approvals.alarm_after_hours)
    run = Run(rows=rows, emit=emit, wake=wake, clock=lambda: now, read_policy=lambda: policy)
    found = chunks.work(rows, account)
    finished = False
    for work in found:
        if work.state is ChunkState.OPEN and work.lease_until and work.lease_until < now:
            finished |= claiming.finish(run, work)
        if work.state is ChunkState.REFUSED:
            holds.finish_refusal(work, rows=rows)
    ready = [work for work in found if work.state is ChunkState.WAITING]
    unsent = [task for task in tasks.live(rows, account) if task.state is TaskState.SUBMITTING]
    due = [
        task
        for task in unsent
        if not (task.not_before and task.not_before > now)
        and not (task.attempted_at and task.attempted_at + SETTLE > now)
    ]
    oldest = min([each.received_at for each in ready] + [each.received_at for each in unsent], default=now)
    paused = control.paused(rows, account)
    emit(
        "account_swept",
        account=account,
        chunks_waiting=len(ready),
        tasks_submitting=len(unsent),
        chunks_held=sum(work.state is ChunkState.HELD for work in found),
        oldest_waiting=(now - oldest).total_seconds(),
        paused=int(paused),
        holds_overdue=len(holds.overdue(found, age=alarm_age, now=now)),
    )
    if (ready or due or finished) and not paused:
        wake(account, now=now)
    return len(ready) + len(unsent)
