"""Queued reports → claims and chunks. A message is acknowledged only when its URLs are durable.

Crash order: chunk *open* (the URLs are durable, under a lease) → claims → chunk *sealed* → kick → acknowledge. A crash
before the acknowledgement brings the messages again: what is claimed by then is a duplicate of a chunk that the sweep
finishes, what is not is claimed by a new chunk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from chalicelib.domain.errors import InputError
from chalicelib.domain.model import Action, ChunkState, ParsedReport, ReportedUrl, Verdict, VerdictKind
from chalicelib.domain.policy import NOT_MANAGED, Policy, accounts_for, verdict
from chalicelib.domain.urls import UnusableUrl, canonical_url, host_of, url_key
from chalicelib.ledger import chunks, claims, reports
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.reports import Refusal
from chalicelib.pipeline import claiming
from chalicelib.pipeline.receive import options_of
from chalicelib.ports import Kick, Rows, Tell
from chalicelib.reports import format_for, parse
from chalicelib.reports.envelope import ObjectReference, Unwrapped, unwrap
from chalicelib.reports.sources import Source

TEST = Verdict(VerdictKind.SUPPRESSED, "test", "the report is a test: nothing is sent to a vendor")

Fetch = Callable[[ObjectReference], bytes]
"""Read an object that a message names. Raises InputError if it is not one of ours to read."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One queue message, read. ``recorded``: the report has a row that its source can ask for."""

    message_id: str
    report_id: str
    source: Source
    received_at: datetime
    urls: tuple[ReportedUrl, ...]
    test: bool = False
    recorded: bool = False


@dataclass(slots=True)
class Wanted:
    """A URL at an account, with the first report that named it."""

    key: str
    url: str
    account: str
    reported: ReportedUrl
    delivery: Delivery
    others: list[Delivery] = field(default_factory=list)
    """Where the batch named it again."""


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
    kick: Kick,
    tell: Tell,
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
            tell("message_unreadable", message_id=record["messageId"], code=error.code, problem=str(error))
    wanted, refusals = sort_out(deliveries, policy, outcome.verdicts)
    known = claims.read(rows, list(wanted))
    fresh: dict[tuple[str, int, str], list[Wanted]] = {}
    for each in wanted.values():
        decided = _decide(each, known.get(each.key), policy, now=now)
        outcome.verdicts[decided.kind.value] += 1
        if decided.kind in {VerdictKind.BAN, VerdictKind.HOLD}:
            rule = decided.rule if decided.kind is VerdictKind.HOLD else ""
            fresh.setdefault((each.account, decided.ban_days, rule), []).append(each)
        if decided.kind in {VerdictKind.REJECTED, VerdictKind.SUPPRESSED}:
            refusal = Refusal(each.url, decided.kind.value, decided.rule, decided.reason, each.account)
            refusals += [(delivery, refusal) for delivery in (each.delivery, *each.others)]
            outcome.verdicts[decided.kind.value] += len(each.others)
        else:
            outcome.verdicts[VerdictKind.DUPLICATE.value] += len(each.others)
    _record_refusals(rows, refusals, now=now)
    for (account, ban_days, rule), group in fresh.items():
        sealed = 0
        origin_of = partial(_origin, made={})
        for part in claiming.parts(((each.url, each) for each in group), origin_of=origin_of):
            origins = tuple(map(origin_of, part))
            sealed += _claim(part, origins, account, ban_days, rule, known=known, rows=rows, outcome=outcome, now=now)
        if sealed and not rule:
            kick(account, now=now)
    oldest = min((delivery.received_at for delivery in deliveries), default=now)
    tell(
        "reports_taken", messages=len(records), unreadable=len(outcome.failed),
        queue_wait=(now - oldest).total_seconds(), **outcome.verdicts,
    )  # fmt: skip
    return outcome


def read_record(
    record: Mapping[str, Any], sources: Mapping[str, Source], *, fetch: Fetch | None = None, now: datetime
) -> Delivery | None:
    """Read one SQS record; ``None`` if it carries no report by its kind, as S3's test events do.

    Raises an InputError if it is no report that a known source may send.
    """
    given = {name: str(each.get("stringValue", "")) for name, each in record.get("messageAttributes", {}).items()}
    unwrapped = unwrap(record["body"], given)
    if unwrapped.nothing:
        return None
    attributes = unwrapped.attributes or {}
    source = _source(unwrapped, attributes, sources)
    parsed = [_parse(body, attributes, source, now=now) for body in _bodies(unwrapped, fetch)]
    sent = record.get("attributes", {}).get("SentTimestamp")
    received_at = datetime.fromtimestamp(int(sent) / 1000, tz=UTC) if sent else now
    ours = given.get("report_id", "")
    return Delivery(
        message_id=record["messageId"],
        report_id=ours or reports.report_id(source.name, record["messageId"]),
        source=source,
        received_at=_received_at(given) if ours else received_at,
        urls=parsed[0].urls if len(parsed) == 1 else tuple(url for each in parsed for url in each.urls),
        test=any(each.test for each in parsed),
        recorded=bool(ours),
    )


