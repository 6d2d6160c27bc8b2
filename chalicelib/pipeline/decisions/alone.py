"""How many URLs one person may let through alone, by approving holds and by banning by hand."""

from __future__ import annotations

from chalicelib.ledger import let_through
from chalicelib.pipeline.run import Run


def may_alone(run: Run, account: str, person: str, urls: int, *, waiting: int = 0) -> bool:
    """Count URLs that a person is about to let through; ``False`` if they are more than one person may let through.

    Then they are not counted: a second person decides as well. One that may not alone because of the size of this one
    decision does not use up the day. ``waiting`` is how many more URLs of the decision wait for a second person
    already. Otherwise the rest of a decision that a crash cut in two would be small enough for one person.
    """
    approvals, now = run.policy.approvals, run.clock()
    if urls + waiting > approvals.two_above:
        return False
    if let_through.add(run.rows, account, person, urls, now=now) + waiting <= approvals.per_person_per_day:
        return True
    let_through.add(run.rows, account, person, -urls, now=now)
    return False
