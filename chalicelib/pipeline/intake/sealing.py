"""The messages that edgeban queues itself: it cuts them, seals them, and knows them again by their seal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from chalicelib.config.sources import Source
from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import InputError
from chalicelib.domain.model import ReportedUrl, Withdrawal
from chalicelib.ledger import reports
from chalicelib.ledger.reports import Report
from chalicelib.reports import native
from chalicelib.reports.signature import seal, sealed

MESSAGE_BYTES = 200 * 1024
"""Largest queue message, in bytes, with room for its attributes below the 256 KB that every SQS queue takes."""


def bodies_of(report: Report, accepted: Sequence[ReportedUrl], withdrawals: Sequence[Withdrawal]) -> list[bytes]:
    """Split the accepted URLs and the withdrawals into the bodies of queue messages."""
    # In bytes, with whatever JSON has to escape.
    parts = list(
        cut(
            accepted,
            count=reports.PART_URLS,
            size=MESSAGE_BYTES,
            size_of=lambda reported: len(native.render([reported])),
        )
    )
    bodies = [native.render(part, correlation_id=report.correlation_id, test=report.test) for part in parts]
    # In messages of their own: a version that does not know withdrawals would refuse the bans beside them.
    parts_withdrawn = cut(
        withdrawals,
        count=reports.PART_URLS,
        size=MESSAGE_BYTES,
        size_of=lambda withdrawal: len(native.render_withdrawals([withdrawal])),
    )
    return bodies + [native.render_withdrawals(part) for part in parts_withdrawn]


def sealed_messages(
    bodies: Sequence[bytes], report: Report, source: Source, key: tuple[str, str]
) -> list[tuple[str, dict[str, str]]]:
    """Make queue messages of bodies, each sealed with a key of edgeban's own, given with its name.

    So another sender to the queue can report only in the name of a source that does not sign. A version that knows no
    keys of edgeban's own looks for the seal that is made with the source's secret.
    """
    name, own = key
    received_at = report.received_at.isoformat()
    attributes = {"source": report.source, "report_id": report.id, "format": "native", "received_at": received_at}
    return [
        (
            body.decode(),
            {
                **attributes,
                "seal": seal(source.secrets[0], report.id, received_at, body),
                "own_seal": f"{name}:{seal(own, f'{report.source}|{report.id}', received_at, body)}",
            },
        )
        for body in bodies
    ]


SealKeys = Callable[[], Mapping[str, str]]
"""Return edgeban's own seal keys by their names."""


def check_sender(source: Source, given: Mapping[str, str], body: str, seal_keys: SealKeys) -> None:
    """Refuse a message that its source did not send: for a source that signs, edgeban must have sealed the message.

    A source that does not sign may not use edgeban's own attributes. Otherwise any sender to the queue could report in
    the name of every source, or add URLs to another source's report. An earlier version sealed only with the source's
    secret.
    """
    ours = given.get("report_id", "")
    if source.auth is None:
        if ours:
            raise InputError("report_id and received_at are edgeban's own attributes: leave both out")
        return
    name, _, own_seal = given.get("own_seal", "").partition(":")
    own_key = seal_keys().get(name) if own_seal else None
    if not sealed(
        own_seal or given.get("seal", ""),
        secrets=((own_key,) if own_key else ()) if own_seal else source.secrets,
        report_id=f"{source.name}|{ours}" if own_seal else ours,
        received_at=given.get("received_at", ""),
        body=body.encode("utf-8", "surrogatepass"),
    ):
        raise InputError(
            f"the source {source.name} reports over HTTPS, and edgeban has not sealed this message: queue reports of a "
            'source of their own, with "auth": "none"'
        )


def received_at_of(attributes: Mapping[str, str]) -> datetime:
    """Return when edgeban received a report that it queued itself. Raises InputError if that is no time."""
    received_at: datetime | None
    try:
        received_at = datetime.fromisoformat(attributes.get("received_at", ""))
    except ValueError:
        received_at = None
    if received_at is None or received_at.tzinfo is None:
        raise InputError("report_id and received_at are edgeban's own attributes: leave both out")
    return received_at
