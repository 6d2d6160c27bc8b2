"""Decide about several holds at once. Each is decided separately, so that a failure stops no other decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from chalicelib.domain.errors import InputError
from chalicelib.domain.model import ChunkState
from chalicelib.pipeline.decisions.holds import approve, refuse
from chalicelib.pipeline.run import Run


class DecidedStatus(StrEnum):
    """The result of one decision of several."""

    DONE = "done"
    FAILED = "failed"  # the error says why
    NOT_TRIED = "not_tried"  # time was up: ask again


@dataclass(frozen=True, slots=True)
class Wish:
    """One decision of several: to approve a hold, perhaps without some of its URLs, or to refuse it."""

    hold_id: str
    approve: bool
    excepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """The result of one decision of several. ``state`` is the hold's; it is empty unless the decision is done."""

    hold_id: str
    status: DecidedStatus
    state: str = ""
    error: InputError | None = None


def decide_all(run: Run, wishes: Sequence[Wish], *, actor: str, reason: str, person: str = "") -> list[Decided]:
    """Decide about holds in order, each separately: a failure stops no other decision. Stop when time is up."""
    results = []
    for wish in wishes:
        if run.time_is_up:
            results.append(Decided(wish.hold_id, DecidedStatus.NOT_TRIED))
            continue
        try:
            if wish.approve:
                approval = approve(run, wish.hold_id, actor=actor, reason=reason, person=person, excepted=wish.excepted)
                state = approval.state.value
            else:
                refuse(run, wish.hold_id, actor=actor, reason=reason)
                state = ChunkState.REFUSED.value
            results.append(Decided(wish.hold_id, DecidedStatus.DONE, state))
        except InputError as error:
            results.append(Decided(wish.hold_id, DecidedStatus.FAILED, error=error))
    return results
