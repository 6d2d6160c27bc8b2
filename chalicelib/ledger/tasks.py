"""Ban tasks: what is asked of a vendor, from ``submitting`` to ``succeeded`` or ``failed``.

A task's row is written before the vendor is called and says when (``attempted_at``). So a crash or a lost answer leaves
a task that *may* be at the vendor: it is looked up there before it is submitted again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.domain.errors import StaleSubmitter
from chalicelib.domain.model import Action, TaskState, UrlState
from chalicelib.domain.packing import Slice
from chalicelib.ledger import KEEP_DECISIONS, control, journal
from chalicelib.ledger.row import blob, compress, decompress, epoch, millis, moment, number, numbers, stamp, text, texts
from chalicelib.ledger.verified import Verified, read_from
from chalicelib.ports import Delete, Insert, Key, Put, Row, Rows, Update, Value, Write


@dataclass(frozen=True, slots=True)
class Task:
    """A ban task: one call of the vendor, for one action and one duration."""

    account: str
    action: Action
    ban_days: int
    slices: tuple[Slice, ...]
    created_at: datetime
    received_at: datetime
    """When the oldest of its reports arrived."""
    id: str = ""
    """Ids sort by time. Only the same work at the same moment has the same id. A new task is given its id here."""
    root: str = ""
    """The first task of which this one is a part or a repetition; its own id for a first task."""
    state: TaskState = TaskState.SUBMITTING
    withheld: UrlState | None = None
    """The state that its URLs end in without a call, if the policy forbids them; ``reason`` says why."""
    attempts: int = 0
    """Calls that may have had an effect, or are about to be made."""
    attempted_at: datetime | None = None
    not_before: datetime | None = None
    """The vendor may not be called for it before this moment."""
    vendor_task_id: str = ""
    submitted_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str = ""
    parent: str = ""
    children: tuple[str, ...] = ()
    verified: Verified | None = None
    carried_out: bool = False
    """Whether the vendor has done all of it, though its edge may still settle: a later call takes effect after it."""
    failed_at: tuple[int, ...] = ()
    """The URLs that the vendor named as failed, by their places in the order of the task's URLs."""
    endless: bool = False
    """Whether the vendor never ends its bans: they last until edgeban lifts them."""
    by_source: tuple[tuple[str, int], ...] = ()
    """URLs by the source of their bans (``lifecycle.by_source``): for the journal, when the task succeeds."""

    def __post_init__(self) -> None:
        if not self.id:
            content = ",".join(f"{part.chunk}:{part.start}-{part.end}" for part in self.slices)
            work = f"{self.account}|{self.action}|{self.withheld or ''}|{content}|{self.parent}"
            name = hashlib.sha256(work.encode()).hexdigest()[:12]
            object.__setattr__(self, "id", f"{stamp(self.created_at)}-{name}")
        if not self.root:
            object.__setattr__(self, "root", self.id)

    @property
    def ended(self) -> bool:
        """Whether the task is at its end."""
        return self.state.ended

    @property
    def done_at_vendor(self) -> bool:
        """Whether a call that is made now takes effect after all that this task does."""
        return self.ended or self.carried_out

    @property
    def expires_at(self) -> int:
        """When DynamoDB may delete the task's rows, in epoch seconds."""
        return epoch(self.created_at + timedelta(days=self.ban_days) + KEEP_DECISIONS)

    @property
    def count(self) -> int:
        """URLs in the task."""
        return sum(part.count for part in self.slices)

    def places(self) -> list[tuple[str, int]]:
        """Return the chunk and the position of each URL, in order."""
        return [(part.chunk, position) for part in self.slices for position in part.positions()]

    def not_done(self) -> set[tuple[str, int]]:
        """Return the chunk and the position of each URL that the vendor named as failed."""
        places = self.places() if self.failed_at else []
        return {places[place] for place in self.failed_at}


# --- steps ------------------------------------------------------------------------------------------------------------


def record_new(rows: Rows, new: Sequence[Task], *, drain: int) -> None:
    """Write an account's new tasks, all or none, before any vendor call.

    Raises StaleSubmitter if another submitter has begun since.
    """
    account = new[0].account
    writes = [control.still_drains(account, drain), *(write for task in new for write in _inserts(task))]
    if not rows.transact(writes):
        raise StaleSubmitter(f"another submitter of {account} has begun, or task {new[0].id} is recorded already")


def record_attempt(rows: Rows, task: Task, *, now: datetime) -> Task:
    """Write that the vendor is about to be called. Raises StaleSubmitter if the task has moved on."""
    expect: Row = {"state": TaskState.SUBMITTING.value, "attempts": task.attempts}
    change: Row = {"attempts": task.attempts + 1, "attempted_at": millis(now)}
    if not rows.apply(Update(task_key(task.id), set=change, expect=expect, remove=("not_before",))):
        raise StaleSubmitter(f"another submitter took task {task.id} up")
    return replace(task, attempts=task.attempts + 1, attempted_at=now, not_before=None)


def record_processing(
    rows: Rows,
    task: Task,
    vendor_task_id: str,
    *,
    now: datetime,
    carried_out: bool = False,
    failed_at: Sequence[int] = (),
) -> bool:
    """Write the vendor's task id; ``False`` if that vendor task is another task's, or ours has moved on."""
    expect: Row = {"state": TaskState.SUBMITTING.value}
    change: Row = {"state": TaskState.PROCESSING.value, "vendor_task_id": vendor_task_id, "submitted_at": millis(now)}
    if carried_out:
        change = {**change, "carried_out": 1}
    if failed_at:
        change = {**change, "failed_at": list(failed_at)}
    pk, sk = vendor_key(task.account, vendor_task_id)
    expires_at = epoch(now + timedelta(days=task.ban_days) + KEEP_DECISIONS)
    index = Insert({"pk": pk, "sk": sk, "task": task.id, "expires_at": expires_at})
    return rows.transact([Update(task_key(task.id), set=change, expect=expect), index])


