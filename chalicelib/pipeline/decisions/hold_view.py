"""The holds that wait for a person, as people see them: with sources, hosts, approvals and age. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, Final

from chalicelib.domain.ban_index import covers
from chalicelib.domain.errors import NotFound
from chalicelib.domain.model import ChunkState
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.domain.urls import host_of
from chalicelib.domain.words.word import SourceWord
from chalicelib.ledger import audit, chunk_chain, chunks, claims, remaining
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.packed_words import unpack
from chalicelib.pipeline.decisions.asked_by import AskedBy
from chalicelib.pipeline.decisions.holds import Hold, all_held, approvals_needed
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows

FIRST: Final = 3
"""URLs of a hold that the list shows."""

HOSTS: Final = 10
"""Hosts and reporters of a hold that the list shows."""

DECISIONS: Final = 20
"""Decisions about one hold that are read: more than two approvals and a refusal are unusual."""

COLUMNS: Final = (
    "hold_id",
    "account",
    "rule",
    "urls",
    "since",
    "age_seconds",
    "overdue",
    "ban_days",
    "sources",
    "asked_by",
    "asked_by_count",
    "categories",
    "hosts",
    "host_count",
    "reporters",
    "first",
    "approvals_needed",
    "approved_by",
)
"""Columns of the list as CSV."""

URL_COLUMNS: Final = ("url", "source", "reporter", "category", "report_id", "reported_at", "note")
"""Columns of the URLs of one hold as CSV."""

STATES: Final = {"approve": "approved", "refuse": "refused"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which holds are asked for; an empty field asks for all. ``host`` with a dot in front covers hosts below it."""

    account: str = ""
    source: str = ""
    rule: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class HoldView:
    """A hold, with the facts that people need before they open it."""

    hold: Hold
    approvals: tuple[Decision, ...]
    approvals_needed: int
    age: timedelta
    overdue: bool

    @property
    def sources(self) -> Counter[str]:
        """Count the hold's URLs by source."""
        return Counter(self.hold.chunk.origins[position].source for position in self.hold.positions)


def waiting(run: Run, wanted: Wanted) -> list[HoldView]:
    """Return the holds that are asked for, oldest first."""
    policy, now = run.policy, run.clock()
    accounts = [name for name in policy.accounts if wanted.account in {"", name}]
    held = [work for work in all_held(run.rows, accounts) if wanted.rule in {"", work.rule}]
    chunks_by_id = chunks.read(run.rows, [work.chunk for work in held])
    views = []
    for work in held:
        hold = Hold(work, chunks_by_id[work.chunk]) if work.chunk in chunks_by_id else None
        if hold is None or not _is_wanted(hold, wanted):
            continue
        views.append(
            HoldView(
                hold,
                _approvals(run.rows, hold) if work.approved_by else (),
                approvals_needed(policy, hold),
                age := now - work.received_at,
                age > policy.approvals.alarm_after,
            )
        )
    return views


def _is_wanted(hold: Hold, wanted: Wanted) -> bool:
    chunk = hold.chunk
    if wanted.source and all(chunk.origins[position].source != wanted.source for position in hold.positions):
        return False
    return not wanted.host or any(covers(wanted.host, host_of(chunk.urls[position])) for position in hold.positions)


def _approvals(rows: Rows, hold: Hold) -> tuple[Decision, ...]:
    return tuple(decision for decision in _decisions(rows, hold.chunk.id) if decision.action == "approve")


def _decisions(rows: Rows, hold_id: str) -> list[Decision]:
    """Return what was decided about a hold, oldest first."""
    return [decision for _, decision in reversed(audit.about(rows, f"hold:{hold_id}", limit=DECISIONS))]


def show(view: HoldView, asked_by: AskedBy) -> dict[str, Any]:
    """Write a hold as the list has it; ``asked_by`` says who asks for its URLs by now."""
    hold = view.hold
    urls = [hold.chunk.urls[position] for position in hold.positions]
    origins = [hold.chunk.origins[position] for position in hold.positions]
    hosts = Counter(host_of(url) for url in urls)
    return {
        "hold_id": hold.work.chunk,
        "account": hold.work.account,
        "rule": hold.work.rule,
        "urls": len(urls),
        "since": hold.work.received_at.isoformat(),
        "ban_days": hold.work.ban_days,
        "approved_by": hold.work.approved_by or None,
        "sources": _counted(view.sources, HOSTS),
        **asked_by.as_json(),
        "categories": sorted({origin.category for origin in origins if origin.category}),
        "hosts": _counted(hosts, HOSTS),
        "host_count": len(hosts),
        "reporters": sorted({origin.reporter for origin in origins if origin.reporter})[:HOSTS],
        "first": urls[:FIRST],
        "approvals": [_approval(decision) for decision in view.approvals],
        "approvals_needed": view.approvals_needed,
        "age_seconds": round(view.age.total_seconds()),
        "overdue": view.overdue,
    }


