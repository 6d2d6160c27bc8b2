"""Record which URLs of a batch were refused, for the reports that named them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chalicelib.domain.model import Verdict, VerdictKind
from chalicelib.ledger import reports
from chalicelib.ledger.reports import Refusal
from chalicelib.pipeline.intake.collect import BatchUrl
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.run import Run

REFUSED = frozenset({VerdictKind.REJECTED, VerdictKind.SUPPRESSED})
"""A report of a URL with one of these verdicts is refused."""


def refusals_of(url: BatchUrl, verdict: Verdict) -> Sequence[tuple[Message, Refusal]]:
    """Return the refusal for each report of a URL that this batch does not ban: by the verdict of that report alone.

    ``verdict`` is the verdict of the report in ``url.message``.
    """
    if not url.others and verdict.kind not in REFUSED:
        return ()
    verdicts = [(message, url.verdict_for(message, reported)) for message, reported in url.mentions()]
    return [
        (message, Refusal(url.url, own.kind.value, own.rule, own.reason, url.account))
        for message, own in verdicts
        if own.kind in REFUSED
    ]


def refusals_in(
    messages: Iterable[Message], refusals: Iterable[tuple[Message, Refusal]]
) -> list[tuple[Message, Refusal]]:
    """Return the refusals of these messages. A message that comes again has its refusals found again."""
    ids = {message.message_id for message in messages}
    return [(message, refusal) for message, refusal in refusals if message.message_id in ids]


def record_refusals(run: Run, refusals: Sequence[tuple[Message, Refusal]]) -> None:
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


def call_back(run: Run, messages: Iterable[Message]) -> None:
    """Have sources called back about reports of which this batch bans no URL: these reports may have ended already."""
    reports_by_source: dict[str, set[str]] = {}
    for message in messages:
        if message.is_called_back:
            reports_by_source.setdefault(message.source.name, set()).add(message.report_id)
    for source, ids in reports_by_source.items():
        run.call_back(source, sorted(ids), mark=f"{min(ids)}-{run.clock().timestamp()}")
