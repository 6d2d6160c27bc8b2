"""A seeded run of reports through the deployed local stack while everything around it breaks.

``python -m dev.fault.storm`` runs seeds in a row: SEEDS=n for the first n, SEED=n for that one, BOUNDED=1 for the
form that every change goes through, VENDORS=all for every vendor instead of Huawei alone, WITHOUT=mechanism to see the
checker fail without it (``shortened.BREAKS``).

A seed fixes what is reported, in which deliveries and order, which faults strike when and how often, and which
function is killed when. How all that falls between each other is up to the machine: a seed that fails is run again
with SEED, and fails again if the cause is not a rare race.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from botocore.exceptions import BotoCoreError, ClientError

from dev.fault import workers
from dev.fault.checker import Demand, Evidence, Judgement, exact, judge, plain
from dev.fault.people import OPERATORS, SOURCES, TOKEN, People
from dev.fault.plan import BOUNDED, EVERY, LONG, POISON, SMALL, Plan, Scale, Way, make_plan
from dev.fault.proxy import FaultProxy, draw_rules
from dev.fault.shortened import BREAKS, INTAKE_VISIBILITY, SUBMIT_TIMEOUT, SUBMIT_VISIBILITY, shortened
from dev.fault.silence import SHORTENED, Alarm, Watch, alarms_in, states_of
from dev.fault.vendor_side import VendorSide
from dev.feed import MANAGED
from dev.local_aws import Changes, FunctionBusy, FunctionFailed, LocalAws
from dev.ministack import LocalAwsError, free_port
from dev.package import ROOT
from dev.redrive import redrive
from dev.vendors import NAMES, Behaviour, simulated

SENDERS = 3
KILLED = {"intake_reports": 6, "submit_tasks": 4, "track_tasks": 3, "sweep": 2, "receive_report": 2}
"""Functions that are killed, and their relative frequencies."""

LOGGING = ("submit_tasks", "track_tasks", "sweep")
"""Functions whose logs hold the alarms that a run may ring."""

STANDS_STILL_SECONDS = 240
"""How long nothing may change in what is under way, before a run counts as one that does not settle."""

SETTLE_SECONDS = 900
"""How long a run may take to settle: a busy machine moves slowly."""

LOOK_SECONDS = 2.0
"""Seconds between two looks at the states of things."""

LIFTED_WITHIN = timedelta(seconds=10)
"""How long after its end a ban may wait for the sweep before a run counts as settled."""

UNCAPPED = {"per_source_per_hour": 0, "per_host_per_hour": 0, "per_account_per_hour": 0, "share_of_live": 0}


def policy(accounts: Sequence[str]) -> dict[str, Any]:
    """Return the policy of a run: larger than a parameter holds, so that it stands in a bucket."""
    filler = {f"*.protected-{number:04}.example.com": "no report names it" for number in range(120)}
    entries = [{"host": host, "comment": comment} for host, comment in filler.items()]
    return {
        "version": 1,
        "accounts": {account: {"managed_domains": list(MANAGED)} for account in accounts},
        "caps": UNCAPPED,
        "protected": entries,
    }


@dataclass(slots=True)
class Outcome:
    """The result of a run."""

    seed: int
    judgements: dict[str, Judgement]
    """By vendor account."""
    faults: Counter[str]
    reports: int
    deliveries: int
    seconds: float
    redriven: int
    silent: list[str] = field(default_factory=list)
    """Things that stood still without an alarm."""
    others: list[str] = field(default_factory=list)
    """Problems that the checker does not look for."""

    @property
    def problems(self) -> list[str]:
        of_accounts = [
            f"{account}: {problem}" for account, found in self.judgements.items() for problem in found.problems
        ]
        silent = [f"{len(self.silent)} silent stops: {'; '.join(self.silent[:5])}"] if self.silent else []
        return [*of_accounts, *silent, *self.others]

    def summary(self) -> str:
        """Return the lines that a run ends with."""
        lines = [
            f"seed {self.seed}: {self.reports:,} reported URLs in {self.deliveries:,} deliveries, {self.seconds:.0f} s",
            f"  faults      {', '.join(f'{count:,} {kind}' for kind, count in sorted(self.faults.items()))}",
            f"  dead letters {self.redriven:,} redriven, silent stops {len(self.silent)}",
        ]
        for account, found in self.judgements.items():
            states = ", ".join(f"{count:,} {state}" for state, count in found.states.most_common())
            lines += [
                f"  {account}: {found.states.total():,} URLs: {states}",
                f"    {found.tasks:,} tasks at the vendor, {found.refused:,} calls refused for their rate",
                f"    losses {len(found.losses)}, doubles {len(found.doubles)}, limit crossings {len(found.crossings)}",
                f"    reversed unbans {len(found.reversed)}, banned past their end {len(found.overstayed)}",
                f"    inexact {len(found.inexact)}, untrue {len(found.untrue)}, unfinished {len(found.left)}",
            ]
        return "\n".join([*lines, *(f"  NOT SO: {problem}" for problem in self.problems)])


class Storm:
    """One run of a seed."""

    def __init__(self, plan: Plan, aws: LocalAws, proxy: FaultProxy, sides: Sequence[VendorSide]) -> None:
        self.plan, self.aws, self.proxy, self.sides = plan, aws, proxy, sides
        self.accounts = [side.name for side in sides]
        self.faults: Counter[str] = Counter()
        self.problems: list[str] = []
        self.watch = Watch(SHORTENED)
        self.redriven = 0
        self._began = 0.0
        self._calm = threading.Event()
        self._over = threading.Event()
        self.people = People(plan, aws, self.accounts, self._over)

    def run(self) -> Outcome:
        """Send everything while things break, let it settle, judge."""
        started, started_at = time.monotonic(), datetime.now(UTC)
        self._configure()
        self.people.deliver(self.plan.first)
        ticking = [threading.Thread(target=self._tick, args=(name, 1.5)) for name in ("track_tasks", "sweep")]
        breaking = [
            threading.Thread(target=work)
            for work in (self._look, self._break_things, self.people.unban_some, self.people.end_some)
        ]
        try:
            for thread in ticking:
                thread.start()
            self._warm_up()
            self._began = time.monotonic()
            for thread in breaking:
                thread.start()
            with ThreadPoolExecutor(SENDERS) as pool:
                list(pool.map(self._deliver_in_time, range(len(self.plan.deliveries))))
            self._calm.wait(timeout=600)
            self._settle()
        finally:
            self._over.set()
            self._calm.set()
            for thread in (*ticking, *breaking):
                if thread.ident:
                    thread.join()
        rows = self._rows_of_table()
        judgements = {side.name: self._judge(side, rows) for side in self.sides}
        self._ask_for_reports()
        for name in LOGGING:
            self.watch.alarms += alarms_in(self.aws.logs(name, since=started_at), SHORTENED)
        self.faults += self.proxy.fired() + self.people.met
        for side in self.sides:
            self.faults += side.faults()
        return Outcome(
            seed=self.plan.seed,
            judgements=judgements,
            faults=self.faults,
            reports=len(self.people.offered),
            deliveries=sum(each.times for each in self.plan.deliveries),
            seconds=time.monotonic() - started,
            redriven=self.redriven,
            silent=self.watch.silent_stops(),
            others=[*self.people.problems, *self.problems],
        )

    # --- before ----------------------------------------------------------------------------------------------------

    def _configure(self) -> None:
        self.aws.configure(
            sources=SOURCES,
            operators=OPERATORS,
            vendors={side.name: side.account.configuration for side in self.sides},
            policy=policy(self.accounts),
        )
        stack = self.aws.stack
        for url, seconds in (
            (stack.reports_queue_url, INTAKE_VISIBILITY),
            (stack.submit_queue_url, SUBMIT_VISIBILITY),
        ):
            self.aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(seconds)})
        self.aws.lambda_.update_function_configuration(
            FunctionName=stack.functions["submit_tasks"], Timeout=SUBMIT_TIMEOUT
        )

    def _warm_up(self) -> None:
        """Wait until each vendor was called: from then on every function has run."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while not all(side.calls() for side in self.sides) and time.monotonic() < deadline:
            time.sleep(0.5)

    def _deliver_in_time(self, index: int) -> None:
        """Send a delivery at its time. All are spread over most of the time in which things break."""
        due = self._began + 0.8 * self.plan.scale.seconds * index / len(self.plan.deliveries)
        self._over.wait(max(0.0, due - time.monotonic()))
        self.people.deliver(self.plan.deliveries[index])

    def _tick(self, function: str, seconds: float) -> None:
        while not self._over.wait(seconds):
            try:
                self.aws.invoke(function)
            except FunctionFailed:
                if function == "sweep":
                    self.watch.alarms.append(Alarm("SweepErrorsAlarm", time.time()))
            except (FunctionBusy, BotoCoreError, ClientError):
                pass

    def _look(self) -> None:
        """Watch the states of things until the run is over."""
        while not self._over.wait(LOOK_SECONDS):
            now = time.time()
            with suppress(BotoCoreError, ClientError):
                seen = list(states_of("", list(self._partition("jobs")), now))
                for account in self.accounts:
                    seen += states_of(
                        account, [*self._partition(f"account#{account}"), *self._live_tasks(account)], now
                    )
                self.watch.look(now, seen)

    # --- breaking --------------------------------------------------------------------------------------------------

    def _break_things(self) -> None:
        try:
            self._break_by_plan()
            self._heal()
        except Exception as error:  # noqa: BLE001 - a run whose storm died is not a run
            self.problems.append(f"the storm ended: {type(error).__name__}: {error}")
            self._over.set()
        finally:
            self._calm.set()

    def _break_by_plan(self) -> None:
        dice, scale = random.Random(f"storm {self.plan.seed}"), self.plan.scale
        begun = self._began
        outages = [(dice.uniform(0.25, 0.35) * scale.seconds, dice.choice(self.sides))]
        policy_at, invalid = dice.uniform(0.1, 0.2) * scale.seconds, 0.0
        while (passed := time.monotonic() - begun) < scale.seconds or len(self.people.accepted) < 0.8 * scale.reports:
            if self._over.is_set() or passed > 4 * scale.seconds:
                break
            if outages and passed >= outages[0][0]:
                outages.pop()[1].outage(dice, scale.outage)
            if not invalid and passed >= policy_at:
                invalid = passed
                self._put_policy(dice.choice(('{"version": 1', '{"version": 2}', '{"object": "policy/none.json"}')))
                self.faults["policy made invalid"] += 1
            if invalid > 0 and passed >= invalid + 6:
                invalid = float("inf")
                self.aws.configure(policy=policy(self.accounts))
            dice.choices((self._break_aws, self._break_vendor, self._kill), weights=(10, 7, 4))[0](dice)
            time.sleep(dice.uniform(0.1, 0.6))

    def _heal(self) -> None:
        """End the faults of AWS now and those of the vendors soon: some strike a few times more.

        All workers end at once, so that later runs begin in new ones.
        """
        for side in self.sides:
            side.calm(self.plan.seed)
        self.proxy.heal()
        self.aws.configure(policy=policy(self.accounts))
        for pid, name in self._workers().items():
            self._end(pid, name)

    def _put_policy(self, text: str) -> None:
        self.aws.ssm.put_parameter(Name=f"/edgeban/{self.aws.stage}/policy", Value=text, Type="String", Overwrite=True)

    def _break_aws(self, dice: random.Random) -> None:
        self.proxy.break_down(draw_rules(dice))

    def _break_vendor(self, dice: random.Random) -> None:
        dice.choice(self.sides).strike(dice)

    def _workers(self) -> dict[int, str]:
        pid = self.aws.supervisor_pid
        return workers.workers(pid) if pid else {}

    def _kill(self, dice: random.Random) -> None:
        name = dice.choices(list(KILLED), weights=list(KILLED.values()))[0]
        moment = dice.uniform(0, 0.3)
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:  # Prefer a worker that is busy.
            at_work = workers.busy({pid: each for pid, each in self._workers().items() if each == name})
            if at_work:
                time.sleep(moment)
                self._end(min(at_work), name)
                return

    def _end(self, pid: int, name: str) -> None:
        if workers.kill(pid):
            self.faults[f"killed {name}"] += 1

    # --- after -----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Wait until nothing is under way. Look seldom: the vendor runs in this process, and looks slow it down."""
        began = moved = time.monotonic()
        at_rest = 0
        waits_for: list[str] = []
        while at_rest < 3:
            now = time.monotonic()
            if now > min(moved + STANDS_STILL_SECONDS, began + SETTLE_SECONDS):
                still = f"for {now - moved:.0f} s nothing changed, of {now - began:.0f} s"
                self.problems.append(f"not settled, {still}: {len(waits_for)} under way: {'; '.join(waits_for[:5])}")
                return
            time.sleep(2)
            before, waits_for = waits_for, self._under_way()
            moved = moved if waits_for == before else time.monotonic()
            at_rest = 0 if waits_for else at_rest + 1
            self.redriven += redrive(
                self.aws.sqs,
                self.aws.stack.reports_dead_letters_url,
                self.aws.stack.reports_queue_url,
                take=lambda message: message["Body"] not in POISON,
            ).moved

    def _under_way(self) -> list[str]:
        """Name the work that is neither over nor held, and the set ends that have not led to a lift yet."""
        latest = max(self.people.ended.values(), default=datetime.now(UTC) - LIFTED_WITHIN)
        found = ["an end that was set"] if datetime.now(UTC) < latest + LIFTED_WITHIN else []
        if messages := self._waiting_reports():
            found.append(f"{messages} messages in the reports queue")
        found += [f"job {row['sk']}" for row in self._partition("jobs")]
        for account in self.accounts:
            for row in self._partition(f"account#{account}"):
                if row["sk"].startswith("live#") or (row["sk"].startswith("chunk#") and row["state"] != "held"):
                    found.append(f"{account} {row['sk']}")
        return found

    def _partition(self, name: str) -> Iterator[dict[str, Any]]:
        pages = self.aws.dynamodb.get_paginator("query").paginate(
            TableName=self.aws.stack.table,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": name}},
        )
        return (plain(item) for page in pages for item in page["Items"])

    def _live_tasks(self, account: str) -> list[dict[str, Any]]:
        """Read the rows of the tasks that are under way, without what they carry."""
        ids = [row["sk"][5:] for row in self._partition(f"account#{account}") if row["sk"].startswith("live#")]
        if not ids:
            return []
        table = self.aws.stack.table
        answer = self.aws.dynamodb.batch_get_item(
            RequestItems={
                table: {
                    "Keys": [{"pk": {"S": f"task#{task_id}"}, "sk": {"S": "task"}} for task_id in ids[:100]],
                    "ProjectionExpression": "pk, sk, #s",
                    "ExpressionAttributeNames": {"#s": "state"},
                }
            }
        )
        return [plain(item) for item in answer["Responses"][table]]

    def _waiting_reports(self) -> int:
        """Messages in the reports queue beside the poison, which stays there until it is a dead letter."""
        attributes = self.aws.sqs.get_queue_attributes(
            QueueUrl=self.aws.stack.reports_queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        poison = sum(each.way is Way.POISON for each in self.plan.deliveries)
        return max(0, sum(map(int, attributes.values())) - poison)

    def _rows_of_table(self) -> list[dict[str, Any]]:
        pages = self.aws.dynamodb.get_paginator("scan").paginate(TableName=self.aws.stack.table, ConsistentRead=True)
        return [plain(item) for page in pages for item in page["Items"]]

    def _judge(self, side: VendorSide, rows: Sequence[dict[str, Any]]) -> Judgement:
        people = self.people
        evidence = Evidence(
            rows=rows,
            tasks=[*side.tasks(), *side.forgotten],
            calls=side.calls(),
            banned=side.banned([exact(url) for url in dict.fromkeys(people.offered)]),
            limits=side.limits,
            forgotten=frozenset(task["id"] for task in side.forgotten),
        )
        demand = Demand(
            people.accepted, people.offered, MANAGED, side.name, people.unbanned, list(people.ended), side.honours
        )
        return judge(evidence, demand)

    def _ask_for_reports(self) -> None:
        """Each of some reports says of itself that it is complete."""
        for report_id in random.Random(self.plan.seed).sample(
            self.people.report_ids, min(10, len(self.people.report_ids))
        ):
            answer = requests.get(
                f"{self.aws.stack.api_url}/v1/reports/{report_id}",
                headers={"Authorization": f"Bearer {TOKEN}"},
                timeout=60,
            )
            if answer.status_code != 200 or answer.json().get("complete") is not True:
                self.problems.append(f"report {report_id} is not complete: {answer.status_code} {answer.text[:300]}")


HUAWEI = NAMES[:1]


def run(
    seed: int,
    scale: Scale,
    *,
    accounts: Sequence[str] = HUAWEI,
    without: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> Outcome:
    """Run one seed from deployment to judgement."""
    plan = make_plan(seed, scale)
    project = shortened(ROOT / ".local" / "-".join(["fault", *without]), without=without)
    with ExitStack() as stack:
        port = free_port()
        proxy = stack.enter_context(FaultProxy(f"http://127.0.0.1:{port}"))
        sides = [VendorSide(account) for account in simulated(accounts, Behaviour(seconds=1, domains=MANAGED))]
        for side in sides:
            side.account.simulator.start()
            stack.callback(side.account.simulator.stop)
        aws = stack.enter_context(
            LocalAws(port=port, project=project, changes=Changes(functions_endpoint=proxy.url), say=say)
        )
        proxy.wait()
        say(f"seed {seed}: {scale.reports:,} reported URLs at {len(sides)} accounts while things break")
        return Storm(plan, aws, proxy, sides).run()


def seeds() -> list[int]:
    """Return the seeds that the environment asks for."""
    one, many = os.environ.get("SEED", ""), os.environ.get("SEEDS", "")
    return [int(one)] if one else list(range(1, int(many or "3") + 1))


def main() -> int:
    without = [name for name in os.environ.get("WITHOUT", "").split(",") if name]
    if unknown := [name for name in without if name not in BREAKS]:
        sys.stderr.write(f"WITHOUT takes {', '.join(BREAKS)}, not {', '.join(unknown)}\n")
        return 2
    bounded, every = os.environ.get("BOUNDED", "") not in {"", "0"}, os.environ.get("VENDORS", "") == "all"
    accounts = NAMES if every else HUAWEI
    scale = (SMALL if bounded else EVERY) if every else (BOUNDED if bounded else LONG)
    failed = []
    for seed in seeds():
        try:
            outcome = run(seed, scale, accounts=accounts, without=without, say=_say)
        except LocalAwsError as error:
            sys.stderr.write(f"seed {seed}: {error}\n")
            return 2
        _say(outcome.summary())
        if outcome.problems:
            failed.append(seed)
    _say(f"{len(seeds()) - len(failed)} of {len(seeds())} seeds hold")
    for seed in failed:
        _say(f"run it again: make fault SEED={seed}{' VENDORS=all' if every else ''}{' BOUNDED=1' if bounded else ''}")
    return 1 if failed else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
