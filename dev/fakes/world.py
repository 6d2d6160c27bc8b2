"""All of edgeban in one process, without a socket: the pipeline's own functions over fakes, and a clock to turn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import Source
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.model import Action
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.urls import canonical_url, url_key
from chalicelib.ledger import claims, reports
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.decisions import holds
from chalicelib.pipeline.intake.batch import Taken, intake_reports
from chalicelib.pipeline.intake.deliveries import Receipt, WebhookCall
from chalicelib.pipeline.intake.envelopes import Reading
from chalicelib.pipeline.intake.receive import receive_report
from chalicelib.pipeline.lifecycle.explaining import Explainer
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.submit import Drained, submit_tasks
from chalicelib.pipeline.submission.sweep import sweep
from chalicelib.pipeline.submission.track import Tracked, track_tasks, track_young
from chalicelib.pipeline.waking import TRACKER
from chalicelib.ports import Rows
from chalicelib.reports.signature import sign
from dev.fakes import limits, rights, row_table
from dev.fakes.objects import MemoryViews
from dev.fakes.rows import MemoryRows
from dev.fakes.vendor import FakeVendor
from dev.fakes.wrappers import Crash, Crasher

START = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
SECRET = "whsec_" + "c2VjcmV0" * 5
ACCOUNT = "huawei-main"
POLICY: dict[str, Any] = {
    "version": 1,
    "accounts": {ACCOUNT: {"managed_domains": ["example.com", "*.example.com", "*.example.net"]}},
    "caps": {"per_source_per_hour": 0, "per_host_per_hour": 0, "per_account_per_hour": 0, "share_of_live": 0},
}
SOURCES: dict[str, Any] = {
    "desk": {"auth": "standard-webhooks", "secrets": [SECRET], "category": "phishing"},
    "queue": {"auth": "none", "format": "native"},
}


class Clock:
    """Time that passes only in ``sleep`` and ``advance``."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Sleep through some seconds."""
        self.now += timedelta(seconds=seconds)

    def advance(self, **span: float) -> None:
        """Go on by a span, in the words of ``timedelta``."""
        self.now += timedelta(**span)


