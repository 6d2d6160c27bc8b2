"""Turn queued reports into claims and chunks. A message is acknowledged only when its URLs are durable.

Crash order: the chunk is *opened* (its URLs are durable, under a lease), the URLs are claimed, the chunk is *sealed*,
the submitter is woken, the messages are acknowledged. After a crash before the acknowledgement the messages come again.
A URL that was claimed is then a duplicate, and the sweep finishes its chunk. A new chunk claims the other URLs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import InputError, TooManyRequests
from chalicelib.domain.model import CHUNK_BYTES, CHUNK_URLS, CLAIMING, Action, ChunkState, Rule, VerdictKind
from chalicelib.domain.policy.duration import Plan
from chalicelib.ledger import claims, seals
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claims import Claim
from chalicelib.pipeline.intake.collect import BatchUrl, collect
from chalicelib.pipeline.intake.counts import claimed_before, journal_taken, tell_taken, unreserve
from chalicelib.pipeline.intake.decide import decide
from chalicelib.pipeline.intake.envelopes import Reading
from chalicelib.pipeline.intake.messages import Message, read_record
from chalicelib.pipeline.intake.refusals import call_back, record_refusals, refusals_in, refusals_of
from chalicelib.pipeline.intake.silence import look_at
from chalicelib.pipeline.intake.strengthen import record_words
from chalicelib.pipeline.intake.taken_back import without_taken_back
from chalicelib.pipeline.intake.time_limit import TookTooLong, time_limit
from chalicelib.pipeline.intake.withdraw import withdraw
from chalicelib.pipeline.lifecycle import claiming, expiry
from chalicelib.pipeline.lifecycle.version_1 import completed
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter


class ChunkKind(NamedTuple):
    """What the URLs of one chunk have in common. ``rule`` is set where a person decides."""

    account: str
    rule: str
    plan: Plan
    release: bool = False
    """Whether the URLs leave their holds, because a source whose reports need no approval reports them."""


@dataclass(slots=True)
class Taken:
    """What became of a batch: the ids of the messages to be redelivered, and how many verdicts the others had."""

    failed: list[str] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    """Those of ``failed`` that a person must mend. The others succeed when they come again."""
    verdicts: Counter[str] = field(default_factory=Counter)


def intake_reports(run: Run, records: Sequence[Mapping[str, Any]], reading: Reading) -> Taken:
    """Take a batch of queue messages. A message that cannot be read comes back as failed, and ends as a dead letter.

    Messages that were received before are taken one by one, the smallest first: the message that made their batch fail
    then keeps no other one waiting. Raises only if no message was taken.
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
                alone = _take(run, [record], reading, again=True)
            except Exception as error:  # noqa: BLE001, whatever it is, the other messages are taken
                failure = failure or error
                run.emit("message_failed", message_id=record["messageId"], error=type(error).__name__)
        taken.failed += alone.failed
        taken.unreadable |= alone.unreadable
        taken.verdicts += alone.verdicts
    if failure and len(taken.failed) == len(records):  # it is not one message: count the failure
        raise failure
    return taken


def _received_before(record: Mapping[str, Any]) -> bool:
    return int(record.get("attributes", {}).get("ApproximateReceiveCount", 1)) > 1


def _take(run: Run, records: Sequence[Mapping[str, Any]], reading: Reading, *, again: bool = False) -> Taken:
    """Take messages together. ``again``: they were received before."""
    taken, policy = Taken(), run.policy
    messages = list(_read(run, records, reading, taken))
    withdrawals_again = withdraw(run, messages, again=again)
    urls_by_key, refusals = collect(without_taken_back(messages, policy), policy)
    withdrawn = any(message.withdrawals for message in messages)  # then the claims may just have been written
    found = claims.read(run.rows, list(urls_by_key), consistent=withdrawn, whole=again)
    claims_by_key = completed(run, expiry.corrected(run, found))
    reserved_at = run.clock()
    verdicts = decide(run, policy, urls_by_key, claims_by_key, reserved_at)
    urls_by_kind: dict[ChunkKind, list[BatchUrl]] = {}
    in_place: dict[str, BatchUrl] = {}
    for key, url in urls_by_key.items():
        verdict = verdicts[key]
        if verdict.kind in CLAIMING:
            rule = verdict.rule if verdict.kind is VerdictKind.HOLD else ""
            claim = claims_by_key.get(key)
            release = verdict.kind is VerdictKind.BAN and claim is not None and claim.waits(run.clock())
            kind = ChunkKind(url.account, rule, url.plan(policy), release)
            urls_by_kind.setdefault(kind, []).append(url)
        else:
            in_place[key] = url
            refusals += refusals_of(url, verdict)
    claimed_next = [url for urls in urls_by_kind.values() for url in urls]
    words_by_key, changed_meanwhile = record_words(run, reading.sources, claimed_next, in_place, claims_by_key)
    lost: list[BatchUrl] = []
    for kind, urls in urls_by_kind.items():
        claimed = _claim(run, kind, urls, claims_by_key, words_by_key, taken)
        if claimed and not kind.rule:
            wake_submitter(run, kind.account)
        lost += [url for url in urls if url.key not in claimed] if not kind.rule else []
    if policy.capped():
        unreserve(run, lost, [urls_by_key[key] for key in changed_meanwhile], reserved_at)
    taken.failed += sorted(withdrawals_again - set(taken.failed))
    taken.failed += sorted(_messages_of(urls_by_key[key] for key in changed_meanwhile) - set(taken.failed))
    unreadable = len(taken.unreadable)
    failed = {*taken.failed}
    done = [message for message in messages if message.message_id not in failed]
    refusals = refusals_in(done, refusals)
    record_refusals(run, refusals)
    banning = _messages_of(url for kind, urls in urls_by_kind.items() if not kind.rule for url in urls)
    call_back(run, [message for message in messages if message.message_id not in banning])
    if messages:
        look_at(run, messages)
    if done:
        kinds = ((url, verdicts[key].kind) for key, url in urls_by_key.items())
        if again:
            kinds = ((url, claimed_before(url, kind, claims_by_key.get(url.key))) for url, kind in kinds)
        taken.verdicts = journal_taken(run, done, kinds, refusals)
    tell_taken(
        run, messages, taken.verdicts, records=len(records), unreadable=unreadable, again=len(taken.failed) - unreadable
    )
    return taken


