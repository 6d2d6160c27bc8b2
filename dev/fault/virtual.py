"""The storm with all vendors in one process and in virtual time: the pipeline's own functions, strict simulators.

Functions are killed before or after any of their calls, vendors break in all the ways of ``vendor_side``, and the
judge is that of the deployed storm. A seed fixes everything: one that fails, fails again. ``python -m
dev.fault.virtual`` runs SEEDS=n or SEED=n. A minute here is a minute of the product, so every time is the real one.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.errors import BadSignature
from chalicelib.observe import TROUBLES
from chalicelib.pipeline.decisions import ban_by_hand, by_hand_request
from chalicelib.pipeline.submission.submit import submit_tasks
from chalicelib.pipeline.submission.track import track_tasks
from chalicelib.ports import BanVendor
from chalicelib.vendors.http import VendorHttp
from dev.fakes.operations import carry_on_all, undo
from dev.fakes.rows import MemoryRows
from dev.fakes.world import POLICY, World
from dev.fakes.wrappers import Crash
from dev.fault.checker import Demand, Evidence, Judgement, exact, is_ours, judge, marks
from dev.fault.plan import ENDING, Delivery, Plan, Scale, Way, make_plan
from dev.fault.silence import ALLOWED, Watch, alarms_of, states_of
from dev.fault.vendor_side import Times, VendorSide
from dev.feed import MANAGED
from dev.vendors import NAMES, Behaviour, connected, simulated

REAL = Times(list_lags=30.0, long_lag=200.0, lasting=(40.0, 400.0), drip=0.1, late=0.02)
"""Durations of a vendor's faults. Pauses between two bytes are short, since the machine's clock measures them."""

TIMEOUT = 0.8
"""Seconds of the machine's clock until an answer times out: a busy machine takes less for one that does not drip."""

SCALE = Scale("virtual", reports=160, deliveries=24, seconds=24 * 60, outage=300, unbans=8, ends=4)
TASK_SECONDS = 20.0
STEP = timedelta(seconds=20)
STEPS_A_DELIVERY = 3
CALM_MINUTES = [1] * 30 + [2] * 50
"""Minutes of each step until all has settled: a task that the vendor forgot is given up after an hour."""

LONGEST_BAN = timedelta(days=8)
"""Time after which no ban of a run is in force: each is for seven days."""

WRONG_SECRET = "whsec_" + "d3Jvbmch" * 5


