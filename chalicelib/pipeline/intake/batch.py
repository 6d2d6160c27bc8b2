"""Turn queued reports into claims and chunks. A message is acknowledged only when its URLs are durable.

Crash order: the chunk is *opened* (its URLs are durable, under a lease), the URLs are claimed, the chunk is *sealed*,
the submitter is woken, the messages are acknowledged. A crash before the acknowledgement brings the messages again:
what is claimed by then is a duplicate of a chunk that the sweep finishes, what is not is claimed by a new chunk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from chalicelib.config.sources import Source
from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import InputError, TooManyRequests, UnusableUrl
from chalicelib.domain.model import CHUNK_BYTES, CHUNK_URLS, Action, ChunkState, ReportedUrl, Rule, VerdictKind
from chalicelib.domain.policy.duration import Plan
from chalicelib.domain.urls import canonical_url
from chalicelib.ledger import chunks, claim_words, claims, remaining, reports
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import pack
from chalicelib.ledger.reports import Refusal
from chalicelib.pipeline.intake.collect import BatchUrl, collect
from chalicelib.pipeline.intake.counts import journal_taken
from chalicelib.pipeline.intake.decide import decide
from chalicelib.pipeline.intake.messages import Fetch, Message, read_record
from chalicelib.pipeline.intake.on_record import said_at
from chalicelib.pipeline.intake.strengthen import changes_of, first_word, packed_words_of, said_of, strengthen
from chalicelib.pipeline.intake.time_limit import TookTooLong, time_limit
from chalicelib.pipeline.intake.withdraw import taken_back_in_batch, withdraw
from chalicelib.pipeline.lifecycle import claiming, expiry
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter

CLAIMING = frozenset({VerdictKind.BAN, VerdictKind.HOLD})
"""Verdicts upon which a URL is claimed."""


class ChunkKind(NamedTuple):
    """What the URLs of one chunk have in common. ``rule`` is set where a person decides."""

    account: str
    rule: str
    plan: Plan
    release: bool = False
    """Whether the URLs leave holds, because they are reported by a source whose reports are banned by themselves."""


@dataclass(slots=True)
class Taken:
    """What became of a batch: how many verdicts of each kind, and the ids of the messages to be redelivered."""

    failed: list[str] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    """Those of ``failed`` that a person must mend. The others pass: they are taken when they come again."""
    verdicts: Counter[str] = field(default_factory=Counter)


READ_SECONDS = 10.0
"""Time to read one message. The largest one that is accepted takes a fraction of it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How messages are read. ``seconds`` is the time of each; ``fetch`` reads the objects that they name."""

    sources: Mapping[str, Source]
    fetch: Fetch | None = None
    seconds: float = READ_SECONDS


def intake_reports(run: Run, records: Sequence[Mapping[str, Any]], reading: Reading) -> Taken:
    """Take a batch of queue messages. One that cannot be read comes back as failed, and ends as a dead letter.

    What was received before is taken one by one, small messages first: whatever message made the batch fail, the others
    are taken without it. Raises only if no message was taken.
    """
    first = [record for record in records if not _received_before(record)]
    again = [record for record in records if _received_before(record)]
    taken, failure = Taken(), None
    if first or not again:
        taken = _take(run, first, reading)
    for record in sorted(again, key=lambda record: len(record["body"])):
        alone = Taken(failed=[record["messageId"]])
        if not run.time_is_up:
            try:
                alone = _take(run, [record], reading)
            except Exception as error:  # noqa: BLE001, whatever it is, the other messages are taken
                failure = failure or error
                run.emit("message_failed", message_id=record["messageId"], error=type(error).__name__)
        taken.failed += alone.failed
        taken.unreadable |= alone.unreadable
        taken.verdicts += alone.verdicts
    if failure and len(taken.failed) == len(records):  # it is not the message: let the function's errors be counted
        raise failure
    return taken


def _received_before(record: Mapping[str, Any]) -> bool:
    return int(record.get("attributes", {}).get("ApproximateReceiveCount", 1)) > 1


def _take(run: Run, records: Sequence[Mapping[str, Any]], reading: Reading) -> Taken:
    """Take messages together."""
    taken, policy, sources = Taken(), run.policy, reading.sources
    messages = list(_read(run, records, reading, taken))
    urls_by_key, refusals = collect(_without_withdrawn(messages), policy, taken.verdicts)
    claims_by_key = of_version_1(run, expiry.corrected(run, claims.read(run.rows, list(urls_by_key))))
    verdicts = decide(run, policy, urls_by_key, claims_by_key)
    urls_by_kind: dict[ChunkKind, list[BatchUrl]] = {}
    for key, url in urls_by_key.items():
        verdict = verdicts[key]
        taken.verdicts[verdict.kind.value] += 1
        if verdict.kind in CLAIMING:
            rule = verdict.rule if verdict.kind is VerdictKind.HOLD else ""
            release = verdict.kind is VerdictKind.BAN and _waits(claims_by_key.get(key), run.clock())
            kind = ChunkKind(url.account, rule, url.plan(policy), release)
            urls_by_kind.setdefault(kind, []).append(url)
            taken.verdicts[VerdictKind.DUPLICATE.value] += len(url.others)
        else:
            refusals += _refusals(url, taken.verdicts)
    _record_refusals(run, refusals)
    claiming_now = [url for urls in urls_by_kind.values() for url in urls]
    words_by_key = _words(run, claiming_now, claims_by_key, sources)
    in_place = {key: url for key, url in urls_by_key.items() if verdicts[key].kind not in CLAIMING}
    changes = changes_of(run, sources, in_place, claims_by_key)
    said = [said_of(urls_by_key[claim.key], claim, words, until) for claim, words, until in changes]
    said += [
        said_of(url, claims_by_key.get(url.key), words_by_key[url.key], url.plan(policy).end(run.clock()))
        for url in claiming_now
        if url.key in words_by_key
    ]
    claim_words.record(run.rows, said, now=run.clock())
    changed_meanwhile = strengthen(run, changes)
    for kind, urls in urls_by_kind.items():
        if _claim(run, kind, urls, claims_by_key, words_by_key, taken) and not kind.rule:
            wake_submitter(run, kind.account)
    taken.failed += sorted(withdraw(run, messages) - set(taken.failed))
    unreadable = len(taken.failed)
    again = sorted(_messages_of(urls_by_key[key] for key in changed_meanwhile) - set(taken.failed))
    taken.failed += again
    if messages:
        journal_taken(run, messages, urls_by_key, verdicts, refusals)
    oldest = min((message.received_at for message in messages), default=run.clock())
    run.emit(
        "reports_taken",
        messages=len(records),
        unreadable=unreadable,
        again=len(again),
        skipped=sum(message.skipped for message in messages),
        elsewhere=sum(message.elsewhere for message in messages),
        queue_wait=(run.clock() - oldest).total_seconds(),
        **taken.verdicts,
    )
    return taken


def _without_withdrawn(messages: Sequence[Message]) -> list[Message]:
    """Leave out what a source reports and takes back in the same batch: it says nothing."""
    up_to = taken_back_in_batch(messages)
    if not up_to:
        return list(messages)
    left = []
    for message in messages:
        urls = [each for each in message.urls if not _taken_back(message, each, up_to)]
        left.append(message if len(urls) == len(message.urls) else replace(message, urls=tuple(urls)))
    return left


def _taken_back(message: Message, reported: ReportedUrl, up_to: Mapping[tuple[str, str], datetime]) -> bool:
    try:
        moment = up_to.get((message.source.name, canonical_url(reported.url)))
    except UnusableUrl:
        return False
    return moment is not None and said_at(message, reported) <= moment


def _waits(claim: Claim | None, now: datetime) -> bool:
    return claim is not None and claim.waits(now)


def _words(
    run: Run, urls: Iterable[BatchUrl], claims_by_key: Mapping[str, Claim], sources: Collection[str]
) -> dict[str, bytes]:
    """Return the words of the URLs that the batch claims, where they are more than the one of the chunk's origin."""
    now, words_by_key = run.clock(), dict[str, bytes]()
    for url in urls:
        claim = claims_by_key.get(url.key)
        if len(url.words) > 1 or (claim and claim.words):
            words_by_key[url.key] = packed_words_of(url, claim, sources, now)
    return words_by_key


