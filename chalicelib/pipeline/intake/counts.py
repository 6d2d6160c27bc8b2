"""Count the URLs of a batch: by source in one row of the journal, and all together for the metrics.

The row is written last, and no decision depends on it. After a crash before it, the row is missing: the batch comes
again, and its URLs count as duplicates.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from chalicelib.domain.model import Verdict, VerdictKind
from chalicelib.domain.policy.usage import Usage
from chalicelib.domain.urls import host_of
from chalicelib.ledger import ban_counts, journal
from chalicelib.ledger.reports import Refusal
from chalicelib.pipeline.intake.collect import BatchUrl
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.run import Run
from chalicelib.ports import Value

MOST_SOURCES = 40
"""How many sources a batch's row names, so that it costs few write units. All others count as ``THE_REST``."""

THE_REST = "(others)"

REFUSED = frozenset({VerdictKind.REJECTED, VerdictKind.SUPPRESSED})


def journal_taken(
    run: Run,
    messages: Sequence[Message],
    urls_by_key: Mapping[str, BatchUrl],
    verdicts: Mapping[str, Verdict],
    refusals: Sequence[tuple[Message, Refusal]],
) -> None:
    """Write how many URLs of each source had which verdict."""
    counts: dict[str, Counter[str]] = {}
    for message in messages:
        counts.setdefault(message.source.name, Counter())["messages"] += 1
    for message, refusal in refusals:
        counts[message.source.name][refusal.verdict] += 1
    for key, url in urls_by_key.items():
        kind = verdicts[key].kind
        if not url.others:
            if kind not in REFUSED:  # these are among the refusals
                counts[url.message.source.name][kind.value] += 1
            continue
        claimed = kind in {VerdictKind.BAN, VerdictKind.HOLD}
        for position, (message, reported) in enumerate(url.mentions()):
            own = kind if position == 0 else url.verdict_for(message, reported).kind
            if claimed and position > 0:
                own = VerdictKind.DUPLICATE
            if own not in REFUSED:
                counts[message.source.name][own.value] += 1
    kept: dict[str, Value] = {}
    for index, (source, by_verdict) in enumerate(sorted(counts.items())):
        name = source if index < MOST_SOURCES else THE_REST
        before = kept.get(name)
        kept[name] = dict(by_verdict + Counter(before if isinstance(before, dict) else {}))
    name = hashlib.sha256(",".join(message.message_id for message in messages).encode()).hexdigest()[:12]
    journal.add_taken(run.rows, name, kept, now=run.clock())


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