def _messages_of(urls: Iterable[BatchUrl]) -> set[str]:
    """Return the ids of the messages that report these URLs. They come again, and their URLs are decided anew."""
    return {message.message_id for url in urls for message, _ in url.mentions()}


def _read(run: Run, records: Sequence[Mapping[str, Any]], reading: Reading, taken: Taken) -> Iterator[Message]:
    """Yield the messages that can be read within their time; note the others as failed."""
    now = run.clock()

    @cache
    def seal_keys() -> dict[str, str]:
        return seals.read(run.rows)

    for record in records:
        message_id = record["messageId"]
        if run.time_is_up:
            taken.failed.append(message_id)
            continue
        try:
            with time_limit(reading.seconds):
                message = read_record(
                    record, reading.sources, run.policy, fetch=reading.fetch, seal_keys=seal_keys, now=now
                )
        except (Exception, TookTooLong) as error:  # noqa: BLE001, no message fails those beside it
            taken.failed.append(message_id)
            if not isinstance(error, TooManyRequests):
                taken.unreadable.add(message_id)
            code, problem = (
                (error.code, str(error)) if isinstance(error, InputError) else ("internal", type(error).__name__)
            )
            run.emit("message_unreadable", message_id=message_id, code=code, problem=problem)
            continue
        if message:
            yield message


def _claim(
    run: Run,
    kind: ChunkKind,
    urls: Sequence[BatchUrl],
    claims_by_key: Mapping[str, Claim],
    words_by_key: Mapping[str, bytes],
    taken: Taken,
) -> set[str]:
    """Open chunks of one kind, claim their URLs and seal them; return the keys of those that they claimed."""
    now, claimed = run.clock(), set[str]()
    origin, text_of = (
        cache(Origin),
        cache(attrgetter("text")),
    )  # thousands of URLs may share one object
    origin_of = {
        url.key: origin(
            url.message.report_id, url.message.source.name, url.reported.reporter, url.category, url.reported.note
        )
        for url in urls
    }
    for part in cut(
        urls,
        count=CHUNK_URLS,
        size=CHUNK_BYTES,
        size_of=lambda url: len(url.url),
        shared_of=lambda url: text_of(origin_of[url.key]),
    ):
        chunk = Chunk(
            account=kind.account,
            action=Action.BAN,
            ban_days=kind.plan.ban_days,
            rule=Rule.RELEASED if kind.release else kind.rule,
            renews=tuple(sorted({claims_by_key[url.key].chunk for url in part})) if kind.release else (),
            urls=tuple(url.url for url in part),
            keys=tuple(url.key for url in part),
            origins=tuple(origin_of[url.key] for url in part),
            created_at=now,
            received_at=min(url.message.received_at for url in part),
            until=kind.plan.end(now),
            call_back=tuple(sorted({url.message.source.name for url in part if url.message.is_called_back})),
        )
        then = ChunkState.HELD if kind.rule else ChunkState.WAITING
        keys = claiming.begin(run, chunk, claims_by_key, then=then, words=words_by_key)
        claimed |= keys
        # Who was quicker may have said less, or a person decided meanwhile: these URLs are decided anew.
        again = _messages_of(url for url in part if url.key not in keys)
        taken.failed += sorted(again - set(taken.failed))
    return claimed
