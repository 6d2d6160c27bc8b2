"""The events of a day out of the ledger, one record a URL: from the day's journal, by key, without a scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import islice
from typing import Any, Final

from chalicelib.domain.model import Action, TaskState, UrlState
from chalicelib.ledger import chunks, claims, journal, reports, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.reports import Refusal
from chalicelib.ledger.row import decompress, epoch, text
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.answers.url_status import Explainer, UrlStatus
from chalicelib.ports import Row, Rows, Value

AT_ONCE: Final = 8
"""Journal rows whose events are read side by side, and so held in memory: at most a chunk of 1,000 URLs each."""

OF_TASK: Final = {TaskState.SUCCEEDED: UrlState.UNBANNED, TaskState.FAILED: UrlState.FAILED}
SUPERSEDED: Final = "it ended before a vendor had it, and was reported again"
_KEYS: Final = frozenset({"pk", "sk", "kind", "subject", "expires_at"})


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where events are read from. ``vendors``: account → vendor. ``now`` is when their outcomes are looked at."""

    rows: Rows
    vendors: Mapping[str, str]
    now: datetime

    def events(self, day: date, *, workers: int = AT_ONCE) -> Iterator[dict[str, Any]]:
        """Yield the events of a UTC day in the journal's order. ``workers`` 0 reads in the caller's thread."""
        found = journal.stream(self.rows, day)
        of_row = partial(self._of_row, day)
        if not workers:
            for row in found:
                yield from of_row(row)
            return
        with ThreadPoolExecutor(workers) as pool:
            while some := list(islice(found, workers)):
                for events in pool.map(of_row, some):
                    yield from events

    def _of_row(self, day: date, row: Row) -> list[dict[str, Any]]:
        kind, subject = text(row, "kind"), text(row, "subject")
        at = _time_of(row)
        match kind:
            case "chunk":
                found = chunks.read(self.rows, [subject])
                return [each for chunk in found.values() for each in self._of_chunk(chunk, at)]
            case "task":
                return [self._of_task(task, at) for task in tasks.read(self.rows, [subject]).values()]
            case "refused":
                return [self._refusal(*each, at=at) for each in reports.journalled(row)]
            case "refused_at_once":
                report = reports.read(self.rows, subject, at_once=True)
                if report is None or report.received_at.astimezone(UTC).date() != day:
                    return []  # refused as a whole, or told on the day when it was first received
                received = report.received_at.isoformat()
                return [self._refusal(report.id, report.source, each, at=received) for each in report.refusals]
            case _:
                return [_other(kind, subject, row, at)]

    # --- bans, unbans and holds -------------------------------------------------------------------------------------

    def _of_chunk(self, chunk: Chunk, at: str) -> Iterable[dict[str, Any]]:
        found = claims.read(self.rows, chunk.keys, consistent=True, whole=True)
        owners = [found.get(key) for key in chunk.keys]
        mine = [self._as_of(chunk, position, owner) for position, owner in enumerate(owners)]
        explainer = Explainer(self.rows, now=self.now)
        read: dict[str, Chunk] = {}
        for position, (owner, status) in enumerate(zip(owners, explainer.claims(mine), strict=True)):
            if chunk.action is Action.UNBAN:
                owned = owner is not None and owner.unban == chunk.id
            else:
                owned = owner is not None and owner.chunk == chunk.id
            state, reason = (status.state, status.reason)
            if not owned and not status.tasks:
                ended = self._ended_before(chunk, position, owner, read)
                if ended is None:
                    continue  # claimed by another chunk before, so this one has no part in it
                state, reason = ended, chunk.reason or SUPERSEDED
            elif chunk.action is Action.UNBAN:
                (whole,) = explainer.claims([owner]) if owned and owner else (None,)
                last = status.tasks[-1].state if status.tasks else None
                state = whole.state if whole else OF_TASK.get(last, UrlState.PROCESSING) if last else state
                reason = chunk.reason
            yield self._of_url(chunk, position, status, state=state, reason=reason, at=at)

    def _ended_before(
        self, chunk: Chunk, position: int, owner: Claim | None, read: dict[str, Chunk]
    ) -> UrlState | None:
        """How a URL of a chunk ended without a task, if a later chunk remembers that this one had it."""
        names = (owner.unban, owner.chunk) if owner else ()
        later = chunks.follower(self.rows, names, chunk.keys[position], chunk.id, read)
        if later is None:
            return None
        at = later.keys.index(chunk.keys[position])
        unbanned = later.action is Action.UNBAN or any(unban for where, _, unban in later.before if where == at)
        return UrlState.UNBANNED if unbanned else UrlState.REJECTED

    @staticmethod
    def _as_of(chunk: Chunk, position: int, owner: Claim | None) -> Claim:
        """The claim as this chunk had it, whoever has the URL now."""
        if owner is not None and owner.chunk == chunk.id and chunk.action is Action.BAN:
            return owner
        return Claim(
            key=chunk.keys[position],
            chunk=chunk.id,
            until=epoch(chunk.until),
            url=chunk.urls[position],
            account=chunk.account,
            report=chunk.origins[position].report,
        )

    def _of_url(
        self, chunk: Chunk, position: int, status: UrlStatus, *, state: UrlState, reason: str, at: str
    ) -> dict[str, Any]:
        origin = chunk.origins[position]
        done = next((task.finished_at for task in status.tasks if task.state is TaskState.SUCCEEDED), None)
        event = "hold" if state is UrlState.HELD else chunk.action.value
        return {
            "event": event,
            "at": at,
            "url": status.url,
            "account": chunk.account,
            "vendor": self.vendors.get(chunk.account, ""),
            "state": state.value,
            "rule": chunk.rule,
            "reason": reason,
            "category": origin.category,
            "source": origin.source,
            "reporter": origin.reporter,
            "note": origin.note,
            "report_id": origin.report,
            "chunk_id": chunk.id,
            "actor": chunk.actor,
            "task_ids": [task.id for task in status.tasks],
            "vendor_task_ids": [task.vendor_task_id for task in status.tasks if task.vendor_task_id],
            "received_at": chunk.received_at.isoformat(),
            "finished_at": done.isoformat() if done else None,
            "seconds": round((done - chunk.received_at).total_seconds(), 1) if done else None,
        }

    # --- the rest ---------------------------------------------------------------------------------------------------

    def _of_task(self, task: Task, at: str) -> dict[str, Any]:
        finished = task.finished_at or self.now
        return {
            "event": "task",
            "at": at,
            "account": task.account,
            "vendor": self.vendors.get(task.account, ""),
            "action": task.action.value,
            "state": task.state.value,
            "reason": task.reason,
            "task_ids": [task.id],
            "vendor_task_ids": [task.vendor_task_id] if task.vendor_task_id else [],
            "parent": task.parent,
            "urls": task.count,
            "received_at": task.received_at.isoformat(),
            "finished_at": finished.isoformat(),
            "seconds": round((finished - task.received_at).total_seconds(), 1),
        }

    def _refusal(self, report: str, source: str, refusal: Refusal, *, at: str) -> dict[str, Any]:
        return {
            "event": "refusal",
            "at": at,
            "url": refusal.url,
            "account": refusal.account,
            "vendor": self.vendors.get(refusal.account, ""),
            "state": refusal.verdict,
            "rule": refusal.rule,
            "reason": refusal.reason,
            "source": source,
            "report_id": report,
        }


def _time_of(row: Row) -> str:
    """When a journal row was written: its sort key begins with it."""
    stamp = text(row, "sk").partition("#")[0]
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).isoformat()
    except ValueError:
        return ""


def _other(kind: str, subject: str, row: Row, at: str) -> dict[str, Any]:
    """An event of a kind that is not known here, with all that its row says."""
    said = {name: _readable(value) for name, value in row.items() if name not in _KEYS}
    known = {
        name: said.pop(name) for name in ("account", "actor", "action", "reason") if isinstance(said.get(name), str)
    }
    return {"event": kind, "at": at, "subject": subject, **known, "details": said}


def _readable(value: Value) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return decompress(value)
    except (ValueError, OSError):
        return value.hex()
