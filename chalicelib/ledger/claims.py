"""Claims: who owns a URL at a vendor account. The claim is what makes a ban single (I2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.domain.model import UrlState
from chalicelib.ledger import KEEP
from chalicelib.ledger.row import epoch, number, text
from chalicelib.ports import Insert, Key, Row, Rows, Update, Value

READ = ("chunk", "until", "outcome", "cool_until", "report")
"""What deciding about a reported URL needs of its claim."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the ledger holds of one URL at one account.

    ``until`` is the planned end of the ban in epoch seconds. ``outcome`` is set only where the URL ended otherwise
    than its task: rejected or failed by itself, unbanned. ``cool_until``: reports are suppressed until then.
    """

    key: str
    chunk: str
    until: int
    outcome: str = ""
    cool_until: int = 0
    report: str = ""
    url: str = ""
    account: str = ""
    reason: str = ""

    def ended(self, now: datetime) -> bool:
        """Whether a new report of the URL needs a new ban."""
        return self.outcome in ENDED or self.until <= epoch(now)

    def cooling(self, now: datetime) -> bool:
        """Whether reports of the URL are suppressed after an unban."""
        return self.cool_until > epoch(now)


ENDED = frozenset({UrlState.REJECTED, UrlState.FAILED, UrlState.UNBANNED})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A URL that a chunk wants to claim."""

    key: str
    url: str
    report: str


def key_of(url_key: str) -> Key:
    """The key of a URL's claim."""
    return (f"url#{url_key}", "claim")


def _claim(row: Mapping[str, Value]) -> Claim:
    return Claim(
        key=text(row, "pk")[4:],
        chunk=text(row, "chunk"),
        until=number(row, "until"),
        outcome=text(row, "outcome"),
        cool_until=number(row, "cool_until"),
        report=text(row, "report"),
        url=text(row, "url"),
        account=text(row, "account"),
        reason=text(row, "reason"),
    )


def read(rows: Rows, keys: Sequence[str], *, consistent: bool = False, whole: bool = False) -> dict[str, Claim]:
    """Read claims by URL key: half a read unit each unless ``consistent``. ``whole`` reads the URL as well."""
    found = rows.get([key_of(key) for key in keys], consistent=consistent, attributes=() if whole else READ)
    return {pk[4:]: _claim(row) for (pk, _), row in found.items()}


def claim(
    rows: Rows,
    candidates: Sequence[Candidate],
    known: Mapping[str, Claim],
    *,
    chunk: str,
    account: str,
    until: datetime,
    now: datetime,
) -> set[str]:
    """Claim each candidate for ``chunk`` by one conditional write; return the keys that are the chunk's now.

    ``known`` is what a read showed. Safe to repeat: a URL that is the chunk's already counts as won, so that a
    crash between any two of these writes is healed by claiming again for the same chunk.
    """
    won = {each.key for each in candidates if each.key in known and known[each.key].chunk == chunk}
    writes: list[tuple[str, Insert | Update]] = []
    for each in candidates:
        old = known.get(each.key)
        if each.key in won or (old and not old.ended(now)):
            continue
        row = _row(each, chunk=chunk, account=account, until=until)
        if old is None:
            writes.append((each.key, Insert({"pk": f"url#{each.key}", "sk": "claim", **row})))
        else:
            unchanged: dict[str, Value] = {"chunk": old.chunk, "outcome": old.outcome or None}
            writes.append(
                (
                    each.key,
                    Update(key_of(each.key), set=row, expect=unchanged, remove=("outcome", "reason", "cool_until")),
                )
            )
    failed = rows.write([write for _, write in writes])
    won |= {key for index, (key, _) in enumerate(writes) if index not in failed}
    if failed:  # somebody was quicker, or it was ourselves before a crash
        seen = read(rows, [writes[index][0] for index in failed], consistent=True)
        won |= {key for key, found in seen.items() if found.chunk == chunk}
    return won


def _row(candidate: Candidate, *, chunk: str, account: str, until: datetime) -> dict[str, Value]:
    return {
        "url": candidate.url,
        "account": account,
        "chunk": chunk,
        "report": candidate.report,
        "until": epoch(until),
        "expires_at": epoch(until + KEEP),
    }


def end(
    rows: Rows, keys: Iterable[str], *, chunk: str, outcome: UrlState, reason: str, cool_down: timedelta | None = None,
    now: datetime,
) -> None:  # fmt: skip
    """Record that URLs ended otherwise than their task, where they are still the chunk's."""
    change: dict[str, Value] = {"outcome": outcome.value, "reason": reason[:300]}
    if cool_down is not None:
        change["cool_until"] = epoch(now + cool_down)
    expect: Row = {"chunk": chunk}
    rows.write([Update(key_of(key), set=change, expect=expect) for key in keys])
