"""Ban tasks: what is asked of a vendor, from ``submitting`` to ``succeeded`` or ``failed``.

A task's row is written before the vendor is called and says when (``attempted_at``): a crash, or an answer that was
lost, leaves a task that *may* be at the vendor, and that is looked up there before it is submitted again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypedDict

from chalicelib.domain.errors import StaleSubmitter
from chalicelib.domain.model import Action, TaskState, UrlState, Verdict
from chalicelib.domain.packing import Slice, Work
from chalicelib.ledger import KEEP_DECISIONS, journal
from chalicelib.ledger.row import blob, compress, decompress, epoch, millis, moment, number, stamp, text, texts
from chalicelib.ports import Check, Delete, Insert, Put, Row, Rows, Update, Value, Write


@dataclass(frozen=True, slots=True)
class Verified:
    """What the edge said of a sample of a ban task's URLs: what is neither ``blocked`` nor ``open`` gave no answer."""

    at: datetime
    sampled: int
    blocked: int
    open: int
    open_urls: tuple[str, ...] = ()
    """Some of those that are open."""


@dataclass(frozen=True, slots=True)
class Task:
    """A ban task. ``root`` is the task that this one is a part or a repetition of, itself for a first one."""

    account: str
    action: Action
    ban_days: int
    slices: tuple[Slice, ...]
    created_at: datetime
    received_at: datetime
    """When the oldest of its reports arrived."""
    id: str = ""
    """Ids sort by time, and only the same work at the same moment has the same id. A new task is given its own."""
    root: str = ""
    state: TaskState = TaskState.SUBMITTING
    withheld: UrlState | None = None
    """What its URLs end as without a call, since the policy keeps them from the vendor; ``reason`` says why."""
    attempts: int = 0
    attempted_at: datetime | None = None
    not_before: datetime | None = None
    vendor_task_id: str = ""
    submitted_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str = ""
    parent: str = ""
    children: tuple[str, ...] = ()
    verified: Verified | None = None

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
    def count(self) -> int:
        """URLs in the task."""
        return sum(each.count for each in self.slices)

    def carries(self, chunk: str, position: int) -> bool:
        """Whether a URL of a chunk is in the task."""
        return any(
            each.chunk == chunk and each.start <= position < each.end and position not in each.excluded
            for each in self.slices
        )


def part_of(
    parent: Task,
    slices: tuple[Slice, ...],
    *,
    now: datetime,
    not_before: datetime | None = None,
    forbidden: Verdict | None = None,
) -> Task:
    """Make the task that carries some URLs of another one on, or ends them without a call (``forbidden``).

    ``not_before``: when it may be called at the earliest.
    """
    return Task(
        account=parent.account,
        action=parent.action,
        ban_days=parent.ban_days,
        slices=slices,
        created_at=now,
        received_at=parent.received_at,
        root=parent.root,
        parent=parent.id,
        not_before=not_before,
        **ending(forbidden),
    )


class Ending(TypedDict):
    """How a task's URLs end without a call, as fields of the task."""

    withheld: UrlState | None
    reason: str


def ending(forbidden: Verdict | None) -> Ending:
    """Return how URLs end that the policy forbids; ``None``: they are called."""
    return {
        "withheld": UrlState(forbidden.kind.value) if forbidden else None,
        "reason": forbidden.reason if forbidden else "",
    }


def _key(task_id: str) -> tuple[str, str]:
    return (f"task#{task_id}", "task")


def _live(account: str, task_id: str) -> tuple[str, str]:
    return (f"account#{account}", f"live#{task_id}")


def _inserts(task: Task) -> list[Write]:
    row: dict[str, Value] = {
        "pk": f"task#{task.id}",
        "sk": "task",
        "account": task.account,
        "action": task.action.value,
        "ban_days": task.ban_days,
        "state": task.state.value,
        "slices": compress([[s.chunk, s.start, s.end, list(s.excluded)] for s in task.slices]),
        "count": task.count,
        "created_at": millis(task.created_at),
        "received_at": millis(task.received_at),
        "root": task.root,
        "parent": task.parent,
        "attempts": task.attempts,
        "expires_at": epoch(task.created_at + timedelta(days=task.ban_days) + KEEP_DECISIONS),
    }
    if task.attempted_at:
        row["attempted_at"] = millis(task.attempted_at)
    if task.not_before:
        row["not_before"] = millis(task.not_before)
    if task.withheld:
        row.update(withheld=task.withheld.value, reason=task.reason)
    pk, sk = _live(task.account, task.id)
    return [Insert(row), Put({"pk": pk, "sk": sk})]


