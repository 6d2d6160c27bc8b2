"""A seeded run of reports through the deployed local stack while everything around it breaks.

``python -m dev.fault.storm`` runs seeds in a row: SEEDS=n for the first n, SEED=n for that one, BOUNDED=1 for the
form that every change goes through, WITHOUT=mechanism to see the checker fail without it (``shortened.BREAKS``).

A seed fixes what is reported, in which deliveries and order, which faults strike when and how often, and which
function is killed when. How all that falls between each other is up to the machine: a seed that fails is run again
with SEED, and fails again if the cause is not a rare race.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.reports.signature import sign
from dev.fault import workers
from dev.fault.checker import Demand, Evidence, Judgement, exact, is_ours, judge, marks, plain
from dev.fault.plan import BOUNDED, FAILING, LONG, POISON, REFUSED, Delivery, Plan, Scale, Way, make_plan
from dev.fault.proxy import FaultProxy, draw_rules
from dev.fault.shortened import BREAKS, INTAKE_VISIBILITY, SUBMIT_TIMEOUT, SUBMIT_VISIBILITY, shortened
from dev.feed import MANAGED
from dev.local_aws import Changes, FunctionBusy, FunctionFailed, LocalAws
from dev.ministack import LocalAwsError, free_port
from dev.package import ROOT
from dev.redrive import redrive
from dev.simulators.huawei import HuaweiSimulator

ACCOUNT = "huawei-main"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
TOKEN = "fault-operator-token-0123456789"
SENDERS = 3
KILLED = {"intake_reports": 6, "submit_tasks": 4, "track_tasks": 3, "sweep": 2, "receive_report": 2}
"""Functions that are killed, and how often compared to each other."""
VENDOR_FAULTS = (
    "429",
    "500",
    "500_after_effect",
    "reset_before",
    "reset_after",
    "slow",
    "slow_after",
    "truncate",
    "html",
    "error_200",
)
REFUSALS = (
    "CDN.0000",
    "CDN.0005",  # the quota is used up
    "APIGW.0308",
    "APIGW.0301",  # the keys are refused
    "CDN.0020",  # the keys lack the permission for some host
    "CDN.0106",  # the state of a host, which passes
    "CDN.0116",
)
"""What the vendor answers with HTTP 200, and takes back after a few calls."""

LIST_LAGS = 6.0
"""Seconds after which the vendor's list shows a task: below the shortened time after which an attempt is repeated."""

SETTLE_SECONDS = 240
UNCAPPED = {"per_source_per_hour": 0, "per_host_per_hour": 0, "per_account_per_hour": 0, "share_of_live": 0}


def policy() -> dict[str, Any]:
    """Return the policy of a run: larger than a parameter holds, so that it stands in a bucket."""
    filler = {f"*.protected-{number:04}.example.com": "no report names it" for number in range(120)}
    entries = [{"host": host, "comment": comment} for host, comment in filler.items()]
    return {
        "version": 1,
        "accounts": {ACCOUNT: {"managed_domains": list(MANAGED)}},
        "caps": UNCAPPED,
        "protected": entries,
    }


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    seed: int
    judgement: Judgement
    faults: Counter[str]
    reports: int
    deliveries: int
    accepted: int
    seconds: float
    redriven: int
    others: list[str] = field(default_factory=list)
    """Problems that are not the checker's to see."""

    @property
    def problems(self) -> list[str]:
        return [*self.judgement.problems, *self.others]

    def summary(self) -> str:
        """Return the lines that a run ends with."""
        found = self.judgement
        states = ", ".join(f"{count:,} {state}" for state, count in found.states.most_common())
        lines = [
            f"seed {self.seed}: {self.reports:,} reported URLs in {self.deliveries:,} deliveries, {self.seconds:.0f} s",
            f"  faults      {', '.join(f'{count:,} {kind}' for kind, count in sorted(self.faults.items()))}",
            f"  URLs        {found.states.total():,} accepted: {states}",
            f"  tasks       {found.tasks:,} at the vendor, {found.refused:,} calls refused for their rate",
            f"  dead letters {self.redriven:,} redriven",
            f"  losses {len(found.losses)}, doubles {len(found.doubles)}, limit crossings {len(found.crossings)}",
            f"  unbanned URLs that are banned again, or not said to be unbanned: {len(found.reversed)}",
            f"  inexact {len(found.inexact)}, untrue {len(found.untrue)}, unfinished {len(found.left)}",
        ]
        return "\n".join([*lines, *(f"  NOT SO: {problem}" for problem in self.problems)])


