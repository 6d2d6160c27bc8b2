"""Statements of reasons: for each ban, what Article 17 of Regulation (EU) 2022/2065 asks for. Reads only.

What the ledger knows is told as it is: decision, times, facts, and whether a person decided. What only the operator of
edgeban knows (ground, territory, redress, kind of source) comes from the policy. What neither says is named as missing,
and never made up. Reporters, operators, notes and the names of sources stand in no statement.

A ban that carries an earlier one on (a renewal) is no new decision and has no statement of its own. Nor has a ban that
was taken over from the vendor's list: who decided it, and why, is not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final, NamedTuple

from chalicelib.domain.model import Action, Rule, TaskState, UrlState
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.domain.policy.statement import CategoryStatement, Notice, SourceStatement, StatementRules
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims, journal, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.journal import Entry
from chalicelib.ledger.reports import Report
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.answers.decided_bans import BY_RULES, REPEATING, DecidedBan, decided_at, of_claim, of_task
from chalicelib.pipeline.answers.statement_words import History, history
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.pipeline.run import Run

EVENTS: Final = 25
"""How many events of the journal are read at once: each is a task of up to 1,000 URLs."""

BY_HAND: Final = SourceStatement(Notice.VOLUNTARY, automated_detection=False)
"""The source of a ban by hand: nobody reported the URL."""


@dataclass(frozen=True, slots=True)
class Statement:
    """The reasons of one ban. ``rules``, ``ground`` and ``source`` are the policy's words; ``None`` where it has none.

    ``applied_at`` is when the vendor confirmed the ban, ``until`` its planned end (``None``: when a person unbans it),
    ``decided_until`` the end that was planned when it was decided. ``notified_at`` is when the oldest report of its
    chunk arrived; ``None`` for a ban by hand. ``words_since`` is the first moment at which the policy's words are known
    to be in force.
    """

    puid: str
    url: str
    account: str
    report: str
    chunk: str
    category: str
    rule: str
    decided_at: datetime
    applied_at: datetime
    until: datetime | None
    decided_until: datetime | None
    notified_at: datetime | None
    automated_decision: bool
    facts: str
    ground: CategoryStatement | None
    source: SourceStatement | None
    rules: StatementRules | None
    words_since: datetime | None
    missing: tuple[str, ...]
    """Fields of the policy that a complete statement needs."""


class Place(NamedTuple):
    """Where a list goes on: after an event of the journal, and after so many bans of the next event."""

    event: str
    skip: int = 0


# --- questions ------------------------------------------------------------------------------------------------------


def of_url(run: Run, url: str) -> list[Statement]:
    """Return the statements of all bans of a canonical URL, newest first at each account."""
    keys = [url_key(account, url) for account in run.policy.accounts]
    claims_by_key = claims.read(run.rows, keys, consistent=True)
    bans = [ban for claim in claims_by_key.values() for ban in of_claim(run.rows, claim)]
    return _statements(run, history(run), bans, claims_by_key)


def of_report(run: Run, report: Report, *, start: int, limit: int) -> tuple[list[Statement], int | None]:
    """Return the statements of the bans that a report began, and the number of its URL to go on from.

    A URL that an earlier report had banned has none here. ``limit`` counts statements. A page has at least all
    statements of one URL.
    """
    urls, accounts = url_status.urls_of(report), dict.fromkeys((*report.accounts, *run.policy.accounts))
    chosen = urls[start : start + max(limit // max(len(accounts), 1), 1)]
    keys = [url_key(account, url) for url in chosen for account in accounts]
    claims_by_key = claims.read(run.rows, keys, consistent=True)
    bans: list[DecidedBan] = []
    for claim in claims_by_key.values():
        bans_of_url = of_claim(run.rows, claim)
        bans += islice((ban for ban in bans_of_url if ban.chunk.origins[ban.position].report == report.id), 1)
    following = start + len(chosen)
    return _statements(run, history(run), bans, claims_by_key), following if following < len(urls) else None


def of_span(
    run: Run, place: Place, *, until: datetime, limit: int, report: str = ""
) -> tuple[list[Statement], Place | None]:
    """Return the statements of bans that took effect after a place, oldest first, and the place to go on from.

    ``report``: of the bans that a report began alone. A page has at most ``limit`` of them. It may have fewer, or none,
    where time was up.
    """
    statements, words = list[Statement](), history(run)
    while events := journal.following(run.rows, place.event, until=until, limit=EVENTS):
        ended = [event.subject for event in events if _is_ban(event)]
        tasks_by_id = tasks.read(run.rows, ended)
        for event in events:
            task = tasks_by_id.get(event.subject)
            bans = of_task(run.rows, task) if task and expiry.of_task(task) else iter(())
            bans = (ban for ban in bans if report in {"", ban.chunk.origins[ban.position].report})
            page = list(islice(bans, place.skip, place.skip + limit - len(statements) + 1))
            room = limit - len(statements)
            keys = [ban.key for ban in page[:room]]
            statements += _statements(run, words, page[:room], claims.read(run.rows, keys))
            if len(page) > room:
                return statements, Place(place.event, place.skip + room)
            place = Place(event.place)
        if run.time_is_up:
            return statements, place
    return statements, None


def _is_ban(event: Entry) -> bool:
    fields = event.fields
    return event.kind == "task" and fields.get("state") == TaskState.SUCCEEDED and fields.get("action") == Action.BAN


# --- what is stated -------------------------------------------------------------------------------------------------


def _statements(
    run: Run, words: History, bans: Sequence[DecidedBan], claims_by_key: Mapping[str, Claim]
) -> list[Statement]:
    """State bans, but not those whose failure the vendor told of a URL alone."""
    ban_of = {ban.decision: ban for ban in bans}
    decided = {decision: decided_at(run.rows, ban) for decision, ban in ban_of.items()}
    return [
        _statement(ban, claim, words, decided[ban.decision])
        for ban in bans
        for claim in [_own(claims_by_key.get(ban.key), ban)]
        if claim is None or claim.outcome != UrlState.FAILED
    ]


def _own(claim: Claim | None, ban: DecidedBan) -> Claim | None:
    """Return the claim if the ban's chunk still has it."""
    return claim if claim is not None and claim.chunk == ban.chunk.id else None