def begin_drain(rows: Rows, account: str, *, now: datetime) -> dict[str, Value]:
    """Become the one submitter of the account: every earlier one is refused its next task (``StaleSubmitter``)."""
    return rows.add((f"account#{account}", "control"), "epoch", 1, beside={"drain_at": millis(now)})


def record_new(rows: Rows, new: Sequence[Task], *, drain: int) -> None:
    """Write an account's new tasks, all or none, before any vendor call.

    Raises StaleSubmitter if another submitter has begun since.
    """
    account = new[0].account
    ours = Check((f"account#{account}", "control"), {"epoch": drain})
    if not rows.transact([ours, *(write for task in new for write in _inserts(task))]):
        raise StaleSubmitter(f"another submitter of {account} has begun, or task {new[0].id} is recorded already")


def take_slices(rows: Rows, recorded: Sequence[Task], waiting: Mapping[str, Work]) -> None:
    """Take the slices of an account's recorded tasks off the waiting chunks. Repeating it changes nothing.

    A chunk that is taken to its end leaves the list of waiting ones.
    """
    ends: dict[str, int] = {}
    for each in (part for task in recorded for part in task.slices):
        ends[each.chunk] = max(each.end, ends.get(each.chunk, 0))
    links: list[Write] = [
        Put(
            {
                "pk": f"chunk#{each.chunk}",
                "sk": f"task#{task.id}",
                "start": each.start,
                "end": each.end,
                "expires_at": epoch(task.created_at + timedelta(days=task.ban_days) + KEEP_DECISIONS),
            }
        )
        for task in recorded
        for each in task.slices
    ]
    rows.write(links)  # before anything goes off the list: a chunk that has left it is found by its links alone
    taken: list[Write] = []
    for chunk, end in ends.items():
        work = waiting.get(chunk)
        if work and work.next < end:
            key = (f"account#{work.account}", f"chunk#{chunk}")
            taken.append(Delete(key) if end >= work.count else Update(key, set={"next": end}))
    rows.write(taken)


def record_attempt(rows: Rows, task: Task, *, now: datetime) -> Task:
    """Write that the vendor is about to be called. Raises StaleSubmitter if the task has moved on."""
    expect: Row = {"state": TaskState.SUBMITTING.value, "attempts": task.attempts}
    change: Row = {"attempts": task.attempts + 1, "attempted_at": millis(now)}
    if not rows.apply(Update(_key(task.id), set=change, expect=expect, remove=("not_before",))):
        raise StaleSubmitter(f"task {task.id} was taken up elsewhere")
    return replace(task, attempts=task.attempts + 1, attempted_at=now, not_before=None)


def record_not_sent(rows: Rows, task: Task) -> None:
    """Write that the last attempt certainly had no effect, so that the next needs no look-up first."""
    expect: Row = {"state": TaskState.SUBMITTING.value}
    rows.apply(Update(_key(task.id), set={"attempts": 0}, expect=expect, remove=("attempted_at",)))


def record_processing(rows: Rows, task: Task, vendor_task_id: str, *, now: datetime) -> bool:
    """Write the vendor's task id. ``False`` if that vendor task is another task's, or ours has moved on."""
    expect: Row = {"state": TaskState.SUBMITTING.value}
    change: Row = {"state": TaskState.PROCESSING.value, "vendor_task_id": vendor_task_id, "submitted_at": millis(now)}
    index: Row = {
        "pk": f"vendor#{task.account}#{vendor_task_id}",
        "sk": "task",
        "task": task.id,
        "expires_at": epoch(now + timedelta(days=task.ban_days) + KEEP_DECISIONS),
    }
    return rows.transact([Update(_key(task.id), set=change, expect=expect), Insert(index)])


