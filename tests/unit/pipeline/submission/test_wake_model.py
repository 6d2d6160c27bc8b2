"""Visit every order of events of the wake-ups that ``pipeline.waking``, ``submit`` and ``handlers.queues`` can make.

The model knows chunks, the queue's one group, drains, and those who wake: intakes, a person who resumes, and the
tracker that ends a task on which another chunk waits. The sweep is off. A breadth-first search visits every state in
which they can be, with drains that are killed, stand still until their message is visible again, or meet their
deadline, and with intakes that crash. Where nothing can happen any more, every chunk must be in exactly one task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NamedTuple, TypeVar

import pytest

MOST_STATES = 400_000
GONE = -1
T = TypeVar("T")


class Step(Enum):
    """What a drain does next."""

    BEGIN = auto()
    CHECK_PAUSED = auto()
    READ_TASKS = auto()
    READ_WAITING = auto()
    RECORD = auto()
    TAKE_OFF = auto()
    END = auto()


class Waker(NamedTuple):
    """A sender that makes work durable, reads the drain's number, and sends. ``chunk`` is what it writes or ends."""

    kind: str
    chunk: int = GONE
    step: int = 0
    number: int = GONE


class Drain(NamedTuple):
    """A drain, with the receipt of its message; ``seen`` are the chunks it still has to record."""

    receipt: int
    step: Step = Step.BEGIN
    number: int = GONE
    seen: tuple[int, ...] = ()
    known: tuple[int, ...] = ()


class State(NamedTuple):
    """The whole state. A message is its id and its receipt, or ``GONE`` in place of the receipt while it is visible."""

    waiting: tuple[bool, ...]
    tasks: tuple[int, ...]
    ended: tuple[bool, ...]
    wakers: tuple[Waker, ...]
    drains: tuple[Drain, ...] = ()
    queue: tuple[tuple[str, int], ...] = ()
    accepted: frozenset[str] = frozenset()
    number: int = 0
    paused: bool = False
    left: tuple[tuple[str, int], ...] = ()
    """How often each mishap may still happen."""


Next = Iterator[tuple[str, State]]


@dataclass(frozen=True)
class Model:
    """The protocol. ``wrong`` names a broken rule; ``after`` maps a chunk to one that must have ended before."""

    wrong: str = ""
    after: dict[int, int] = field(default_factory=dict)

    def follow(self, state: State) -> Next:
        """Yield everything that may happen next."""
        for waker in state.wakers:
            yield from self._wake(state, waker)
        yield from _queue(state)
        for drain in state.drains:
            yield from self._drain(state, drain)
        if state.paused:
            yield "resume", state._replace(paused=False, wakers=(*state.wakers, Waker("resume", step=1)))
        elif may := _spend(state, "pause"):
            yield "pause", may._replace(paused=True)
        for chunk, tasks in enumerate(state.tasks):
            if tasks and not state.ended[chunk] and chunk in self.after.values():
                wakers = () if self.wrong == "nobody wakes after a task" else (Waker("track", chunk, step=1),)
                ended = _with(state.ended, chunk, True)
                yield f"task of {chunk} ends", state._replace(ended=ended, wakers=(*state.wakers, *wakers))

    def _wake(self, state: State, waker: Waker) -> Next:
        others = tuple(each for each in state.wakers if each is not waker)
        steps = ["read", "write", "send"] if self.wrong == "the number is read first" else ["write", "read", "send"]
        step = "send" if waker.step == 2 else "read" if waker.kind != "intake" else steps[waker.step]
        moved = waker._replace(step=waker.step + 1)
        name = f"{waker.kind} {waker.chunk} {step}s"
        if step == "write":
            written = (
                state.waiting[waker.chunk] or not state.tasks[waker.chunk]
            )  # A chunk that is in a task is not written again.
            waiting = _with(state.waiting, waker.chunk, written)
            yield name, state._replace(waiting=waiting, wakers=(*others, moved))
        elif step == "read":
            yield name, state._replace(wakers=(*others, moved._replace(number=state.number)))
        else:
            mark = "window" if self.wrong == "the mark is a window of time" else str(waker.number)
            yield name, _send(state._replace(wakers=others), mark)
        if waker.kind == "intake" and waker.step and (may := _spend(state, "crash")):
            yield "intake crashes, its report comes again", may._replace(wakers=(*others, Waker("intake", waker.chunk)))

    def _drain(self, state: State, drain: Drain) -> Next:
        others = tuple(each for each in state.drains if each is not drain)

        def goes_on(step: Step, state: State = state, **change: Any) -> State:
            return state._replace(drains=(*others, drain._replace(step=step, **change)))

        def ends(*, acknowledged: bool) -> State:
            held = bool(state.queue) and state.queue[0][1] == drain.receipt
            head = () if acknowledged else ((state.queue[0][0], GONE),) if held else ()
            return state._replace(drains=others, queue=(*head, *state.queue[1:]) if held else state.queue)

        name = f"drain {drain.receipt} {drain.step.name.lower()}"
        if may := _spend(state, "kill"):
            yield f"{name}: killed", may._replace(drains=others)
        if drain.step not in {Step.BEGIN, Step.END} and (may := _spend(state, "deadline")):
            ended = ends(acknowledged=self.wrong == "the deadline acknowledges")
            yield f"{name}: deadline", ended._replace(left=may.left)
        match drain.step:
            case Step.BEGIN if self.wrong == "paused before the number is raised" and state.paused:
                yield name, ends(acknowledged=True)
            case Step.BEGIN:
                raised = state._replace(number=state.number + 1)
                yield name, goes_on(Step.CHECK_PAUSED, raised, number=raised.number)
            case Step.CHECK_PAUSED:
                yield name, ends(acknowledged=True) if state.paused else goes_on(Step.READ_TASKS)
            case Step.READ_TASKS:
                yield name, goes_on(Step.READ_WAITING, known=tuple(c for c, tasks in enumerate(state.tasks) if tasks))
            case Step.READ_WAITING:
                waiting = tuple(w and c not in drain.known for c, w in enumerate(state.waiting))
                seen = tuple(c for c, w in enumerate(waiting) if w and self._in_turn(state, c))
                yield (
                    name,
                    goes_on(Step.RECORD if seen else Step.END, state._replace(waiting=waiting), seen=seen, known=()),
                )
            case Step.RECORD if state.number != drain.number and self.wrong != "stale drains go on":
                yield name + ": stale", ends(acknowledged=self.wrong == "a stale drain acknowledges")
            case Step.RECORD:
                chunk = drain.seen[0]
                tasks = _with(state.tasks, chunk, state.tasks[chunk] + 1)
                yield f"{name} {chunk}", goes_on(Step.TAKE_OFF, state._replace(tasks=tasks))
            case Step.TAKE_OFF:
                rest = drain.seen[1:]
                taken = state._replace(waiting=_with(state.waiting, drain.seen[0], False))
                yield name, goes_on(Step.RECORD if rest else Step.READ_TASKS, taken, seen=rest)
            case Step.END:
                yield name, ends(acknowledged=True)

    def _in_turn(self, state: State, chunk: int) -> bool:
        return chunk not in self.after or state.ended[self.after[chunk]]


