"""Tell people once when an account leaves the policy while edgeban still has work at it.

edgeban works only at the accounts that the policy names. So nobody would submit, track, renew or lift anything at an
account that a change of the policy removed or renamed, and no alarm of that account would ring.

Crash order: people are told, then the accounts are recorded. After a crash in between they are told again.
"""

from __future__ import annotations

from chalicelib.ledger import due_chunks, policy_versions, remaining, tasks
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows


def tell_of_left_accounts(run: Run) -> None:
    """Compare the policy's accounts with those of the last run, and tell of those that left with work undone."""
    accounts, known = {*run.policy.accounts}, policy_versions.known_accounts(run.rows)
    for account in sorted(known - accounts):
        if work := _work_at(run.rows, account):
            run.emit("account_left", account=account, problem=f"the policy does not name it any more: {work}")
    if known != accounts:
        policy_versions.record_accounts(run.rows, sorted(accounts))


def _work_at(rows: Rows, account: str) -> str:
    """Say in words what is undone at an account; empty if nothing is."""
    waiting = tasks.live(rows, account) or remaining.of_account(rows, account, limit=1)
    ends = any(due_chunks.has_any(rows, purpose, account) for purpose in ("renewals", "ends"))
    return " and ".join(
        words for undone, words in ((waiting, "bans or unbans wait"), (ends, "bans are in force")) if undone
    )