def known_vendor_tasks(rows: Rows, account: str, vendor_task_ids: Iterable[str]) -> set[str]:
    """Which vendor tasks are recorded as somebody's already."""
    keys = [(f"vendor#{account}#{each}", "task") for each in dict.fromkeys(vendor_task_ids)]
    return {pk.split("#", 2)[2] for pk, _ in rows.get(keys, consistent=True)}


def of_vendor_task(rows: Rows, account: str, vendor_task_id: str) -> str:
    """Find which of our tasks a vendor task is; empty if none."""
    key = (f"vendor#{account}#{vendor_task_id}", "task")
    return text(rows.get([key]).get(key, {}), "task")


def finish(
    rows: Rows, task: Task, state: TaskState, *, reason: str = "", children: Sequence[Task] = (), now: datetime
) -> bool:
    """End a task, and in the same transaction begin the tasks that carry its URLs on. ``False`` if it had ended."""
    change: dict[str, Value] = {"state": state.value, "finished_at": millis(now), "reason": reason[:500]}
    if children:
        change["children"] = [child.id for child in children]
    writes: list[Write] = [
        Update(_key(task.id), set=change, expect={"state": task.state.value}),
        Delete(_live(task.account, task.id)),
        Insert(journal.entry("task", task.id, now=now)),
    ]
    for child in children:
        writes += _inserts(child)
    return rows.transact(writes)


def record_verified(rows: Rows, task: Task, verified: Verified) -> bool:
    """Write what the edge said of a task, once; ``False`` if that is on record already."""
    change: Row = {
        "verified_at": millis(verified.at),
        "sampled": verified.sampled,
        "blocked": verified.blocked,
        "open": verified.open,
        "open_urls": list(verified.open_urls),
    }
    return rows.apply(Update(_key(task.id), set=change, expect={"verified_at": None}))


def live(rows: Rows, account: str) -> list[Task]:
    """Read the unfinished tasks of an account, oldest first, consistently."""
    found = [text(row, "sk")[5:] for row in rows.query(f"account#{account}", prefix="live#")]
    tasks = read(rows, found)
    return [tasks[each] for each in found if each in tasks]


def read(rows: Rows, ids: Sequence[str]) -> dict[str, Task]:
    """Read tasks by id."""
    found = rows.get([_key(each) for each in dict.fromkeys(ids)], consistent=True)
    return {pk[5:]: _task(row) for (pk, _), row in found.items()}


def of_chunk(rows: Rows, chunk: str) -> list[tuple[str, int, int]]:
    """Which tasks carry which positions of a chunk (task id, start, end), oldest first."""
    found = rows.query(f"chunk#{chunk}", prefix="task#")
    return [(text(row, "sk")[5:], number(row, "start"), number(row, "end")) for row in found]


def carriers(rows: Rows, chunk: str) -> Iterator[Task]:
    """Yield the tasks that carried a chunk's URLs: its first ones, then those that carried their URLs on."""
    ids = [task_id for task_id, _, _ in of_chunk(rows, chunk)]
    while ids:
        found = list(read(rows, ids).values())
        yield from found
        ids = [child for task in found for child in task.children]


def count_retry(rows: Rows, root: str, calls: int) -> int:
    """Count vendor calls spent on repeating a failed task's parts; return their number so far."""
    return number(rows.add(_key(root), "retries", calls), "retries")


def _task(row: Mapping[str, Value]) -> Task:
    slices: list[Any] = decompress(blob(row, "slices"))
    created_at, received_at = moment(row, "created_at"), moment(row, "received_at")
    assert created_at
    assert received_at
    return Task(
        id=text(row, "pk")[5:],
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
        verified=_verified(row),
        withheld=UrlState(text(row, "withheld")) if row.get("withheld") else None,
    )


def _verified(row: Mapping[str, Value]) -> Verified | None:
    at = moment(row, "verified_at")
    if at is None:
        return None
    return Verified(at, number(row, "sampled"), number(row, "blocked"), number(row, "open"), texts(row, "open_urls"))
