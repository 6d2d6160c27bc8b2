"""Work at one vendor account after the other, none of them stopped by another's failure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from chalicelib.domain.errors import EdgebanError
from chalicelib.ports import Emit

T = TypeVar("T")


def each_account(accounts: Iterable[str], work: Callable[[str], T], *, emit: Emit) -> dict[str, T]:
    """Do the work at each account. What failed is told, and the first failure is raised at the end."""
    done: dict[str, T] = {}
    failed: Exception | None = None
    for account in accounts:
        try:
            done[account] = work(account)
        except Exception as error:  # noqa: BLE001, whatever it is, the other accounts' work goes on
            problem = str(error)[:300] if isinstance(error, EdgebanError) else ""
            emit("account_failed", account=account, kind=type(error).__name__, problem=problem)
            failed = failed or error
    if failed:
        raise failed
    return done
