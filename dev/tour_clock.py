"""Show months under a turned clock: the pipeline's own functions over a table of the local AWS.

The time and the vendor are simulated, and share one clock. The ledger is DynamoDB's, the vendor is called through its
own client, and the drift report goes to the archive bucket. Queues are left out, since their clock cannot be turned.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from chalicelib.aws.dynamodb import Table
from chalicelib.aws.s3 import Bucket
from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.model import VendorAccount
from chalicelib.ledger import tasks
from chalicelib.pipeline.intake.batch import intake_reports
from chalicelib.pipeline.intake.envelopes import Reading
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.submit import submit_tasks
from chalicelib.pipeline.submission.track import track_tasks
from chalicelib.pipeline.upkeep.drift import Drift, detect_drift
from chalicelib.pipeline.upkeep.renew import renew_bans
from chalicelib.vendors.huawei.client import connect
from dev.local_aws import LocalAws
from dev.simulators.huawei import HuaweiSimulator

ACCOUNT = "turned-clock"
PLANNED_DAYS = 90
RENEW_HOURS = 6
"""How often ``renew_bans`` runs here; deployed it runs every hour."""

POLICY: Mapping[str, Any] = {
    "version": 1,
    "accounts": {ACCOUNT: {"managed_domains": ["*.example.com"]}},
    "categories": {"phishing": {"ban_for_days": PLANNED_DAYS}},
}
URLS = [f"https://tour.example.com/{number}" for number in range(40)]


class Seen(NamedTuple):
    """One line of the tour: its subject, what was seen, and whether that is right."""

    about: str
    what: str
    right: bool = True


class TurnedClock:
    """Time that passes only when a step sets it forward or sleeps."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def timestamp(self) -> float:
        return self.time.timestamp()


class Turned:
    """A vendor account, a table of its own and a clock for both; each method is one function's run."""

    def __init__(self, aws: LocalAws, table: str) -> None:
        self._aws = aws
        self.clock = TurnedClock()
        self.vendor = HuaweiSimulator(task_seconds=30, clock=self.clock.timestamp)
        credentials = self.vendor.credentials
        self._client = connect(VendorAccount(ACCOUNT, "huawei", self.vendor.url, credentials), clock=self.clock)
        self._policy = parse_policy(POLICY)
        self._rows = Table(aws.dynamodb, table)
        self._woken = False
        aws.dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )

    def report(self, urls: list[str], **fields: object) -> None:
        """Take a report as from the queue, and carry its bans out."""
        record = {
            "messageId": "1",
            "body": json.dumps({"urls": urls, **fields}),
            "attributes": {"SentTimestamp": str(round(self.clock.timestamp() * 1000))},
            "messageAttributes": {"source": {"stringValue": "tour", "dataType": "String"}},
        }
        intake_reports(self._run(), [record], Reading(parse_sources({"tour": {"auth": "none", "format": "native"}})))
        self.go_on()

    def renew(self) -> int:
        renewed = renew_bans(self._run())
        self.go_on()
        return renewed

    def detect_drift(self) -> Drift:
        found = detect_drift(self._run(), self._client, Bucket(self._aws.s3, self._aws.stack.bucket))
        self.go_on()
        return found

    def _run(self) -> Run:
        return Run(
            rows=self._rows,
            emit=_say_nothing,
            wake=self._wake,
            clock=self.clock,
            read_policy=lambda: self._policy,
            sleep=self.clock.sleep,
            deadline=self.clock() + timedelta(minutes=10),
            account=ACCOUNT,
        )

    def go_on(self) -> None:
        """Submit what waits if the submitter was woken, and follow it to its end."""
        if not self._woken:
            return
        self._woken = False
        submit_tasks(self._run(), self._client, workers=0)
        while tasks.live(self._rows, ACCOUNT):
            self.clock.sleep(60)
            track_tasks(self._run(), self._client)

    def open_at_the_edge(self, urls: list[str]) -> list[str]:
        return [url for url in urls if self.vendor.edge_status(url) != 403]

    def _wake(self, group: str, *, mark: str) -> None:  # noqa: ARG002, as the port has it
        self._woken = True


def _say_nothing(event: str, /, **fields: object) -> None:
    pass


def show_drift(aws: LocalAws, say: Callable[[Seen], None]) -> None:
    """Lose some bans at the vendor, invent others, and show what the daily comparison does."""
    turned = Turned(aws, "tour-drift")
    with turned.vendor:
        turned.report(URLS, category="spam")
        lost, invented = URLS[:3], ["https://tour.example.com/invented-1", "https://tour.example.com/invented-2"]
        turned.clock.sleep(2 * 3600)
        for url in lost:
            turned.vendor.lose_ban(url)
        for url in invented:
            turned.vendor.invent_ban(url)
        found = turned.detect_drift()
        ours = f"{len(URLS)} bans, of which the vendor lost {len(lost)}; it invented {len(invented)}"
        say(
            Seen(
                "drift",
                f"{ours}: {len(found.missing)} missing, {len(found.unknown)} unknown, {found.rebanned} banned again",
                sorted(found.missing) == lost and sorted(found.unknown) == invented and found.rebanned == len(lost),
            )
        )
        stored = Bucket(aws.s3, aws.stack.bucket).get(found.key)
        assert stored
        report = json.loads(stored)
        say(Seen("drift", f"the report is in the archive: {found.key}", sorted(report["missing"]["first"]) == lost))
        open_now = turned.open_at_the_edge(lost)
        turned.clock.sleep(2 * 3600)
        again = turned.detect_drift()
        say(
            Seen(
                "drift",
                f"two hours later: {len(again.missing)} missing, {len(again.unknown)} unknown, left to a person",
                not open_now and not again.missing and sorted(again.unknown) == invented,
            )
        )


def show_ninety_days(aws: LocalAws, say: Callable[[Seen], None]) -> None:
    """Carry a ban of 90 days by successive vendor bans of at most 30, and look at the edge every hour."""
    turned = Turned(aws, "tour-renewal")
    with turned.vendor:
        turned.report(URLS, category="phishing")
        began = turned.clock()
        gaps: list[str] = []
        looked = 0
        while turned.clock() < began + timedelta(days=PLANNED_DAYS, hours=-1):
            for _ in range(RENEW_HOURS):
                turned.clock.sleep(3600)
                if turned.clock() < began + timedelta(days=PLANNED_DAYS):
                    looked += 1
                    gaps += turned.open_at_the_edge(URLS)
            turned.renew()
        planned = list(_task_lines(turned, began))
        for line in planned:
            say(Seen("renewal", line))
        gap = f"{len(gaps)} answers were not 403" if gaps else "no gap"
        say(
            Seen(
                "renewal",
                f"{looked:,} hours of {PLANNED_DAYS} days looked at, {len(URLS)} URLs each: {gap}",
                not gaps and len(planned) >= PLANNED_DAYS // 30,
            )
        )
        turned.clock.sleep(2 * 86_400)
        renewed = turned.renew()
        left = len(URLS) - len(turned.open_at_the_edge(URLS))
        say(
            Seen(
                "renewal", f"two days after the planned end: {left} URLs banned, {renewed} renewed", not left + renewed
            )
        )


def _task_lines(turned: Turned, began: datetime) -> list[str]:
    lines = []
    for number, task in enumerate(turned.vendor.tasks(), 1):
        day = round((datetime.fromtimestamp(task["created"], UTC) - began) / timedelta(days=1))
        lines.append(f"day {day:2}: task {number}, {task['url_count']} URLs for {task['days']:2} days, {task['state']}")
    return lines