def _statement(ban: DecidedBan, claim: Claim | None, words: History, decided_at: datetime) -> Statement:
    chunk, origin = ban.chunk, ban.chunk.origins[ban.position]
    by_hand = origin.is_person
    ground, ground_since = words.find(decided_at, lambda each: each.ground(origin.category))
    source, source_since = words.find(decided_at, lambda each: each.sources.get(origin.source))
    rules, rules_since = words.find(decided_at, lambda each: each.rules)
    if by_hand:
        source, source_since = BY_HAND, None
    listed = words.at(decided_at).lists(origin.category)
    absent = {
        f"categories.{origin.category.lower() if listed else 'default'}.statement": ground,
        f"sources.{origin.source}.statement": source,
        "statement": rules,
    }
    applied_at = ban.task.finished_at or ban.task.submitted_at
    assert applied_at
    url = chunk.urls[ban.position]
    return Statement(
        puid=_puid(origin.report or ban.decided.id, url),
        url=url,
        account=chunk.account,
        report=origin.report,
        chunk=chunk.id,
        category=origin.category,
        rule=ban.decided.rule or Rule.DEFAULT.value,
        decided_at=decided_at,
        applied_at=applied_at,
        until=_end(ban, claim),
        decided_until=_end(ban, None),
        notified_at=None if by_hand else ban.decided.received_at,
        automated_decision=ban.decided.rule in BY_RULES,
        facts=_facts(ban.decided, origin.category.lower() if listed else "", by_hand=by_hand),
        ground=ground,
        source=source,
        rules=rules,
        words_since=max(filter(None, (ground_since, source_since, rules_since)), default=None),
        missing=tuple(field for field, words in absent.items() if words is None),
    )


def _puid(decision: str, url: str) -> str:
    """Name a statement. Its name is the same each time.

    What one report says of a URL is one decision, even if several accounts carry it out.
    """
    return f"edgeban-{hashlib.sha256(f'{decision}|{url}'.encode()).hexdigest()[:32]}"


def _end(ban: DecidedBan, claim: Claim | None) -> datetime | None:
    """Return the planned end: the claim's while it is the ban's, else the end with which the ban was made."""
    chunk, task = ban.chunk, ban.task
    if claim is None:
        planned = chunk.until
        if planned < FOREVER and chunk.rule not in BY_RULES | REPEATING:  # a hold begins when it is approved
            planned = task.created_at + (chunk.until - chunk.created_at)
    else:
        planned = datetime.fromtimestamp(min(claim.until, epoch(FOREVER)), tz=UTC)
    if planned >= FOREVER:
        return None
    lifted = claim is not None and claim.lifted_at == claim.until
    return planned if lifted or task.endless else max(planned, expiry.of_task(task) or planned)


def _facts(chunk: Chunk, category: str, *, by_hand: bool) -> str:
    """Say in words what led to the ban. ``category`` is one that the policy lists: a reporter's own words are not."""
    kind = f"the category {category}" if category else "abuse"
    day = f"{chunk.received_at.astimezone(UTC):%Y-%m-%d}"
    if by_hand:
        found = f"On {day} staff of the provider found that a URL served through its network falls under {kind}."
    else:
        found = f"On {day} the provider received a report that a URL served through its network falls under {kind}."
    if by_hand or chunk.rule not in BY_RULES:
        decided = "A person decided to disable access to it."
    else:
        decided = "The report met the provider's rules, and access to it was disabled automatically."
    return f"{found} {decided}"