@dataclass
class World:
    """State in the open; each method is one function's run."""

    rows: Rows = field(default_factory=MemoryRows)
    clock: Clock = field(default_factory=Clock)
    policy: Policy = field(default_factory=lambda: parse_policy(POLICY))
    sources: dict[str, Source] = field(default_factory=lambda: parse_sources(SOURCES))
    queued: list[dict[str, Any]] = field(default_factory=list)
    wakes: list[str] = field(default_factory=list)
    tracker_wakes: list[str] = field(default_factory=list)
    ended: list[tuple[str, list[str]]] = field(default_factory=list)
    """Reports that may have ended, with their source: the outcomes queue."""
    marks: dict[str, set[str]] = field(default_factory=dict)
    emitted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    views: MemoryViews = field(default_factory=MemoryViews)
    notices: list[tuple[str, str]] = field(default_factory=list)
    """Subjects and texts of what people were told."""
    crasher: Crasher = field(default_factory=Crasher)
    sent: int = 0
    workers: int = 0

    def __post_init__(self) -> None:
        self.vendor = FakeVendor(clock=self.clock)
        if isinstance(self.rows, MemoryRows):
            self.rows.check_named = row_table.check_named

    # --- what the pipeline is given ------------------------------------------------------------------------------

    def emit(self, event: str, /, **fields: object) -> None:
        """See ``Emit``."""
        json.dumps(fields)  # every event must be loggable
        self.emitted.append((event, fields))

    def wake(self, group: str, *, mark: str) -> None:
        """See ``Wake``."""
        limits.check_fifo_id(group)
        limits.check_fifo_id(f"{group}-{mark}")
        rights.note("sqs:SendMessage", "SubmitQueue")
        account = group.removesuffix(TRACKER)
        (self.wakes if account == group else self.tracker_wakes).append(account)

    def notify(self, subject: str, text: str) -> None:
        """See ``Notify``."""
        limits.check_notice(subject, text)
        rights.note("sns:Publish", "Holds")
        self.notices.append((subject, text))

    def call_back(self, source: str, reports: Sequence[str], *, mark: str) -> None:
        """See ``CallBack``."""
        rights.note("sqs:SendMessage", "OutcomesQueue")
        if mark not in self.marks.setdefault(source, set()):
            self.marks[source].add(mark)
            self.ended.append((source, list(reports)))

    def send(self, messages: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """See ``ReportQueue.send``."""
        for body, attributes in messages:
            limits.check_message(body, attributes)
            rights.note("sqs:SendMessage", "ReportsQueue")
            self.sent += 1
            self.queued.append(
                {
                    "messageId": f"m{self.sent}",
                    "body": body,
                    "attributes": {"SentTimestamp": str(round(self.clock().timestamp() * 1000))},
                    "messageAttributes": {n: {"stringValue": v, "dataType": "String"} for n, v in attributes.items()},
                }
            )

    def run(self, *, seconds: float = 1e6) -> Run:
        """Return what one run of a function works with; its calls to the table and its wake-ups may be killed."""
        return Run(
            rows=self.crasher.wrap(self.rows),
            emit=self.emit,
            wake=self.crasher.wrap(self.wake),
            clock=self.clock,
            read_policy=lambda: self.policy,
            sleep=self.clock.sleep,
            deadline=self.clock() + timedelta(seconds=seconds),
            open_views=lambda: self.crasher.wrap(self.views),
            call_back=self.crasher.wrap(self.call_back),
        )

    # --- functions ---------------------------------------------------------------------------------------------------

    def post(
        self,
        document: Any,
        *,
        webhook_id: str = "w1",
        source: str = "desk",
        secret: str = SECRET,
        headers: Mapping[str, str] | None = None,
        at: datetime | None = None,
    ) -> Receipt:
        """Receive a signed report, as the webhook does."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        now = self.clock()
        stamp = int((at or now).timestamp())
        signed = {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": sign(secret, webhook_id, stamp, body),
        }
        call = WebhookCall(source, {**signed, **(headers or {})}, body)
        return receive_report(self.run(), call, self.sources, self.crasher.wrap(self))

    def queue(self, document: Any, *, source: str = "queue", **attributes: str) -> str:
        """Put a message into the reports queue, as a producer does; an empty attribute is left out."""
        body = document if isinstance(document, str) else json.dumps(document)
        given = {"source": source, **attributes}
        self.send([(body, {name: value for name, value in given.items() if value})])
        return str(self.queued[-1]["messageId"])

    def intake(self, *, limit: int = 10_000) -> Taken:
        """Take what is queued; only what succeeds leaves the queue."""
        batch = self.queued[:limit]
        gone: set[str] = set()
        try:
            taken = intake_reports(self.run(), batch, Reading(self.sources))
            gone = {each["messageId"] for each in batch} - set(taken.failed)
        finally:
            self.queued = [each for each in self.queued if each["messageId"] not in gone]
            for record in batch:
                if record["messageId"] not in gone:
                    received = int(record["attributes"].get("ApproximateReceiveCount", 1))
                    record["attributes"]["ApproximateReceiveCount"] = str(received + 1)
        return taken

    def drain(self, *, seconds: float = 140) -> Drained:
        """Run the function that submits tasks."""
        run = self.run(seconds=seconds).at(ACCOUNT)
        return submit_tasks(run, self.crasher.wrap(self.vendor), workers=self.workers)

    def track(self) -> Tracked:
        """Run the function that tracks tasks."""
        return track_tasks(self.run(seconds=40).at(ACCOUNT), self.crasher.wrap(self.vendor))

    def track_young(self) -> Tracked:
        """Track young tasks, as the function that submits does for a wake-up of the tracker."""
        return track_young(self.run(seconds=40).at(ACCOUNT), self.crasher.wrap(self.vendor))

    def seconds(self, count: int) -> None:
        """Let that many seconds pass, with everything that is woken within seconds."""
        look_at = self.clock()
        for _ in range(count):
            self.clock.advance(seconds=1)
            if self.wakes:
                self.wakes.clear()
                self.drain()
            if self.tracker_wakes and self.clock() >= look_at:
                again_after = self.track_young().again_after
                if again_after is None:
                    self.tracker_wakes.clear()
                else:
                    look_at = self.clock() + timedelta(seconds=again_after)

    def sweep(self) -> dict[str, int]:
        """Run the function that sweeps, without its unbans."""
        return sweep(self.run(), self.crasher.wrap(self.notify))

    def approve(self, hold_id: str = "") -> None:
        """Let one person approve a hold: the only one that there is, if none is named."""
        if not hold_id:
            (work,) = holds.all_held(self.rows, [ACCOUNT])
            hold_id = work.chunk
        holds.approve(self.run(), hold_id, actor="ana", reason="seen")

    def minutes(self, count: int = 1) -> None:
        """Let that many minutes pass, with everything that runs every minute."""
        for _ in range(count):
            self.clock.advance(minutes=1)
            if self.queued:
                self.intake()
            self.sweep()
            if self.wakes:
                self.wakes.clear()
                self.drain()
            self.track()

    # --- results ------------------------------------------------------------------------------------------------------

    def state(self, url: str) -> str:
        """Return the state of a URL at the one account, or ``unknown``."""
        (state,) = self.states([url])
        return state

    def states(self, urls: Sequence[str]) -> Counter[str]:
        """Count the states of URLs at the one account."""
        keys = [url_key(ACCOUNT, canonical_url(url)) for url in urls]
        found = claims.read(self.rows, keys, consistent=True, whole=True)
        explained = Explainer(self.rows, now=self.clock()).explain(found.values())
        states = {key: each.state.value for key, each in zip(found, explained, strict=True)}
        return Counter(states.get(key, "unknown") for key in keys)

    def report_states(self, report_id: str) -> dict[str, str]:
        """Return the state of each URL of a report."""
        report = reports.read(self.rows, report_id)
        assert report
        return {status.url: status.state.value for status in url_status.of_report(self.run(), report)}

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the fields of each event of a name."""
        return [fields for event, fields in self.emitted if event == name]

    def live_bans(self, url: str) -> int:
        """Count the vendor's ban tasks of a URL that did not fail. More than one is a double (I2)."""
        return sum(
            url in task.urls
            for task in self.vendor.tasks.values()
            if task.action is Action.BAN and task.state.value != "failed"
        )

    @contextmanager
    def crash(self, at: int, *, after: bool) -> Iterator[None]:
        """Kill what runs in this context at its n-th call to anything outside. Later runs are unharmed."""
        self.crasher.at, self.crasher.after, self.crasher.calls = at, after, 0
        try:
            yield
        except Crash:
            pass
        finally:
            self.crasher.at = 0


def pages(count: int, host: str = "www.example.com") -> list[str]:
    """Return that many URLs of managed hosts."""
    return [f"https://{host}/page/{number}" for number in range(count)]