def of_version_1(run: Run, claims_by_key: dict[str, Claim]) -> dict[str, Claim]:
    """Add to claims that version 1 wrote what their rows do not say: whether they are held, and who had reported them.

    The second is asked only of what a person decided against.
    """
    decided = {key: claim for key, claim in claims_by_key.items() if not claim.words and claim.cooling(run.clock())}
    if decided:
        chunks_by_id = chunks.read(run.rows, [claim.chunk for claim in decided.values()])
        first_words = {key: first_word(claim, chunks_by_id.get(claim.chunk)) for key, claim in decided.items()}
        claims_by_key |= {key: replace(claim, words=pack(first_words[key])) for key, claim in decided.items()}
    silent: dict[str, set[str]] = {}
    for claim in claims_by_key.values():
        if not claim.words and not claim.outcome:
            silent.setdefault(claim.account, set()).add(claim.chunk)
    holds = {
        work.chunk: work.rule
        for account, ids in silent.items()
        for work in remaining.among(run.rows, account, sorted(ids)).values()
        if work.state is ChunkState.HELD
    }
    return {
        key: replace(claim, held=holds[claim.chunk]) if not claim.words and claim.chunk in holds else claim
        for key, claim in claims_by_key.items()
    }


def _messages_of(urls: Iterable[BatchUrl]) -> set[str]:
    """Return the ids of the messages that report some URLs: they come again, and are decided by what is then there."""
    return {message.message_id for url in urls for message, _ in url.mentions()}