def _source(unwrapped: Unwrapped, attributes: Mapping[str, str], sources: Mapping[str, Source]) -> Source:
    """Find who reports: the attribute says it, else the first part of an object's key (``<source>/…``)."""
    prefixes = {each.key.partition("/")[0] for each in unwrapped.objects}
    names = {attributes["source"]} if "source" in attributes else prefixes
    if len(names) > 1:
        raise InputError("the event of S3 names objects of several sources: let each have an event of its own")
    name = next(iter(names), "")
    source = sources.get(name)
    if source is None:
        what = (
            "the first part of the object's key" if prefixes and "source" not in attributes else "the attribute source"
        )
        raise InputError(f"{what} is {name[:60]!r}: name a configured source")
    return source


def _received_at(attributes: Mapping[str, str]) -> datetime:
    received_at: datetime | None
    try:
        received_at = datetime.fromisoformat(attributes.get("received_at", ""))
    except ValueError:
        received_at = None
    if received_at is None or received_at.tzinfo is None:
        raise InputError("report_id and received_at are edgeban's own attributes: leave both out")
    return received_at


def _bodies(unwrapped: Unwrapped, fetch: Fetch | None) -> list[bytes]:
    if not unwrapped.objects:
        return [unwrapped.body]
    if fetch is None:
        raise InputError("the message names an object in S3, and no intake bucket is configured")
    return [fetch(each) for each in unwrapped.objects]


def _parse(body: bytes, attributes: Mapping[str, str], source: Source, *, now: datetime) -> ParsedReport:
    configured = attributes.get("format") or source.format or None
    return parse(body, format_for(attributes.get("content_type", ""), configured, body), options_of(source, now))


def sort_out(
    deliveries: Iterable[Delivery], policy: Policy, verdicts: Counter[str]
) -> tuple[dict[str, Wanted], list[tuple[Delivery, Refusal]]]:
    """Canonicalise and dedupe a batch in memory: every URL once an account, with its first report."""
    wanted: dict[str, Wanted] = {}
    seen: dict[str, list[Wanted]] = {}
    refusals: list[tuple[Delivery, Refusal]] = []
    for delivery in deliveries:
        hosts = delivery.source.hosts
        for reported in delivery.urls:
            try:
                url = canonical_url(reported.url)
            except UnusableUrl as error:
                verdicts[VerdictKind.REJECTED.value] += 1
                refusals.append((delivery, Refusal(reported.url[:200], "rejected", "unusable_url", error.reason)))
                continue
            again = None if delivery.test else seen.get(url)  # a test takes nothing from a real report
            if again is not None:
                for each in again:
                    each.others.append(delivery)
                continue
            accounts = accounts_for(url, policy) if hosts is None or hosts.covers(host_of(url)) else []
            if not accounts:
                verdicts[VerdictKind.REJECTED.value] += 1
                refusals.append((delivery, Refusal(url, NOT_MANAGED.kind.value, NOT_MANAGED.rule, NOT_MANAGED.reason)))
                continue
            if delivery.test:
                verdicts[TEST.kind.value] += len(accounts)
                refusals += [(delivery, Refusal(url, TEST.kind.value, TEST.rule, TEST.reason, on)) for on in accounts]
                continue
            seen[url] = [Wanted(url_key(account, url), url, account, reported, delivery) for account in accounts]
            wanted.update((each.key, each) for each in seen[url])
    return wanted, refusals


def _decide(wanted: Wanted, known: Claim | None, policy: Policy, *, now: datetime) -> Verdict:
    source, reported = wanted.delivery.source, wanted.reported
    decided = verdict(
        wanted.url, reported, policy, live=known is not None and not known.ended(now),
        cooling=known is not None and known.cooling(now),
    )  # fmt: skip
    if not reported.ban_days and source.ban_days and decided.ban_days:
        return Verdict(decided.kind, decided.rule, decided.reason, source.ban_days)
    return decided


def _claim(
    part: list[Wanted], origins: tuple[Origin, ...], account: str, ban_days: int, rule: str, *,
    known: Mapping[str, Claim], rows: Rows, outcome: Outcome, now: datetime,
) -> int:  # fmt: skip
    """Open a chunk, claim its URLs, seal it; return how many it won."""
    keys = tuple(each.key for each in part)
    before = claiming.history(keys, known)
    chunk = Chunk(
        id=chunks.chunk_id(now, f"ban|{account}|{rule}|{ban_days}", keys),
        account=account, action=Action.BAN, ban_days=ban_days, rule=rule,
        urls=tuple(each.url for each in part), keys=keys, origins=origins,
        created_at=now, received_at=min(each.delivery.received_at for each in part),
        until=now + timedelta(days=ban_days), before=before,
        after=tuple(dict.fromkeys(unban for _, _, unban in before if unban)),
    )  # fmt: skip
    won = claiming.begin(rows, chunk, known, then=ChunkState.HELD if rule else ChunkState.WAITING, now=now)
    lost = len(part) - len(won)
    if lost:  # another intake was quicker since our read
        kind = VerdictKind.HOLD if rule else VerdictKind.BAN
        outcome.verdicts[kind.value] -= lost
        outcome.verdicts[VerdictKind.DUPLICATE.value] += lost
    return len(won)


def _origin(wanted: Wanted, made: dict[tuple[str, str, str, str], Origin]) -> Origin:
    """The origin of a URL; one object for all URLs that share it, since a report may name thousands."""
    reported, delivery = wanted.reported, wanted.delivery
    category = reported.category or delivery.source.category
    said = (delivery.report_id, reported.reporter, category, reported.note)
    found = made.get(said)
    if found is None:
        found = made[said] = Origin(
            delivery.report_id, delivery.source.name, reported.reporter, category, reported.note
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