def _counted(counts: Mapping[str, int], most: int) -> list[dict[str, Any]]:
    ordered = sorted(counts.items(), key=lambda counted: (-counted[1], counted[0]))
    return [{"value": value, "urls": count} for value, count in ordered[:most]]


def _approval(decision: Decision) -> dict[str, Any]:
    return {"by": decision.actor, "at": decision.at.isoformat(), "reason": decision.reason}


def groups(views: Sequence[HoldView]) -> list[dict[str, Any]]:
    """Count the holds by rule and source, the largest groups first. A hold of two sources is in both groups."""
    grouped: dict[tuple[str, str], list[HoldView]] = {}
    for view in views:
        for source in view.sources:
            grouped.setdefault((view.hold.work.rule, source), []).append(view)
    counted = [
        {
            "rule": rule,
            "source": source,
            "holds": len(members),
            "urls": sum(view.sources[source] for view in members),
            "oldest": min(view.hold.work.received_at for view in members).isoformat(),
        }
        for (rule, source), members in grouped.items()
    ]
    return sorted(counted, key=lambda group: (-group["holds"], group["rule"], group["source"]))


def one(run: Run, hold_id: str, *, start: int, limit: int, sources: Iterable[str] = ()) -> dict[str, Any]:
    """Write one hold with a page of its URLs, even if it is decided already. Raises NotFound.

    ``sources`` are the names of those known by now: what others said of a URL that waits already is shown with it.
    """
    chunk = chunks.read(run.rows, [hold_id]).get(hold_id)
    work = remaining.of_chunk(run.rows, chunk.account, hold_id) if chunk else None
    decisions = _decisions(run.rows, hold_id) if chunk else []
    is_held = work is not None and work.state is ChunkState.HELD
    if chunk is None or not (is_held or decisions):
        raise NotFound("there is no such hold: its id is wrong, or its rows have expired")
    if work is not None and is_held:
        hold = Hold(work, chunk)
        positions, needed, state = hold.positions, approvals_needed(run.policy, hold), "held"
    else:
        positions, needed = list(range(len(chunk.urls))), 0
        state = STATES.get(decisions[-1].action, "refused")
    shown = positions[start : start + limit]
    words = _words(run, chunk, shown, sources) if is_held else {}
    body: dict[str, Any] = {
        "hold_id": hold_id,
        "account": chunk.account,
        "rule": chunk.rule,
        "state": state,
        "since": chunk.received_at.astimezone(UTC).isoformat(),
        "url_count": len(positions),
        "urls": [_url(chunk, position, words.get(position, [])) for position in shown],
        "approvals_needed": needed or len({decision.actor for decision in decisions}),
        "decisions": [_decision(decision) for decision in decisions],
    }
    if start + len(shown) < len(positions):
        body["next_token"] = str(start + len(shown))
    return body


def _url(chunk: Chunk, position: int, words: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write a URL of a hold. It was reported when its source said so, or else when the hold's oldest report arrived."""
    origin = chunk.origins[position]
    own = (word["said_at"] for word in words if word["source"] == origin.source)
    return {
        "url": chunk.urls[position],
        "report_id": origin.report,
        "source": origin.source,
        "reporter": origin.reporter,
        "category": origin.category,
        "note": origin.note,
        "reported_at": next(own, chunk.received_at.astimezone(UTC).isoformat()),
        "words": list(words),
    }


def _words(run: Run, chunk: Chunk, positions: Sequence[int], sources: Iterable[str]) -> dict[int, list[dict[str, Any]]]:
    """Return what each source says of the URLs at these positions, also the source for whose report they are held."""
    names = tuple(sources)
    found = claims.read(run.rows, [chunk.keys[position] for position in positions], consistent=True)
    return {
        position: [_word(word) for word in unpack(found[chunk.keys[position]].words, names)]
        for position in positions
        if chunk_chain.belongs(found, chunk, position)
    }


def _word(word: SourceWord) -> dict[str, Any]:
    return {
        "source": word.source,
        "said_at": word.said_at.isoformat(),
        "until": word.until.isoformat() if word.until < FOREVER else None,
        "bans": word.bans,
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "at": decision.at.isoformat(),
        "actor": decision.actor,
        "action": decision.action,
        "reason": decision.reason,
    }