def finish(
    rows: Rows, task: Task, state: TaskState, *, reason: str = "", children: Sequence[Task] = (), now: datetime
) -> bool:
    """End a task, and in the same transaction begin the tasks that carry its URLs on; ``False`` if it had ended."""
    change: dict[str, Value] = {"state": state.value, "finished_at": millis(now), "reason": reason[:500]}
    if task.submitted_at and state is TaskState.SUCCEEDED:
        change["submitted_at"] = millis(task.submitted_at)  # as the vendor shows it
    if task.failed_at and state is TaskState.SUCCEEDED:
        change["failed_at"] = list(task.failed_at)
    if children:
        change["children"] = [child.id for child in children]
    writes: list[Write] = [
        Update(task_key(task.id), set=change, expect={"state": task.state.value}),
        Delete(_live_key(task.account, task.id)),
        Insert(journal.entry("task", task.id, now=now, **_brief(task, state, now))),
    ]
    for child in children:
        writes += _inserts(child)
    return rows.transact(writes)


def _brief(task: Task, state: TaskState, now: datetime) -> dict[str, Value]:
    """Return what the journal tells of a task that ended. ``seconds`` have passed since its oldest report arrived."""
    brief: dict[str, Value] = {
        "account": task.account,
        "action": task.action.value,
        "state": state.value,
        "urls": task.count,
        "seconds": max(round((now - task.received_at).total_seconds()), 0),
    }
    if task.submitted_at:
        brief["submitted_at"] = millis(task.submitted_at)
    if task.by_source:
        brief["sources" if task.action is Action.BAN else "undone"] = dict(task.by_source)
    return brief


# --- reading ----------------------------------------------------------------------------------------------------------


def read(rows: Rows, ids: Iterable[str]) -> dict[str, Task]:
    """Read tasks by id; those that are not there are absent from the answer."""
    found = rows.get([task_key(task_id) for task_id in dict.fromkeys(ids)], consistent=True)
    return {pk.removeprefix("task#"): _task(row) for (pk, _), row in found.items()}


def live(rows: Rows, account: str) -> list[Task]:
    """Read the unfinished tasks of an account, oldest first, consistently."""
    pk, _ = _live_key(account, "")
    ids = [text(row, "sk").removeprefix("live#") for row in rows.query(pk, prefix="live#")]
    tasks_by_id = read(rows, ids)
    return [tasks_by_id[task_id] for task_id in ids if task_id in tasks_by_id]


# --- rows -------------------------------------------------------------------------------------------------------------


def task_key(task_id: str) -> Key:
    """Return the key of a task."""
    return (f"task#{task_id}", "task")


def _live_key(account: str, task_id: str) -> Key:
    return (f"account#{account}", f"live#{task_id}")


def vendor_key(account: str, vendor_task_id: str) -> Key:
    """Return the key of the row that says which of our tasks a vendor's task is."""
    return (f"vendor#{account}#{vendor_task_id}", "task")


def _inserts(task: Task) -> list[Write]:
    pk, sk = task_key(task.id)
    row: dict[str, Value] = {
        "pk": pk,
        "sk": sk,
        "account": task.account,
        "action": task.action.value,
        "ban_days": task.ban_days,
        "state": task.state.value,
        "slices": compress([[part.chunk, part.start, part.end, list(part.excluded)] for part in task.slices]),
        "count": task.count,
        "created_at": millis(task.created_at),
        "received_at": millis(task.received_at),
        "root": task.root,
        "parent": task.parent,
        "attempts": task.attempts,
        "expires_at": task.expires_at,
    }
    if task.attempted_at:
        row["attempted_at"] = millis(task.attempted_at)
    if task.not_before:
        row["not_before"] = millis(task.not_before)
    if task.withheld:
        row.update(withheld=task.withheld.value, reason=task.reason)
    if task.endless:
        row["lasts"] = 1
    pk, sk = _live_key(task.account, task.id)
    return [Insert(row), Put({"pk": pk, "sk": sk})]


def _task(row: Mapping[str, Value]) -> Task:
    slices: list[Any] = decompress(blob(row, "slices"))
    created_at, received_at = moment(row, "created_at"), moment(row, "received_at")
    assert created_at
    assert received_at
    return Task(
        id=text(row, "pk").removeprefix("task#"),
        account=text(row, "account"),
        action=Action(text(row, "action")),
        ban_days=number(row, "ban_days"),
        slices=tuple(Slice(chunk, start, end, tuple(excluded)) for chunk, start, end, excluded in slices),
        state=TaskState(text(row, "state")),
        created_at=created_at,
        received_at=received_at,
        root=text(row, "root"),
        attempts=number(row, "attempts"),
        attempted_at=moment(row, "attempted_at"),
        not_before=moment(row, "not_before"),
        vendor_task_id=text(row, "vendor_task_id"),
        submitted_at=moment(row, "submitted_at"),
        finished_at=moment(row, "finished_at"),
        reason=text(row, "reason"),
        parent=text(row, "parent"),
        children=texts(row, "children"),
        verified=read_from(row),
        withheld=UrlState(text(row, "withheld")) if row.get("withheld") else None,
        endless=bool(number(row, "lasts")),
        carried_out=bool(number(row, "carried_out")),
        failed_at=numbers(row, "failed_at"),
    )
