"""What is true of a URL, and why (I7): its claim, its chunk and its tasks, explained. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from chalicelib.domain.model import ChunkState, Rule, TaskState, UrlState
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.domain.policy.rules import REFUSED
from chalicelib.ledger import carriers, chunks, remaining, tasks
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.ports import Rows

LIFTING = "the ban came to its planned end, and is being lifted"

OF_TASK = {
    TaskState.SUBMITTING: UrlState.PENDING,
    TaskState.PROCESSING: UrlState.PROCESSING,
    TaskState.FAILED: UrlState.FAILED,
}


@dataclass(frozen=True, slots=True)
class UrlStatus:
    """All that is known of one URL at one account. ``tasks`` are those that carried it, oldest first."""

    url: str
    account: str
    state: UrlState
    until: datetime | None
    """When the ban ends, or the person's decision against it; ``None``: never, or the state has no end."""
    reason: str = ""
    rule: str = ""
    report: str = ""
    source: str = ""
    reporter: str = ""
    category: str = ""
    chunk: str = ""
    tasks: tuple[Task, ...] = ()
    key: str = ""
    unban: str = ""
    """The chunk that unbans the URL, or has unbanned it."""
    refused: bool = False
    """Whether a person refused to ban the URL."""
    cool_until: datetime | None = None
    """Until when reports of the URL are suppressed, because a person unbanned it or refused its hold."""
    sent_again: bool = False
    """Whether the vendor failed at the URL or refused it, and edgeban sends it again by itself."""

    @property
    def public_reason(self) -> str:
        """The reason as sources may read it. Only operators may read what a person wrote, and who it was."""
        if self.refused:
            return REFUSED.reason
        if not self.unban or self.state in {UrlState.BANNED, UrlState.EXPIRED}:
            return self.reason
        return "an unban is on its way" if self.state is UrlState.PROCESSING else "a person unbanned the URL"


