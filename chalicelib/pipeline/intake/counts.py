"""Count the URLs of a batch: by source in one row of the journal, and all together for the metrics.

A message that comes again is counted at its last delivery: each reported URL is counted once, by its final verdict.
The row is written last, and no decision depends on it. After a crash before it, the batch comes again and is counted
then. If the function dies after it and before the messages are acknowledged, they are counted twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from chalicelib.domain.model import CLAIMING, VerdictKind
from chalicelib.domain.policy.usage import Usage
from chalicelib.domain.urls import host_of
from chalicelib.ledger import ban_counts, journal
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.reports import Refusal
from chalicelib.pipeline.intake.collect import BatchUrl
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.intake.refusals import REFUSED
from chalicelib.pipeline.run import Run
from chalicelib.ports import Value

MOST_SOURCES = 40
"""How many sources a batch's row names, so that it costs few write units. All others count as ``THE_REST``."""

THE_REST = "(others)"


def journal_taken(
    run: Run,
    messages: Sequence[Message],
    kinds: Iterable[tuple[BatchUrl, VerdictKind]],
    refusals: Iterable[tuple[Message, Refusal]],
) -> Counter[str]:
    """Count the URLs of each source by verdict in one row of the journal; return the counts of all sources.

    ``messages`` are those that are done, and ``refusals`` theirs. URLs of other messages are left out.
    """
    done = {message.message_id for message in messages}
    counts: dict[str, Counter[str]] = {}
    for message in messages:
        counts.setdefault(message.source.name, Counter())["messages"] += 1
    for message, refusal in refusals:
        counts[message.source.name][refusal.verdict] += 1
    for message, kind, urls in _in_a_row(kinds):
        if kind not in REFUSED and message.message_id in done:  # the former are among the refusals
            counts[message.source.name][kind.value] += urls
    kept: dict[str, Value] = {}
    total = Counter[str]()
    for index, (source, by_verdict) in enumerate(sorted(counts.items())):
        name = source if index < MOST_SOURCES else THE_REST
        before = kept.get(name)
        kept[name] = dict(by_verdict + Counter(before if isinstance(before, dict) else {}))
        total += by_verdict
    name = hashlib.sha256(",".join(message.message_id for message in messages).encode()).hexdigest()[:12]
    journal.add_taken(run.rows, name, kept, now=run.clock())
    del total["messages"]
    return total


def _in_a_row(kinds: Iterable[tuple[BatchUrl, VerdictKind]]) -> Iterator[tuple[Message, VerdictKind, int]]:
    """Yield how many mentions in a row have the same message and verdict: most URLs of a report do.

    Each URL comes with the verdict of the mention for which it is claimed.
    """
    last: Message | None = None
    verdict, count = VerdictKind.BAN, 0
    for url, kind in kinds:
        if url.message is last and kind is verdict:
            count += 1
        else:
            if last:
                yield last, verdict, count
            last, verdict, count = url.message, kind, 1
        for message, reported in url.others:
            yield message, VerdictKind.DUPLICATE if kind in CLAIMING else url.verdict_for(message, reported).kind, 1
    if last:
        yield last, verdict, count


def claimed_before(url: BatchUrl, kind: VerdictKind, claim: Claim | None) -> VerdictKind:
    """Return the verdict of a URL in a message that comes again: an earlier delivery may have claimed the URL."""
    if kind is VerdictKind.DUPLICATE and claim and claim.report == url.message.report_id:
        return VerdictKind.HOLD if claim.held else VerdictKind.BAN
    return kind


def tell_taken(
    run: Run, messages: Sequence[Message], verdicts: Mapping[str, int], *, records: int, unreadable: int, again: int
) -> None:
    """Emit what a batch took, and how long its oldest message had waited."""
    oldest = min((message.received_at for message in messages), default=run.clock())
    run.emit(
        "reports_taken",
        messages=records,
        unreadable=unreadable,
        again=again,
        skipped=sum(message.skipped for message in messages),
        elsewhere=sum(message.elsewhere for message in messages),
        queue_wait=(run.clock() - oldest).total_seconds(),
        **verdicts,
    )


def unreserve(run: Run, lost: Iterable[BatchUrl], not_extended: Iterable[BatchUrl], reserved_at: datetime) -> None:
    """Subtract reserved bans that were not made, because somebody else claimed or changed the URLs meanwhile.

    ``lost`` were to be banned; the bans of ``not_extended`` were to be extended. A crash before this leaves the counts
    too high.
    """
    by_account: dict[str, Usage] = {}
    for url in lost:
        by_account.setdefault(url.account, Usage()).add(url.message.source.name, host_of(url.url))
    for url in not_extended:
        by_account.setdefault(url.account, Usage()).sources.update(url.extended_by)
    for account, usage in by_account.items():
        ban_counts.exchange(run.rows, account, usage, Usage(), now=reserved_at)
