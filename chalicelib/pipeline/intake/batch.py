"""Queued reports → claims and chunks. A message is acknowledged only when its URLs are durable.

Crash order: chunk *open* (the URLs are durable, under a lease) → claims → chunk *sealed* → kick → acknowledge. A crash
before the acknowledgement brings the messages again: what is claimed by then is a duplicate of a chunk that the sweep
finishes, what is not is claimed by a new chunk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from chalicelib.config.sources import Source
from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import InputError
from chalicelib.domain.model import CHUNK_BYTES, CHUNK_URLS, Action, ChunkState, VerdictKind
from chalicelib.domain.policy.rules import Policy
from chalicelib.ledger import claims, reports
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.reports import Refusal
from chalicelib.pipeline.intake.decide import Wanted, decide, lasts, sort_out
from chalicelib.pipeline.intake.messages import Delivery, Fetch, read_record
from chalicelib.pipeline.lifecycle import claiming, expiry
from chalicelib.pipeline.run import Run
from chalicelib.ports import Emit, Rows, Wake

FOREVER = datetime(9990, 1, 1, tzinfo=UTC)
"""The planned end of a ban that lasts until it is unbanned."""


class Kind(NamedTuple):
    """What the URLs of one chunk have in common. ``rule`` is set where a person decides."""

    account: str
    ban_days: int
    rule: str
    lasts: timedelta | None


@dataclass(slots=True)
class Outcome:
    """What a batch came to. ``failed`` are the ids of the messages to be redelivered."""

    failed: list[str] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)


def intake_reports(
    records: Sequence[Mapping[str, Any]],
    *,
    sources: Mapping[str, Source],
    policy: Policy,
    rows: Rows,
    wake: Wake,
    emit: Emit,
    now: datetime,
    fetch: Fetch | None = None,
) -> Outcome:
    """Take a batch of queue messages; what cannot be read is returned as failed and goes on to the dead letters."""
    outcome = Outcome()
    deliveries: list[Delivery] = []
    for record in records:
        try:
            delivery = read_record(record, sources, fetch=fetch, now=now)
            deliveries += [delivery] if delivery else []
        except InputError as error:
            outcome.failed.append(record["messageId"])
            emit("message_unreadable", message_id=record["messageId"], code=error.code, problem=str(error))
    wanted, refusals = sort_out(deliveries, policy, outcome.verdicts)
    run = Run(rows=rows, emit=emit, wake=wake, clock=lambda: now, read_policy=lambda: policy)
    known = expiry.corrected(run, claims.read(rows, list(wanted)))
    verdicts = decide(wanted, known, policy, rows=rows, now=now)
    fresh: dict[Kind, list[Wanted]] = {}
    for key, each in wanted.items():
        decided = verdicts[key]
        outcome.verdicts[decided.kind.value] += 1
        if decided.kind in {VerdictKind.BAN, VerdictKind.HOLD}:
            rule = decided.rule if decided.kind is VerdictKind.HOLD else ""
            kind = Kind(each.account, decided.ban_days, rule, lasts(each, policy))
            fresh.setdefault(kind, []).append(each)
            outcome.verdicts[VerdictKind.DUPLICATE.value] += len(each.others)
        else:
            refusals += _refusals(each, outcome.verdicts)
    _record_refusals(rows, refusals, now=now)
    origin_of = partial(_origin, made={})
    for kind, group in fresh.items():
        sealed = 0
        for part in cut(
            group,
            count=CHUNK_URLS,
            size=CHUNK_BYTES,
            size_of=lambda wanted: len(wanted.url),
            shared_of=lambda wanted: origin_of(wanted).text,
        ):
            origins = tuple(map(origin_of, part))
            sealed += _claim(run, part, origins, kind, known=known, outcome=outcome)
        if sealed and not kind.rule:
            wake(kind.account, now=now)
    oldest = min((delivery.received_at for delivery in deliveries), default=now)
    emit(
        "reports_taken",
        messages=len(records),
        unreadable=len(outcome.failed),
        queue_wait=(now - oldest).total_seconds(),
        **outcome.verdicts,
    )
    return outcome


def _refusals(wanted: Wanted, verdicts: Counter[str]) -> Iterator[tuple[Delivery, Refusal]]:
    """What the reports of a URL that is not banned by this batch are told: each what it comes to by itself."""
    for number, (delivery, reported) in enumerate(wanted.reports()):
        own = wanted.verdict_for(delivery, reported)
        verdicts[own.kind.value] += number > 0  # the first is counted already
        if own.kind in {VerdictKind.REJECTED, VerdictKind.SUPPRESSED}:
            yield delivery, Refusal(wanted.url, own.kind.value, own.rule, own.reason, wanted.account)


def _claim(
    run: Run,
    part: list[Wanted],
    origins: tuple[Origin, ...],
    kind: Kind,
    *,
    known: Mapping[str, Claim],
    outcome: Outcome,
) -> int:
    """Open a chunk, claim its URLs, seal it; return how many it won."""
    now = run.clock()
    until = FOREVER if kind.lasts is None else now + kind.lasts
    chunk = Chunk(
        account=kind.account,
        action=Action.BAN,
        ban_days=kind.ban_days,
        rule=kind.rule,
        urls=tuple(each.url for each in part),
        keys=tuple(each.key for each in part),
        origins=origins,
        created_at=now,
        received_at=min(each.delivery.received_at for each in part),
        until=until,
    )
    won = claiming.begin(run, chunk, known, then=ChunkState.HELD if kind.rule else ChunkState.WAITING)
    lost = len(part) - len(won)
    if lost:  # another intake was quicker since our read
        verdict = VerdictKind.HOLD if kind.rule else VerdictKind.BAN
        outcome.verdicts[verdict.value] -= lost
        outcome.verdicts[VerdictKind.DUPLICATE.value] += lost
    return len(won)


def _origin(wanted: Wanted, made: dict[tuple[str, str, str, str], Origin]) -> Origin:
    """The origin of a URL; one object for all URLs that share it, since a report may name thousands."""
    reported, delivery = wanted.reported, wanted.delivery
    said = (delivery.report_id, reported.reporter, wanted.category, reported.note)
    found = made.get(said)
    if found is None:
        found = made[said] = Origin(
            delivery.report_id, delivery.source.name, reported.reporter, wanted.category, reported.note
        )
    return found


def _record_refusals(rows: Rows, refusals: list[tuple[Delivery, Refusal]], *, now: datetime) -> None:
    """Tell the reports that can be asked for what was refused of them here: it leaves no claim to read it from."""
    by_message: dict[tuple[str, str], list[Refusal]] = {}
    for delivery, refusal in refusals:
        if delivery.recorded:
            by_message.setdefault((delivery.report_id, delivery.message_id), []).append(refusal)
    if by_message:
        reports.record_refusals(rows, by_message, now=now)
    if refusals:
        noted = [(delivery.report_id, delivery.source.name, refusal) for delivery, refusal in refusals]
        reports.journal_refusals(rows, noted, now=now)