def _read(run: Run, records: Sequence[Mapping[str, Any]], reading: Reading, taken: Taken) -> Iterator[Message]:
    """Yield the messages that can be read within their time; note the others as failed."""
    now = run.clock()
    for record in records:
        message_id = record["messageId"]
        if run.time_is_up:
            taken.failed.append(message_id)
            continue
        try:
            with time_limit(reading.seconds):
                message = read_record(record, reading.sources, run.policy, fetch=reading.fetch, now=now)
        except InputError as error:
            taken.failed.append(message_id)
            if not isinstance(error, TooManyRequests):
                taken.unreadable.add(message_id)
            run.emit("message_unreadable", message_id=message_id, code=error.code, problem=str(error))
            continue
        except (Exception, TookTooLong) as error:  # noqa: BLE001, no message fails those beside it
            taken.failed.append(message_id)
            taken.unreadable.add(message_id)
            run.emit("message_unreadable", message_id=message_id, code="internal", problem=type(error).__name__)
            continue
        if message and message.names_nothing:
            run.emit(
                "report_names_nothing",
                source=message.source.name,
                report_id=message.report_id,
                message_id=message.message_id,
                skipped=message.skipped,
            )
        if message:
            yield message


def _refusals(url: BatchUrl, verdicts: Counter[str]) -> Iterator[tuple[Message, Refusal]]:
    """Yield what each report of a URL that this batch does not ban is told: the verdict upon it by itself."""
    for position, (message, reported) in enumerate(url.mentions()):
        verdict = url.verdict_for(message, reported)
        if position > 0:  # the first is counted already
            verdicts[verdict.kind.value] += 1
        if verdict.kind in {VerdictKind.REJECTED, VerdictKind.SUPPRESSED}:
            yield message, Refusal(url.url, verdict.kind.value, verdict.rule, verdict.reason, url.account)


def _claim(
    run: Run,
    kind: ChunkKind,
    urls: Sequence[BatchUrl],
    claims_by_key: Mapping[str, Claim],
    words_by_key: Mapping[str, bytes],
    taken: Taken,
) -> int:
    """Open chunks of one kind, claim their URLs and seal them; return how many URLs they claimed."""
    now, claimed = run.clock(), 0
    origins: dict[tuple[str, ...], Origin] = {}
    for part in cut(
        urls,
        count=CHUNK_URLS,
        size=CHUNK_BYTES,
        size_of=lambda url: len(url.url),
        shared_of=lambda url: _origin(url, origins).text,
    ):
        chunk = Chunk(
            account=kind.account,
            action=Action.BAN,
            ban_days=kind.plan.ban_days,
            rule=Rule.RELEASED if kind.release else kind.rule,
            renews=tuple(sorted({claims_by_key[url.key].chunk for url in part})) if kind.release else (),
            urls=tuple(url.url for url in part),
            keys=tuple(url.key for url in part),
            origins=tuple(_origin(url, origins) for url in part),
            created_at=now,
            received_at=min(url.message.received_at for url in part),
            until=kind.plan.end(now),
        )
        then = ChunkState.HELD if kind.rule else ChunkState.WAITING
        keys = claiming.begin(run, chunk, claims_by_key, then=then, words=words_by_key)
        claimed += len(keys)
        if kind.release:  # a person decided meanwhile, or the hold is not sealed yet: the report comes again
            staying = _messages_of(url for url in part if url.key not in keys)
            taken.failed += sorted(staying - set(taken.failed))
    excluded = len(urls) - claimed
    if excluded:  # another intake was quicker since our read
        verdict = VerdictKind.HOLD if kind.rule else VerdictKind.BAN
        taken.verdicts[verdict.value] -= excluded
        taken.verdicts[VerdictKind.DUPLICATE.value] += excluded
    return claimed


def _origin(url: BatchUrl, origins: dict[tuple[str, ...], Origin]) -> Origin:
    """Return the origin of a URL: one object for all URLs that share it, since a report may name thousands."""
    reported, message = url.reported, url.message
    fields = (message.report_id, message.source.name, reported.reporter, url.category, reported.note)
    origin = origins.get(fields)
    if origin is None:
        origin = origins[fields] = Origin(*fields)
    return origin


def _record_refusals(run: Run, refusals: Sequence[tuple[Message, Refusal]]) -> None:
    """Store refusals with their reports: a refused URL has no claim to derive its state from."""
    now = run.clock()
    by_message: dict[tuple[str, str], list[Refusal]] = {}
    for message, refusal in refusals:
        if message.recorded:
            by_message.setdefault((message.report_id, message.digest), []).append(refusal)
    if by_message:
        reports.record_refusals(run.rows, by_message, now=now)
    if refusals:
        noted = [(message.report_id, message.source.name, refusal) for message, refusal in refusals]
        reports.journal_refusals(run.rows, noted, now=now)
