"""What one run of a function works with, and how a run shares its time among vendor accounts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from chalicelib.domain.errors import EdgebanError
from chalicelib.domain.pacing import Pace
from chalicelib.domain.policy.model import Policy
from chalicelib.ports import CallBack, Emit, Rows, Views, Wake

T = TypeVar("T")

NEVER = datetime.max.replace(tzinfo=UTC)
"""The deadline of a run that has none."""

LONGEST_REST = 1.0
"""Seconds that a run sleeps at most between two beats."""


def _nothing() -> None:
    pass


def _no_views() -> Views:
    raise LookupError("this run was given no views")


def _nobody(source: str, reports: Sequence[str], *, mark: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Run:
    """The collaborators of one run: every function of the pipeline takes them as one argument.

    ``account`` is the vendor account that the run works at; empty where it works at all of them.
    """

    rows: Rows
    emit: Emit
    wake: Wake
    clock: Callable[[], datetime]
    read_policy: Callable[[], Policy]
    sleep: Callable[[float], None] = time.sleep
    deadline: datetime = NEVER
    account: str = ""
    call_back: CallBack = _nobody
    beat: Callable[[], None] = _nothing
    """Say that this run is alive. If it has not said so for some seconds, another run takes over."""
    open_views: Callable[[], Views] = _no_views
    """Open the bucket of views, which hold the index of bans."""

    @property
    def policy(self) -> Policy:
        """The policy as it is now. A run that must decide by one version of it keeps what it read first."""
        return self.read_policy()

    @property
    def time_is_up(self) -> bool:
        """Whether the deadline has passed."""
        return self.clock() >= self.deadline

    def rest(self, seconds: float) -> None:
        """Sleep, and beat meanwhile."""
        while seconds > 0:
            self.beat()
            self.sleep(min(seconds, LONGEST_REST))
            seconds -= LONGEST_REST
        self.beat()

    def pace(self, rate: float, *, last: datetime | None = None, last_calls: int | None = None) -> Pace:
        """Return a pace that limits this run's calls to ``rate`` a second, after those of an earlier run (``Pace``)."""
        return Pace(rate, clock=self.clock, sleep=self.rest, last=last, last_calls=last_calls)

    def paced(self, steps: Iterator[T], pace: Pace) -> Iterator[T]:
        """Take the steps of a vendor's iterator, each when its call is due, and stop at the deadline.

        Ask ``time_is_up`` afterwards: if it is, the caller may not have seen everything.
        """
        while not self.time_is_up:
            pace.wait()
            try:
                yield next(steps)
            except StopIteration:
                return

    def at(self, account: str, *, deadline: datetime | None = None) -> Run:
        """Return the same run at one account, with a deadline of its own if one is given."""
        return replace(self, account=account, deadline=deadline or self.deadline)


AT_ONCE = 16
"""Accounts at which one run works at the same time."""


def all_accounts_at_once(run: Run, accounts: Sequence[str], work: Callable[[Run], T]) -> dict[str, T]:
    """Do the work at all accounts at the same time, so that a slow or failing vendor delays no other.

    For work that waits for vendors. Failures are as in ``each_account``.
    """
    with ThreadPoolExecutor(min(AT_ONCE, len(accounts)) or 1) as pool:
        started = {account: pool.submit(work, run.at(account)) for account in accounts}

    def finished(at_account: Run) -> T:
        return started[at_account.account].result()

    return each_account(run, accounts, finished)


def each_account(run: Run, accounts: Sequence[str], work: Callable[[Run], T]) -> dict[str, T]:
    """Do the work at each account.

    The remaining time is split evenly; time that an account leaves unused goes to the accounts after it. A failure at
    one account is emitted, and the work at the others goes on. The first failure is raised at the end.
    """
    done: dict[str, T] = {}
    first_failure: Exception | None = None
    for position, account in enumerate(accounts):
        now = run.clock()
        deadline = run.deadline
        if deadline != NEVER:
            deadline = now + (run.deadline - now) / (len(accounts) - position)
        try:
            done[account] = work(run.at(account, deadline=deadline))
        except Exception as error:  # noqa: BLE001, whatever it is, the other accounts' work goes on
            problem = str(error)[:300] if isinstance(error, EdgebanError) else ""
            run.emit("account_failed", account=account, kind=type(error).__name__, problem=problem)
            first_failure = first_failure or error
    if first_failure:
        raise first_failure
    return done
