"""What operators decided. Rows are only added. They are found by operator, by subject, and by day for the archive.

What edgeban decides by itself stands in the chunks, tasks and claims.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast, get_args

from chalicelib.ledger import KEEP, journal
from chalicelib.ledger.row import epoch, millis, moment, number, stamp, text
from chalicelib.ports import Put, Rows, Value

Action = Literal[
    "approve", "ban", "cancel", "export", "pause", "refuse", "resend", "resume", "set_end", "take_over", "unban"
]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)


@dataclass(frozen=True, slots=True)
class Decision:
    """One act of an operator. ``subject`` is what it was about: ``hold:<id>``, ``account:<name>``…"""

    actor: str
    action: Action
    subject: str
    reason: str
    at: datetime
    before: str = ""
    after: str = ""
    targets: int = 0
    """How many URLs the decision was about; 0 if that is not known."""


MOST_SUBJECTS = 100
"""How many further subjects lead to one decision, at most."""

MONTHS = 15
"""How many months back a reader looks for decisions: their rows live for ``10 * KEEP``, which is 400 days."""


def record(rows: Rows, decision: Decision, *, also_about: Sequence[str] = ()) -> None:
    """Write a decision before it is carried out: the intent is on record even if the function dies on the way.

    ``also_about`` are further subjects that lead to it. Only the first ``MOST_SUBJECTS`` count.
    """
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
    if decision.targets:
        attributes["targets"] = decision.targets
    day = journal.entry("decision", f"{decision.subject}#{name[-8:]}", now=decision.at)
    rows.write(
        [
            Put({"pk": f"actor#{decision.actor}", "sk": name, **attributes}),
            Put({"pk": _month(decision.at), "sk": name, **attributes}),
            *(
                Put({"pk": f"about#{subject}", "sk": name, **attributes})
                for subject in dict.fromkeys((decision.subject, *also_about[:MOST_SUBJECTS]))
            ),
            Put({**attributes, **day}),
        ]
    )


def of_actor(rows: Rows, actor: str, *, limit: int = 100, after: str = "") -> list[tuple[str, Decision]]:
    """Read what an operator did, newest first. Each decision comes with the name after which the next page begins."""
    return _read(rows, f"actor#{actor}", limit, after)


def about(rows: Rows, subject: str, *, limit: int = 100, after: str = "") -> list[tuple[str, Decision]]:
    """Read what was done about a subject, newest first. Each comes with the name after which the next page begins."""
    return _read(rows, f"about#{subject}", limit, after)


BEGUN = 2000
"""No decision is older. A place that names an earlier year ends the walk."""


def recent(rows: Rows, *, now: datetime, day: str = "", limit: int, after: str = "") -> list[tuple[str, Decision]]:
    """Read what people decided, newest first, or of a UTC day (``2026-01-15``). Names page as those of ``of_actor``."""
    prefix = day.replace("-", "")
    first = f"{prefix[:6]}01" if day else after[:6] and f"{after[:6]}01"
    month = datetime.strptime(first, "%Y%m%d").replace(tzinfo=UTC) if first else now
    found: list[tuple[str, Decision]] = []
    for _ in range(1 if day else MONTHS):
        behind = after if after.startswith(f"{month:%Y%m}") else ""
        page = rows.query(_month(month), prefix=prefix, after=behind, limit=limit - len(found), newest_first=True)
        found += [(text(row, "sk"), _decision(row)) for row in page]
        if len(found) >= limit or month.year < BEGUN:
            break
        month = month.replace(day=1) - timedelta(days=1)
    return found


def _month(at: datetime) -> str:
    return f"decisions#{at.astimezone(UTC):%Y-%m}"


def _read(rows: Rows, pk: str, limit: int, after: str) -> list[tuple[str, Decision]]:
    found = rows.query(pk, limit=limit, after=after, newest_first=True)
    return [(text(row, "sk"), _decision(row)) for row in found]


def _decision(row: Mapping[str, Value]) -> Decision:
    at = moment(row, "at")
    assert at
    return Decision(
        actor=text(row, "actor"),
        action=cast("Action", text(row, "action")),
        subject=text(row, "about"),
        reason=text(row, "reason"),
        at=at,
        before=text(row, "before"),
        after=text(row, "after"),
        targets=number(row, "targets"),
    )