class Observed(World):
    """A world whose events ring the alarms that a watch listens for."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.watch = Watch(ALLOWED)

    def emit(self, event: str, /, **fields: object) -> None:
        """See ``Emit``."""
        values: dict[str, Any] = {**fields, "1": 1}
        causes = [trouble.cause for trouble in TROUBLES.get(event, ()) if values.get(trouble.field)]
        self.watch.alarms += alarms_of(event, fields, causes, at=self.clock().timestamp(), allowed=ALLOWED)


@dataclass
class VirtualStorm:
    """One run of a seed."""

    plan: Plan
    world: Observed
    sides: Sequence[VendorSide]
    clients: Mapping[str, BanVendor]
    accepted: list[str] = field(default_factory=list)
    offered: list[str] = field(default_factory=list)
    unbanned: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    kills: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(f"virtual {self.plan.seed}")
        self.breaks = True

    def run(self) -> Outcome:
        """Send everything while things break, let it settle, judge; then let all bans end."""
        for delivery in (self.plan.first, *self.plan.deliveries):
            self._deliver(delivery)
            self._act_as_a_person()
            for side in self.dice.sample(list(self.sides), 2):
                side.strike(self.dice)
            if self.dice.random() < 0.08:
                self.dice.choice(list(self.sides)).outage(self.dice, SCALE.outage)
            for _ in range(STEPS_A_DELIVERY):
                self._step(STEP)
        self.breaks = False
        for side in self.sides:
            side.calm(self.plan.seed)
        for minutes in CALM_MINUTES:
            self._step(timedelta(minutes=minutes))
        outcome = Outcome(self.plan.seed, {side.name: self._judge(side) for side in self.sides}, self._faults())
        outcome.silent = self.world.watch.silent_stops()
        outcome.others = [*self.problems, *self._bans_that_never_end()]
        return outcome

    # --- time ------------------------------------------------------------------------------------------------

    def _step(self, span: timedelta) -> None:
        """Let time pass, and run every function that is due. Each may be killed at any call."""
        world = self.world
        world.clock.now += span
        if world.queued:
            self._maybe_killed(world.intake)
        self._maybe_killed(world.sweep)
        self._maybe_killed(lambda: carry_on_all(world))
        woken, world.wakes = dict.fromkeys(world.wakes), []
        for account in woken:
            if not self._maybe_killed(lambda account=account: self._drain(account)):  # type: ignore[misc]
                world.wakes.append(account)  # the wake-up is delivered again
        for account in self.clients:
            self._maybe_killed(lambda account=account: self._track(account))  # type: ignore[misc]
        self._look()

    def _look(self) -> None:
        """Watch the states of things."""
        rows, now = self.world.rows, self.world.clock().timestamp()
        seen = list(states_of("", rows.query("jobs"), now))
        for account in self.clients:
            of_account = rows.query(f"account#{account}")
            live = [(f"task#{str(row['sk'])[5:]}", "task") for row in of_account if str(row["sk"]).startswith("live#")]
            seen += states_of(account, [*of_account, *rows.get(live).values()], now)
        self.world.watch.look(now, seen)

    def _drain(self, account: str) -> None:
        client = self.world.crasher.wrap(self.clients[account])
        if submit_tasks(self.world.run(seconds=140).at(account), client, workers=0).unfinished:
            self.world.wakes.append(account)

    def _track(self, account: str) -> None:
        track_tasks(self.world.run(seconds=40).at(account), self.world.crasher.wrap(self.clients[account]))

    def _maybe_killed(self, work: Callable[[], object]) -> bool:
        """Do the work, or die in it; return whether it was done."""
        crasher = self.world.crasher
        crasher.calls, crasher.at = 0, 0
        if self.breaks and self.dice.random() < 0.08:
            crasher.at, crasher.after = self.dice.randint(1, 25), self.dice.random() < 0.5
        try:
            work()
        except Crash:
            self.kills += 1
            return False
        finally:
            crasher.at = 0
        return True

    # --- people ----------------------------------------------------------------------------------------------

    def _deliver(self, delivery: Delivery) -> None:
        self.offered += delivery.urls
        for _ in range(delivery.times):
            if delivery.way in {Way.MESSAGE, Way.OBJECT, Way.POISON}:
                self.world.queue(delivery.body)
            else:
                self._post(delivery)
        if delivery.way is not Way.FORGED:
            self.accepted += delivery.urls

    def _post(self, delivery: Delivery) -> None:
        name, body = f"{self.plan.seed}-{delivery.number}", delivery.body.encode()
        if delivery.way is Way.FORGED:
            try:
                self.world.post(body, webhook_id=name, secret=WRONG_SECRET)
            except BadSignature:
                return
            self.problems.append(f"a forged report was accepted: {name}")
        while not self._maybe_killed(lambda: self.world.post(body, webhook_id=name)):
            pass  # The sender saw no answer and sends again.

    def _act_as_a_person(self) -> None:
        known = [url for url in dict.fromkeys(self.accepted) if exact(url) and is_ours(exact(url), MANAGED)]
        fit = [url for url in known if url not in self.unbanned and not marks(url)]
        if fit and len(self.unbanned) < SCALE.unbans and self.dice.random() < 0.5:
            url = self.dice.choice(fit)
            self.unbanned.append(url)
            while not self._maybe_killed(lambda: undo(self.world, urls=(exact(url),))):
                pass
        ending = [url for url in known if ENDING in url and url not in self.ended]
        if ending:
            self._set_end(ending[0])

    def _set_end(self, url: str) -> None:
        """Give the bans of a URL an end soon, once they are in force at every account."""
        end = self.world.clock() + timedelta(minutes=self.dice.randint(2, 10))
        asked = by_hand_request.Request(
            "ana", "ana", "it is clean then", (url,), end=end, only_in_force=True, sources=tuple(self.world.sources)
        )
        if len(ban_by_hand.preview(self.world.run(), asked).items) == len(self.sides):
            self.ended.append(url)
            while not self._maybe_killed(lambda: ban_by_hand.ban(self.world.run(), asked)):
                pass

    # --- afterwards ------------------------------------------------------------------------------------------

    def _rows(self) -> list[dict[str, Any]]:
        assert isinstance(self.world.rows, MemoryRows)
        return [dict(row) for row in self.world.rows.rows.values()]

    def _judge(self, side: VendorSide) -> Judgement:
        evidence = Evidence(
            rows=self._rows(),
            tasks=[*side.tasks(), *side.forgotten],
            calls=side.calls(),
            banned=side.banned([exact(url) for url in dict.fromkeys(self.offered)]),
            limits=side.limits,
            forgotten=frozenset(task["id"] for task in side.forgotten),
        )
        demand = Demand(self.accepted, self.offered, MANAGED, side.name, self.unbanned, self.ended, side.honours)
        return judge(evidence, demand)

    def _bans_that_never_end(self) -> list[str]:
        """Let all bans come to their planned end; name what a vendor still blocks then."""
        for side in self.sides:
            side.account.simulator.add_faults()
        self.world.clock.now += LONGEST_BAN
        for _ in range(30):
            self._step(timedelta(minutes=1))
        urls = [exact(url) for url in dict.fromkeys(self.offered)]
        left = {side.name: side.banned(urls) for side in self.sides}
        return [f"{name}: {len(left[name])} URLs banned past their planned end" for name in left if left[name]]

    def _faults(self) -> Counter[str]:
        counted = Counter({"killed": self.kills})
        for side in self.sides:
            counted += side.faults()
        return counted


@dataclass(slots=True)
class Outcome:
    """The result of a run."""

    seed: int
    judgements: dict[str, Judgement]
    faults: Counter[str]
    silent: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        found = [f"{name}: {problem}" for name, judged in self.judgements.items() for problem in judged.problems]
        return [*found, *(f"silent stop: {stop}" for stop in self.silent), *self.others]

    def summary(self) -> str:
        """Return the lines that a run ends with."""
        states: Counter[str] = Counter()
        for judged in self.judgements.values():
            states += judged.states
        lines = [
            f"seed {self.seed}: {', '.join(f'{count:,} {state}' for state, count in states.most_common())}",
            f"  {self.faults.total():,} faults in {len(self.faults)} kinds, {self.faults['killed']} kills",
        ]
        return "\n".join([*lines, *(f"  NOT SO: {problem}" for problem in self.problems)])


def run(seed: int, accounts: Sequence[str] = NAMES) -> Outcome:
    """Run one seed."""
    world = Observed()
    clock: Callable[[], datetime] = world.clock
    behaviour = Behaviour(TASK_SECONDS, lambda: clock().timestamp(), settles=True, domains=MANAGED)
    http = VendorHttp(read_timeout=TIMEOUT, total_timeout=TIMEOUT)
    with ExitStack() as stack:
        stack.callback(http.close)
        sides = [VendorSide(account, REAL) for account in simulated(accounts, behaviour)]
        for side in sides:
            side.account.simulator.start()
            stack.callback(side.account.simulator.stop)
        domains = {"managed_domains": list(MANAGED)}
        world.policy = parse_policy({**POLICY, "accounts": dict.fromkeys(accounts, domains)})
        clients = {side.name: connected(side.account, clock, http) for side in sides}
        return VirtualStorm(make_plan(seed, SCALE), world, sides, clients).run()


def main() -> int:
    one, many = os.environ.get("SEED", ""), os.environ.get("SEEDS", "")
    failed = 0
    for seed in [int(one)] if one else range(1, int(many or "5") + 1):
        outcome = run(seed)
        print(outcome.summary(), flush=True)
        failed += bool(outcome.problems)
    print("every seed holds" if not failed else f"{failed} seeds do not hold", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