def _queue(state: State) -> Next:
    if not state.queue:
        return
    (mark, receipt), *rest = state.queue
    if receipt == GONE:
        receipt = min({*range(len(state.drains) + 1)} - {drain.receipt for drain in state.drains})
        drains = (*state.drains, Drain(receipt))
        yield "deliver", state._replace(queue=((mark, receipt), *rest), drains=drains)
        return
    visible = state._replace(queue=((mark, GONE), *rest))
    if all(drain.receipt != receipt for drain in state.drains):
        yield "visible again: its drain is dead", visible
    elif may := _spend(state, "stand still"):
        yield "visible again: its drain stands still", visible._replace(left=may.left)


def _send(state: State, mark: str) -> State:
    if mark in state.accepted:
        return state
    return state._replace(queue=(*state.queue, (mark, GONE)), accepted=state.accepted | {mark})


def _spend(state: State, mishap: str) -> State | None:
    left = dict(state.left)
    if not left.get(mishap):
        return None
    return state._replace(left=tuple((name, count - (name == mishap)) for name, count in state.left))


def _with(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    return (*values[:index], value, *values[index + 1 :])


def explore(model: Model, *, chunks: int = 2, **mishaps: int) -> tuple[str, int]:
    """Visit every state; return the fault of the first bad one with its history, and the number of states."""
    left = tuple((name.replace("_", " "), count) for name, count in sorted(mishaps.items()))
    wakers = tuple(Waker("intake", chunk) for chunk in range(chunks))
    none = (False,) * chunks
    first = State(none, (0,) * chunks, none, wakers, left=left)
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    todo = deque([first])
    while todo:
        state = todo.popleft()
        assert len(came_from) < MOST_STATES
        problem = _problem(model, state)
        if problem:
            return problem + _story(state, came_from.__getitem__), len(came_from)
        for event, after in model.follow(state):
            if after not in came_from:
                came_from[after] = (state, event)
                todo.append(after)
    return "", len(came_from)


def _problem(model: Model, state: State) -> str:
    if any(count > 1 for count in state.tasks):
        return "two tasks of one chunk: "
    calm = state._replace(left=())
    if not any(True for _ in model.follow(calm)) and not all(state.tasks):
        return "a chunk waits for ever: "
    return ""


def _story(state: State, came_from: Callable[[State], tuple[State, str] | None]) -> str:
    events: list[str] = []
    while step := came_from(state):
        state, event = step
        events.append(event)
    return " > ".join(reversed(events))


MISHAPS: list[dict[str, int]] = [
    {"kill": 2, "crash": 1},
    {"kill": 1, "stand_still": 1},
    {"deadline": 2, "stand_still": 1},
    {"pause": 1, "kill": 1, "deadline": 1},
    {"pause": 1, "stand_still": 1},
]


@pytest.mark.parametrize("mishaps", MISHAPS, ids="-".join)
def test_no_wake_up_is_lost_in_any_order_of_events(mishaps: dict[str, int]) -> None:
    problem, states = explore(Model(), **mishaps)
    assert problem == ""
    assert states > 1_000


@pytest.mark.parametrize("mishaps", [{"kill": 1}, {"deadline": 1}, {"stand_still": 1}], ids="-".join)
def test_a_chunk_that_waits_for_another_ones_task_is_woken_when_that_has_ended(mishaps: dict[str, int]) -> None:
    problem, _ = explore(Model(after={1: 0}), **mishaps)
    assert problem == ""


@pytest.mark.parametrize(
    ("wrong", "after", "mishaps"),
    [
        ("the number is read first", {}, {}),
        ("the mark is a window of time", {}, {}),
        ("paused before the number is raised", {}, {"pause": 1}),
        ("a stale drain acknowledges", {}, {"stand_still": 1, "kill": 1}),
        ("the deadline acknowledges", {}, {"deadline": 1}),
        ("stale drains go on", {}, {"stand_still": 1}),
        ("nobody wakes after a task", {1: 0}, {}),
    ],
)
def test_the_model_finds_what_each_rule_prevents(wrong: str, after: dict[int, int], mishaps: dict[str, int]) -> None:
    problem, _ = explore(Model(wrong, after), **mishaps)
    assert problem
