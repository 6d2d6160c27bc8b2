"""The holds that wait for a person, as people see them: with sources, hosts, approvals and age. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, Final

from chalicelib.domain.ban_index import covers
from chalicelib.domain.errors import NotFound
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.domain.urls import host_of
from chalicelib.domain.words.word import SourceWord
from chalicelib.ledger import audit, chunk_chain, chunks, claims, remaining
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.packed_words import unpack
from chalicelib.pipeline.decisions.asked_by import AskedBy
from chalicelib.pipeline.decisions.holds import Hold, all_held, approvals_needed, undecided
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


@dataclass(frozen=True, slots=True)
class Waiting:
    """A page of the holds that are asked for, oldest first, and how many there are by rule and source."""

    following: list[HoldView]
    """Those behind the place that was named, one more than the page has if there are more."""
    groups: list[dict[str, Any]]


def waiting(run: Run, wanted: Wanted, *, after: str = "", limit: int) -> Waiting:
    """Return a page of the holds that are asked for.

    Every hold's row is read, to count the holds. Chunks are read only for the holds on the page, for a filter by host,
    and for holds with several sources, whose rows do not say enough.
    """
    accounts = [name for name in run.policy.accounts if wanted.account in {"", name}]
    held = [work for work in all_held(run.rows, accounts) if wanted.rule in {"", work.rule}]
    unclear = [work.chunk for work in held if wanted.host or not work.source]
    chunks_by_id = chunks.read(run.rows, unclear)
    sources_by_hold = {
        work.chunk: sources
        for work in held
        if (sources := _sources(work, chunks_by_id.get(work.chunk)))
        if wanted.source in sources or not wanted.source
        if not wanted.host or _is_of_host(work, chunks_by_id.get(work.chunk), wanted.host)
    }
    held = [work for work in held if work.chunk in sources_by_hold]
    following: list[HoldView] = []
    rest = [work for work in held if work.chunk > after]
    while rest and len(following) <= limit:
        room = limit + 1 - len(following)
        some, rest = rest[:room], rest[room:]
        chunks_by_id |= chunks.read(run.rows, [work.chunk for work in some if work.chunk not in chunks_by_id])
        following += [_view(run, Hold(work, chunks_by_id[work.chunk])) for work in some if work.chunk in chunks_by_id]
    return Waiting(following, _groups(held, sources_by_hold))


def _sources(work: Work, chunk: Chunk | None) -> Counter[str]:
    """Count the URLs of a hold by source; nothing where that cannot be known, since its chunk is gone."""
    if chunk is None:
        return Counter({work.source: work.urls_left}) if work.source else Counter()
    return Counter(chunk.origins[position].source for position in Hold(work, chunk).positions)


def _view(run: Run, hold: Hold) -> HoldView:
    policy, age = run.policy, run.clock() - hold.work.received_at
    approvals = _approvals(run.rows, hold) if hold.work.approved_by else ()
    return HoldView(hold, approvals, approvals_needed(policy, hold), age, age > policy.approvals.alarm_after)


def _is_of_host(work: Work, chunk: Chunk | None, host: str) -> bool:
    return chunk is not None and any(
        covers(host, host_of(chunk.urls[position])) for position in Hold(work, chunk).positions
    )


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
        "sources": _counted(_sources(hold.work, hold.chunk), HOSTS),
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


def _groups(held: Sequence[Work], sources_by_hold: Mapping[str, Counter[str]]) -> list[dict[str, Any]]:
    """Count the holds by rule and source, the largest groups first. A hold of two sources is in both groups."""
    grouped: dict[tuple[str, str], list[Work]] = {}
    for work in held:
        for source in sources_by_hold[work.chunk]:
            grouped.setdefault((work.rule, source), []).append(work)
    counted = [
        {
            "rule": rule,
            "source": source,
            "holds": len(members),
            "urls": sum(sources_by_hold[work.chunk][source] for work in members),
            "oldest": min(work.received_at for work in members).isoformat(),
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
    is_held = work is not None and undecided(work)
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