class Storm:
    """One run of a seed."""

    def __init__(self, plan: Plan, aws: LocalAws, proxy: FaultProxy, vendor: HuaweiSimulator) -> None:
        self.plan, self.aws, self.proxy, self.vendor = plan, aws, proxy, vendor
        self.faults: Counter[str] = Counter()
        self.accepted: list[str] = []
        self.unbanned: list[str] = []
        self.offered: list[str] = []
        self.report_ids: list[str] = []
        self.problems: list[str] = []
        self.forgotten: list[dict[str, Any]] = []
        self.redriven = 0
        self._began = 0.0
        self._lock = threading.Lock()
        self._local = threading.local()
        self._calm = threading.Event()
        self._over = threading.Event()

    def run(self) -> Outcome:
        """Send everything while things break, let it settle, judge."""
        started = time.monotonic()
        self._configure()
        self._deliver(self.plan.first)
        threads = [
            threading.Thread(target=self._tick, args=("track_tasks", 1.5)),
            threading.Thread(target=self._tick, args=("sweep", 1.5)),
            threading.Thread(target=self._break_things),
            threading.Thread(target=self._unban_some),
        ]
        try:
            for thread in threads[:2]:
                thread.start()
            self._warm_up()
            self._began = time.monotonic()
            threads[2].start()
            threads[3].start()
            with ThreadPoolExecutor(SENDERS) as pool:
                list(pool.map(self._deliver_in_time, range(len(self.plan.deliveries))))
            self._calm.wait(timeout=600)
            self._settle()
        finally:
            self._over.set()
            self._calm.set()
            for thread in threads:
                if thread.ident:
                    thread.join()
        judgement = judge(self._evidence(), Demand(self.accepted, self.offered, MANAGED, ACCOUNT, self.unbanned))
        self._ask_for_reports()
        self.faults += self.proxy.fired()
        self.faults.update(f"vendor {call['fault']}" for call in self._calls() if call["fault"])
        return Outcome(
            seed=self.plan.seed,
            judgement=judgement,
            faults=self.faults,
            reports=len(self.offered),
            deliveries=sum(each.times for each in self.plan.deliveries),
            accepted=len(self.accepted),
            seconds=time.monotonic() - started,
            redriven=self.redriven,
            others=self.problems,
        )

    # --- before ----------------------------------------------------------------------------------------------------

    def _configure(self) -> None:
        self.aws.configure(
            sources={
                "desk": {"auth": "standard-webhooks", "secrets": [SECRET], "format": "native"},
                "other": {"auth": "standard-webhooks", "secrets": [OTHER_SECRET], "format": "native"},
                "queue": {"auth": "none", "format": "native"},
            },
            operators={"tester": {"token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "role": "operator"}},
            vendors={ACCOUNT: {"vendor": "huawei", "endpoint": self.vendor.url, **self.vendor.credentials}},
            policy=policy(),
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
        self.vendor.poison(REFUSED, "refuse")
        self.vendor.poison(FAILING, "fail_task")
        self.vendor.list_lags = LIST_LAGS

    def _warm_up(self) -> None:
        """Wait until the first task is at the vendor: from then on every function has run."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self.vendor.tasks() and time.monotonic() < deadline:
            time.sleep(0.5)

    # --- sending ---------------------------------------------------------------------------------------------------

    def _deliver_in_time(self, index: int) -> None:
        """Deliver when its time has come: all are spread over most of the time in which things break."""
        due = self._began + 0.8 * self.plan.scale.seconds * index / len(self.plan.deliveries)
        self._over.wait(max(0.0, due - time.monotonic()))
        self._deliver(self.plan.deliveries[index])

    def _deliver(self, delivery: Delivery) -> None:
        with self._lock:
            self.offered += delivery.urls
        try:
            for _ in range(delivery.times):
                self._send(delivery)
        except (requests.RequestException, BotoCoreError, ClientError) as error:
            with self._lock:
                self.problems.append(f"delivery {delivery.number} was not taken: {error}")

    def _send(self, delivery: Delivery) -> None:
        stack = self.aws.stack
        if delivery.way in {Way.WEBHOOK, Way.FORGED}:
            self._post(delivery)
            return
        if delivery.way is Way.OBJECT:
            key = f"queue/{delivery.number}.json"
            self.aws.s3.put_object(Bucket=stack.intake_bucket, Key=key, Body=delivery.body.encode())
        else:
            self.aws.sqs.send_message(
                QueueUrl=stack.reports_queue_url,
                MessageBody=delivery.body,
                MessageAttributes={"source": {"DataType": "String", "StringValue": "queue"}},
            )
        with self._lock:
            self.accepted += delivery.urls

    def _post(self, delivery: Delivery) -> None:
        """Post until it is taken, as senders of Standard Webhooks do: the same id, a new signature."""
        forged = delivery.way is Way.FORGED
        if not hasattr(self._local, "http"):
            self._local.http = requests.Session()
        body, webhook_id = delivery.body.encode(), f"{self.plan.seed}-{delivery.number}"
        while not self._over.is_set():
            now = int(time.time())
            signature = sign(OTHER_SECRET if forged else SECRET, webhook_id, now, body)
            try:
                answer = self._local.http.post(
                    f"{self.aws.stack.api_url}/v1/reports/desk",
                    data=body,
                    headers={
                        "content-type": "application/json",
                        "webhook-id": webhook_id,
                        "webhook-timestamp": str(now),
                        "webhook-signature": signature,
                    },
                    timeout=60,
                )
            except requests.Timeout:  # the sender knows no more than that it has no answer
                with self._lock:
                    self.faults["webhooks without an answer"] += 1
                continue
            if answer.status_code < 500 and answer.status_code != 429:
                break
            with self._lock:
                self.faults["webhooks answered 5xx"] += 1
            time.sleep(0.5)
        else:
            return
        with self._lock:
            if answer.status_code != (401 if forged else 202):
                self.problems.append(f"{delivery.way} {delivery.number}: {answer.status_code} {answer.text[:200]}")
            elif not forged:
                self.accepted += delivery.urls
                self.report_ids.append(answer.json()["report_id"])

    def _unban_some(self) -> None:
        """Let a person unban URLs that were reported: waiting, under way or banned, as it happens."""
        dice, scale = random.Random(f"unban {self.plan.seed}"), self.plan.scale
        while len(self.unbanned) < scale.unbans and not self._over.wait(0.7 * scale.seconds / scale.unbans):
            with self._lock:
                known = [url for url in dict.fromkeys(self.accepted) if exact(url) and is_ours(exact(url), MANAGED)]
            fit = [url for url in known if url not in self.unbanned and not {REFUSED, FAILING} & set(marks(url))]
            if fit:
                self._unban(dice.choice(fit))

    def _unban(self, url: str) -> None:
        while not self._over.is_set():
            with suppress(requests.RequestException):
                answer = requests.post(
                    f"{self.aws.stack.api_url}/v1/unbans",
                    json={"urls": [url], "reason": "it is clean"},
                    headers={"Authorization": f"Bearer {TOKEN}"},
                    timeout=60,
                )
                if answer.status_code < 500 and answer.status_code != 429:
                    break
            time.sleep(0.5)
        else:
            return
        with self._lock:
            if answer.status_code in {200, 202}:
                self.unbanned.append(url)
                self.faults["URLs unbanned"] += 1
            else:
                self.problems.append(f"unban of {url}: {answer.status_code} {answer.text[:200]}")

    def _tick(self, function: str, seconds: float) -> None:
        while not self._over.wait(seconds):
            with suppress(FunctionBusy, FunctionFailed, BotoCoreError, ClientError):
                self.aws.invoke(function)

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
        outage_at, policy_at = dice.uniform(0.25, 0.35) * scale.seconds, dice.uniform(0.1, 0.2) * scale.seconds
        outage, invalid = False, 0.0
        while (passed := time.monotonic() - begun) < scale.seconds or len(self.accepted) < 0.8 * scale.reports:
            if self._over.is_set() or passed > 4 * scale.seconds:
                break
            if not outage and passed >= outage_at:
                outage = True
                kind = dice.choice(scale.outage_kinds)
                self.vendor.outage(seconds=scale.outage, kind=kind)
            if not invalid and passed >= policy_at:
                invalid = passed
                self._put_policy(dice.choice(('{"version": 1', '{"version": 2}', '{"object": "policy/none.json"}')))
                self.faults["policy made invalid"] += 1
            if invalid > 0 and passed >= invalid + 6:
                invalid = float("inf")
                self.aws.configure(policy=policy())
            dice.choices((self._break_aws, self._break_vendor, self._kill, self._forget), weights=(10, 6, 4, 1))[0](
                dice
            )
            time.sleep(dice.uniform(0.1, 0.6))

    def _heal(self) -> None:
        """AWS is well again, the vendor will be: each of its faults strikes a few times more, and its outage ends.

        All workers end at once, so that what comes next runs in new ones.
        """
        dice = random.Random(f"vendor {self.plan.seed}")
        self.vendor.add_faults()
        for kind in dice.sample(VENDOR_FAULTS, len(VENDOR_FAULTS)):
            fault = self._draw_fault(dice, kind, "create" if dice.random() < 0.7 else "list_tasks")
            self.vendor.add_faults({**fault, "probability": 0.15, "seed": self.plan.seed})
        self.proxy.heal()
        self.aws.configure(policy=policy())
        for pid, name in self._workers().items():
            self._end(pid, name)

    def _put_policy(self, text: str) -> None:
        self.aws.ssm.put_parameter(Name=f"/edgeban/{self.aws.stage}/policy", Value=text, Type="String", Overwrite=True)

    def _break_aws(self, dice: random.Random) -> None:
        self.proxy.break_down(draw_rules(dice))

    def _break_vendor(self, dice: random.Random) -> None:
        match = dice.choice(("create", "create", "list_tasks"))
        self.vendor.add_faults(self._draw_fault(dice, dice.choice(VENDOR_FAULTS), match))

    def _draw_fault(self, dice: random.Random, kind: str, match: str) -> dict[str, Any]:
        fault: dict[str, Any] = {"match": match, "kind": kind, "times": dice.randint(1, 3)}
        if kind.startswith("slow"):
            fault["seconds"] = dice.uniform(0.5, 3)
        if kind == "error_200":
            fault["code"] = dice.choice(REFUSALS)
        return fault

    def _forget(self, dice: random.Random) -> None:
        """Let the vendor's list lose a task that is under way."""
        under_way = [each for each in self.vendor.tasks(urls=True) if each["state"] == "processing"]
        if under_way and len(self.forgotten) < 2:
            task = dice.choice(under_way)
            self.vendor.forget_task(task["id"])
            self.forgotten.append(task)
            self.faults["vendor task forgotten"] += 1

    def _workers(self) -> dict[int, str]:
        pid = self.aws.supervisor_pid
        return workers.workers(pid) if pid else {}

    def _kill(self, dice: random.Random) -> None:
        name = dice.choices(list(KILLED), weights=list(KILLED.values()))[0]
        moment = dice.uniform(0, 0.3)
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:  # at work, if it can be had
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
        """Wait until nothing is under way. The vendor runs in this process: what takes long here would slow it down."""
        deadline = time.monotonic() + SETTLE_SECONDS
        at_rest = 0
        while at_rest < 3 and time.monotonic() < deadline:
            time.sleep(2)
            at_rest = 0 if self._under_way() or self._waiting_reports() else at_rest + 1
            self.redriven += redrive(
                self.aws.sqs,
                self.aws.stack.reports_dead_letters_url,
                self.aws.stack.reports_queue_url,
                take=lambda message: message["Body"] not in POISON,
            ).moved

    def _under_way(self) -> bool:
        """Whether the account has chunks or tasks that are neither over nor held, or an unban is not carried out."""
        pages = self.aws.dynamodb.get_paginator("query").paginate(
            TableName=self.aws.stack.table,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": f"account#{ACCOUNT}"}},
        )
        rows = [plain(item) for page in pages for item in page["Items"]]
        jobs = self.aws.dynamodb.query(
            TableName=self.aws.stack.table,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "jobs"}},
        )["Items"]
        return bool(jobs) or any(
            row["sk"].startswith("live#") or (row["sk"].startswith("chunk#") and row["state"] != "held") for row in rows
        )

    def _waiting_reports(self) -> int:
        """Messages in the reports queue beside the poison, which stays there until it is a dead letter."""
        attributes = self.aws.sqs.get_queue_attributes(
            QueueUrl=self.aws.stack.reports_queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        poison = sum(each.way is Way.POISON for each in self.plan.deliveries)
        return max(0, sum(map(int, attributes.values())) - poison)

    def _calls(self) -> list[dict[str, Any]]:
        return self.vendor.calls(0, 1_000_000)

    def _evidence(self) -> Evidence:
        pages = self.aws.dynamodb.get_paginator("scan").paginate(TableName=self.aws.stack.table, ConsistentRead=True)
        return Evidence(
            rows=[plain(item) for page in pages for item in page["Items"]],
            tasks=[*self.vendor.tasks(urls=True), *self.forgotten],
            calls=self._calls(),
            banned=frozenset(self.vendor.banned()),
            forgotten=frozenset(each["id"] for each in self.forgotten),
        )

    def _ask_for_reports(self) -> None:
        """Each of some reports says of itself that it is complete."""
        for report_id in random.Random(self.plan.seed).sample(self.report_ids, min(10, len(self.report_ids))):
            answer = requests.get(
                f"{self.aws.stack.api_url}/v1/reports/{report_id}",
                headers={"Authorization": f"Bearer {TOKEN}"},
                timeout=60,
            )
            if answer.status_code != 200 or answer.json().get("complete") is not True:
                self.problems.append(f"report {report_id} is not complete: {answer.status_code} {answer.text[:300]}")


def run(seed: int, scale: Scale, *, without: Sequence[str] = (), say: Callable[[str], None] = print) -> Outcome:
    """Run one seed from deployment to judgement."""
    plan = make_plan(seed, scale)
    project = shortened(ROOT / ".local" / "-".join(["fault", *without]), without=without)
    layers = Path(".chalice") / "deployments"
    if (ROOT / layers).is_dir() and not (project / layers).exists():
        shutil.copytree(ROOT / layers, project / layers)  # the dependencies are the same
    with ExitStack() as stack:
        port = free_port()
        proxy = stack.enter_context(FaultProxy(f"http://127.0.0.1:{port}"))
        vendor = stack.enter_context(HuaweiSimulator(task_seconds=1, domains=MANAGED))
        aws = stack.enter_context(
            LocalAws(port=port, project=project, changes=Changes(functions_endpoint=proxy.url), say=say)
        )
        proxy.wait()
        say(f"seed {seed}: {scale.reports:,} reported URLs while things break")
        return Storm(plan, aws, proxy, vendor).run()


def seeds() -> list[int]:
    """Return the seeds that the environment asks for."""
    one, many = os.environ.get("SEED", ""), os.environ.get("SEEDS", "")
    return [int(one)] if one else list(range(1, int(many or "3") + 1))


def main() -> int:
    without = [name for name in os.environ.get("WITHOUT", "").split(",") if name]
    if unknown := [name for name in without if name not in BREAKS]:
        sys.stderr.write(f"WITHOUT takes {', '.join(BREAKS)}, not {', '.join(unknown)}\n")
        return 2
    scale = BOUNDED if os.environ.get("BOUNDED", "") not in {"", "0"} else LONG
    failed = []
    for seed in seeds():
        try:
            outcome = run(seed, scale, without=without, say=_say)
        except LocalAwsError as error:
            sys.stderr.write(f"seed {seed}: {error}\n")
            return 2
        _say(outcome.summary())
        if outcome.problems:
            failed.append(seed)
    _say(f"{len(seeds()) - len(failed)} of {len(seeds())} seeds hold")
    for seed in failed:
        _say(f"run it again: make fault SEED={seed}")
    return 1 if failed else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
