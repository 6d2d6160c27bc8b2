"""The events of a day, one record for each URL. They are read from the day's journal and by key, without a scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import islice
from typing import Any, Final

from chalicelib.domain import source_counts
from chalicelib.domain.model import Action, TaskState, UrlState
from chalicelib.ledger import chunk_chain, chunks, claims, journal, reports, subjects, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.journal import Entry
from chalicelib.ledger.reports import Refusal
from chalicelib.ledger.row import decompress, epoch
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle.explaining import Explainer, UrlStatus
from chalicelib.ports import Rows, Value

OF_TASK: Final = {TaskState.SUCCEEDED: UrlState.UNBANNED, TaskState.FAILED: UrlState.FAILED}
"""The state of a URL by that of the last task that unbanned it."""

SUPERSEDED: Final = "it ended before a vendor had it, and was reported again"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a URL of a chunk."""

    status: UrlStatus
    state: UrlState
    reason: str


@dataclass(frozen=True, slots=True)
class LedgerEvents:
    """Reads the events of a day. ``vendors``: account → vendor. ``now``: when their outcomes are read."""

    rows: Rows
    vendors: Mapping[str, str]
    now: datetime
    names_reporters: bool = True
    """Whether the events name reporters, by pseudonyms, which may have to be made. A count needs no reporters."""

    def of_day(self, day: date, *, workers: int) -> Iterator[dict[str, Any]]:
        """Yield the events of a UTC day in the journal's order. ``workers`` 0 reads in the caller's thread."""
        entries = journal.stream(self.rows, day)
        of_entry = partial(self._of_entry, day)
        if not workers:
            for entry in entries:
                yield from of_entry(entry)
            return
        with ThreadPoolExecutor(workers) as pool:
            while group := list(islice(entries, workers)):
                for events in pool.map(of_entry, group):
                    yield from events

    def _of_entry(self, day: date, entry: Entry) -> list[dict[str, Any]]:
        at = entry.at.isoformat() if entry.at else ""
        match entry.kind:
            case "chunk":
                by_id = chunks.read(self.rows, [entry.subject])
                return [event for chunk in by_id.values() for event in self._of_chunk(chunk, at)]
            case "task":
                return [self._of_task(task, at, entry) for task in tasks.read(self.rows, [entry.subject]).values()]
            case "refused":
                refusals = reports.journalled(entry.fields)
                return [self._refusal(report, source, refusal, at=at) for report, source, refusal in refusals]
            case "refused_at_once":
                report = reports.read(self.rows, entry.subject, at_once=True)
                if report is None or report.received_at.astimezone(UTC).date() != day:
                    return []  # The whole report was refused, or it was received, and archived, on an earlier day.
                received = report.received_at.isoformat()
                return [self._refusal(report.id, report.source, refusal, at=received) for refusal in report.refusals]
            case _:
                return [_other(entry, at)]

    # --- bans, unbans and holds -------------------------------------------------------------------------------------

    def _of_chunk(self, chunk: Chunk, at: str) -> Iterable[dict[str, Any]]:
        owners_by_key = claims.read(self.rows, chunk.keys, consistent=True, whole=True)
        owners = [owners_by_key.get(key) for key in chunk.keys]
        as_claimed = [self._as_of(chunk, position, owner) for position, owner in enumerate(owners)]
        explainer = Explainer(self.rows, now=self.now)
        later_chunks: dict[str, Chunk] = {}
        # Operators stand in the archive by the names of their tokens.
        reporters = {origin.reporter for origin in chunk.origins if self.names_reporters and not origin.is_person}
        pseudonyms = subjects.pseudonyms(self.rows, reporters, now=self.now)
        for position, (owner, status) in enumerate(zip(owners, explainer.explain(as_claimed), strict=True)):
            if chunk.action is Action.UNBAN:
                owned = owner is not None and owner.unban == chunk.id
            else:
                owned = owner is not None and owner.chunk == chunk.id
            outcome = _Outcome(status, status.state, status.reason)
            if not owned and not status.tasks:
                ended = self._ended_before(chunk, position, owner, later_chunks)
                if ended is None:
                    continue  # Another chunk had claimed the URL before: this chunk does not have it.
                outcome = _Outcome(status, ended, chunk.reason or SUPERSEDED)
            elif chunk.action is Action.UNBAN:
                outcome = _Outcome(status, self._of_unban(status, owner if owned else None, explainer), chunk.reason)
            event = self._of_url(chunk, position, outcome, at)
            yield {**event, "reporter": pseudonyms.get(event["reporter"], event["reporter"])}

    @staticmethod
    def _of_unban(status: UrlStatus, owner: Claim | None, explainer: Explainer) -> UrlState:
        """Return the state that an unban led to: the claim's, while the unban has the claim; else its last task's."""
        if owner:
            (current,) = explainer.explain([owner])
            return current.state
        if status.tasks:
            return OF_TASK.get(status.tasks[-1].state, UrlState.PROCESSING)
        return status.state

    def _ended_before(
        self, chunk: Chunk, position: int, owner: Claim | None, later_chunks: dict[str, Chunk]
    ) -> UrlState | None:
        """Return how a URL of a chunk ended without a task, if a later chunk remembers that this one had it."""
        names = (owner.unban, owner.chunk) if owner else ()
        later = chunk_chain.follower(self.rows, names, chunk.keys[position], chunk.id, later_chunks)
        if later is None:
            return None
        at = later.keys.index(chunk.keys[position])
        unbanned = later.action is Action.UNBAN or any(unban for where, _, unban in later.before if where == at)
        return UrlState.UNBANNED if unbanned else UrlState.REJECTED

    @staticmethod
    def _as_of(chunk: Chunk, position: int, owner: Claim | None) -> Claim:
        """Return the claim as this chunk had it, whichever chunk has the URL now."""
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

    def _of_url(self, chunk: Chunk, position: int, outcome: _Outcome, at: str) -> dict[str, Any]:
        status, origin = outcome.status, chunk.origins[position]
        done = next((task.finished_at for task in status.tasks if task.state is TaskState.SUCCEEDED), None)
        return {
            "event": "hold" if outcome.state is UrlState.HELD else chunk.action.value,
            "at": at,
            "url": status.url,
            "account": chunk.account,
            "vendor": self.vendors.get(chunk.account, ""),
            "state": outcome.state.value,
            "rule": chunk.rule,
            "reason": outcome.reason,
            "category": origin.category,
            "source": origin.source,
            "reporter": origin.reporter,
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

    def _of_task(self, task: Task, at: str, entry: Entry) -> dict[str, Any]:
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
            "details": {name: entry.fields[name] for name in source_counts.FIELDS if name in entry.fields},
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


def _other(entry: Entry, at: str) -> dict[str, Any]:
    """Return an event of a kind that this module does not know, with everything that its row says."""
    details = {name: _readable(value) for name, value in entry.fields.items()}
    names = [name for name in ("account", "actor", "action", "reason") if isinstance(details.get(name), str)]
    columns = {name: details.pop(name) for name in names}
    return {"event": entry.kind, "at": at, "subject": entry.subject, **columns, "details": details}


def _readable(value: Value) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return decompress(value)
    except (ValueError, OSError):
        return value.hex()