class Explainer:
    """Explains claims. It reads each chunk and each task once, for all URLs that they carry."""

    def __init__(self, rows: Rows, *, now: datetime) -> None:
        self._rows = rows
        self._now = now
        self._chunks: dict[str, chunks.Chunk] = {}
        self._positions: dict[str, dict[str, int]] = {}
        self._work: dict[str, Work | None] = {}
        self._links: dict[str, list[tuple[str, int, int]]] = {}
        self._tasks: dict[str, Task] = {}

    def explain(self, found: Iterable[Claim]) -> list[UrlStatus]:
        """Say what is true of the URLs of these claims."""
        all_claims = list(found)
        self._read({chunk for claim in all_claims for chunk in (claim.chunk, claim.unban) if chunk})
        return [self._explain(claim) for claim in all_claims]

    def _read(self, ids: set[str]) -> None:
        new = ids - self._chunks.keys()
        self._chunks.update(chunks.read(self._rows, sorted(new)))
        for chunk_id in new & self._chunks.keys():
            chunk = self._chunks[chunk_id]
            self._positions[chunk_id] = {key: position for position, key in enumerate(chunk.keys)}
            self._work[chunk_id] = remaining.of_chunk(self._rows, chunk.account, chunk_id)
            self._links[chunk_id] = carriers.links(self._rows, chunk_id)
        self._read_tasks(task_id for chunk_id in new for task_id, _, _ in self._links.get(chunk_id, ()))

    def _read_tasks(self, ids: Iterable[str]) -> None:
        new = [task_id for task_id in ids if task_id not in self._tasks]
        while new:
            generation = tasks.read(self._rows, new)
            self._tasks.update(generation)
            new = [child for task in generation.values() for child in task.children if child not in self._tasks]

    def _explain(self, claim: Claim) -> UrlStatus:
        chunk = self._chunks.get(claim.chunk)
        if chunk is None:  # claimed, and the chunk's rows have expired
            return UrlStatus(
                claim.url,
                claim.account,
                UrlState(claim.outcome) if claim.outcome else UrlState.EXPIRED,
                _end(claim, [], None),
                claim.reason,
                report=claim.report,
                chunk=claim.chunk,
                unban=claim.unban,
                refused=claim.refused,
                cool_until=_cool_until(claim),
                sent_again=claim.sent_again,
            )
        position = self._position(claim)
        carried = self._carried(claim.chunk, position)
        state, reason = self._unbanned(claim) if claim.unban else self._state(claim, carried)
        origin = chunk.origins[position]
        return UrlStatus(
            url=chunk.urls[position],
            account=chunk.account,
            state=state,
            reason=reason,
            rule=chunk.rule,
            report=origin.report,
            source=origin.source,
            reporter=origin.reporter,
            category=origin.category,
            chunk=chunk.id,
            until=None if _end_is_unknown(chunk, carried) else _end(claim, carried, chunk),
            tasks=tuple(carried),
            key=claim.key,
            unban=claim.unban,
            refused=claim.refused,
            cool_until=_cool_until(claim),
            sent_again=claim.sent_again,
        )

    def _carried(self, chunk: str, position: int) -> list[Task]:
        """Return the tasks that carried a position of a chunk: a first one, then those that carried it on."""
        carried: list[Task] = []
        waiting = [
            self._tasks[task_id]
            for task_id, start, end in self._links[chunk]
            if start <= position < end and task_id in self._tasks
        ]
        while waiting:
            task = waiting.pop(0)
            if carriers.carries(task, chunk, [position]):
                carried.append(task)
                waiting += [self._tasks[child] for child in task.children if child in self._tasks]
        return carried

    def _unbanned(self, claim: Claim) -> tuple[UrlState, str]:
        if claim.unban in self._chunks:
            position = self._positions[claim.unban].get(claim.key, -1)
            carried, work = self._carried(claim.unban, position), self._work.get(claim.unban)
            # Two unbans have undone a ban that was never sent: one whose URL left its chunk before a task had it, and
            # one that failed, since every other failed unban takes its mark off the claim.
            has_ended = carried[-1].ended if carried else work is None or position in work.excluded
            if not has_ended and claim.outcome == UrlState.EXPIRED:
                return UrlState.BANNED, LIFTING
            if not has_ended:
                return UrlState.PROCESSING, f"an unban is on its way: {claim.reason}"
        return (UrlState.EXPIRED if claim.outcome == UrlState.EXPIRED else UrlState.UNBANNED), claim.reason

    def _position(self, claim: Claim) -> int:
        return self._positions[claim.chunk].get(claim.key, -1)

    def _state(self, claim: Claim, carried: list[Task]) -> tuple[UrlState, str]:
        if claim.outcome:
            return UrlState(claim.outcome), claim.reason
        work = self._work.get(claim.chunk)
        if not carried and self._chunks[claim.chunk].rule == Rule.TAKEN_OVER:
            return UrlState.BANNED, self._chunks[claim.chunk].reason
        if not carried:
            return self._not_carried(claim, work)
        last = carried[-1]
        if last.withheld:
            return last.withheld, last.reason
        if last.state is not TaskState.SUCCEEDED:
            return OF_TASK[last.state], last.reason
        ends = expiry.of_task(last)  # later than planned, if the ban had to wait
        in_force = last.endless or claim.until > epoch(self._now) or (ends is not None and ends > self._now)
        return (UrlState.BANNED if in_force else UrlState.EXPIRED), claim.reason

    def _not_carried(self, claim: Claim, work: Work | None) -> tuple[UrlState, str]:
        if work and (work.state is ChunkState.HELD or work.then is ChunkState.HELD):
            return UrlState.HELD, f"waits for a person: {work.rule}"
        waits = work and self._position(claim) not in work.excluded
        never_to_be_sent = work is None and not self._links[claim.chunk]
        if waits or not (self._chunks[claim.chunk].renews or never_to_be_sent):
            return UrlState.PENDING, ""
        # The ban is in force already: an unban took its renewal back and was then refused by the vendor, or an earlier
        # version of edgeban took over a ban that others had made.
        return (UrlState.BANNED if claim.until > epoch(self._now) else UrlState.EXPIRED), claim.reason


def _cool_until(claim: Claim) -> datetime | None:
    return datetime.fromtimestamp(claim.cool_until, tz=UTC) if claim.cool_until else None


def _end_is_unknown(chunk: chunks.Chunk, carried: Sequence[Task]) -> bool:
    """Return whether edgeban took the ban over from the vendor and has not renewed it yet."""
    return chunk.rule == Rule.TAKEN_OVER and not carried


def _end(claim: Claim, carried: Sequence[Task], chunk: chunks.Chunk | None) -> datetime | None:
    """Return when the state of a URL ends; ``None`` if it does not.

    A person's decision ends with the cool-down. A ban that began late, because it had to wait, ends later than planned.
    An end that was moved in after the chunk was made is the true end, since edgeban lifts the ban then. It also lifts a
    ban that drift restored for the vendor's whole days.
    """
    if claim.outcome and claim.outcome != UrlState.EXPIRED:
        return _cool_until(claim)
    if claim.until >= epoch(FOREVER):
        return None
    until = datetime.fromtimestamp(claim.until, tz=UTC)
    if chunk and claim.until < epoch(chunk.until):
        return until
    lifted = claim.lifted_at == claim.until or (chunk and chunk.rule == Rule.DRIFT)
    ends = expiry.of_task(carried[-1]) if carried and not lifted else None
    return max(until, ends) if ends else until
