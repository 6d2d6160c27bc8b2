"""What operators decided, append-only: found by operator, by subject, and by day for the archive.

What edgeban decides by itself stands in the chunks, tasks and claims.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from chalicelib.ledger import KEEP, journal
from chalicelib.ledger.row import epoch, millis, moment, stamp, text
from chalicelib.ports import Put, Rows, Value


@dataclass(frozen=True, slots=True)
class Decision:
    """One act of an operator. ``subject`` is what it was about: ``hold:<id>``, ``account:<name>``…"""

    actor: str
    action: str
    subject: str
    reason: str
    at: datetime
    before: str = ""
    after: str = ""


def record(rows: Rows, decision: Decision) -> None:
    """Write a decision before it is carried out: the intent is on record even if the function dies on the way."""
    name = f"{stamp(decision.at)}#{secrets.token_hex(4)}"
    attributes: dict[str, Value] = {
        "actor": decision.actor,
        "action": decision.action,
        "about": decision.subject,
        "reason": decision.reason,
        "at": millis(decision.at),
        "before": decision.before,
        "after": decision.after,
        "expires_at": epoch(decision.at + 10 * KEEP),
    }
    day = journal.entry("decision", f"{decision.subject}#{name[-8:]}", now=decision.at)
    rows.write(
        [
            Put({"pk": f"actor#{decision.actor}", "sk": name, **attributes}),
            Put({"pk": f"about#{decision.subject}", "sk": name, **attributes}),
            Put({**attributes, **day}),
        ]
    )


def of_actor(rows: Rows, actor: str, *, limit: int = 100, after: str = "") -> list[tuple[str, Decision]]:
    """Read what an operator did, newest first. Each decision comes with the name after which the next page begins."""
    return _read(rows, f"actor#{actor}", limit, after)


def about(rows: Rows, subject: str, *, limit: int = 100, after: str = "") -> list[tuple[str, Decision]]:
    """Read what was done about a subject, newest first. Each comes with the name after which the next page begins."""
    return _read(rows, f"about#{subject}", limit, after)


def _read(rows: Rows, pk: str, limit: int, after: str) -> list[tuple[str, Decision]]:
    found = rows.query(pk, limit=limit, after=after, newest_first=True)
    return [(text(row, "sk"), _decision(row)) for row in found]


def _decision(row: Mapping[str, Value]) -> Decision:
    at = moment(row, "at")
    assert at
    return Decision(
        actor=text(row, "actor"),
        action=text(row, "action"),
        subject=text(row, "about"),
        reason=text(row, "reason"),
        at=at,
        before=text(row, "before"),
        after=text(row, "after"),
    )
