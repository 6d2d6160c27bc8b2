"""Run the pipeline's own functions in one process and in virtual time: what waits for what, without a machine's noise.

Time passes only where AWS or the vendor make us wait: the queue's batching window, a function's duration (a constant
for a call and one for a URL), the submit queue's delay, the vendor's rate. Everything else is the code that ships, over
the table in memory. While a drain sleeps between calls, reports, intakes and sweeps that are due happen.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from bench.local import ACCOUNT, OPEN_CAPS, SOURCE
from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.ledger import tasks
from chalicelib.pipeline.answers.due_outcomes import name_due_reports
from chalicelib.pipeline.answers.outcomes import deliver_outcomes
from chalicelib.pipeline.answers.receiver_calls import CallsAtOnce
from chalicelib.pipeline.intake.batch import intake_reports
from chalicelib.pipeline.intake.deliveries import WebhookCall
from chalicelib.pipeline.intake.envelopes import Reading
from chalicelib.pipeline.intake.receive import receive_report
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.submit import submit_tasks
from chalicelib.pipeline.submission.sweep import sweep
from chalicelib.pipeline.submission.track import track_tasks, track_young
from chalicelib.pipeline.waking import begin_tracking
from dev.fakes.rows import MemoryRows
from dev.fakes.vendor import FakeVendor

SECRET = "a-token-of-this-run-alone"
CALLED_BACK = {
    "auth": "bearer",
    "secrets": [SECRET],
    "format": "native",
    "callback_url": "https://hooks.example.com/outcomes",
    "callback_secret": "whsec_" + "c2VjcmV0" * 5,
}
"""A source that sends webhooks and wants to be called back."""

START = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
EVENLY = 1_000
SUBMIT_SECONDS = 140.0
"""How long a drain may run."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long AWS makes us wait, in seconds. The run in virtual time and the simulation share these figures."""

    batch_window: float = 1.0
    batch_messages: int = 1_000
    door: float = 0.1
    """Seconds that ``receive_report`` takes, where reports come by webhook."""
    receive: float = 0.05
    """Seconds until a message is in the queue."""
    intake_call: float = 0.15
    intake_url: float = 0.0003
    task: float = 2.0
    """Seconds that the vendor works on a task."""
    wake_hop: float = 0.06
    """Seconds from sending a wake-up until its function begins."""
    drain_begin: float = 0.05
    """Seconds until a drain has read the waiting chunks."""
    call: float = 0.3
    """Seconds until the vendor has answered, and the answer is recorded."""
    look: float = 0.1
    """Seconds until a report was read, and is known to have ended."""
    receiver: float = 0.2
    """Seconds that a source's receiver takes to answer."""


@dataclass(slots=True)
class Measured:
    """The result of a run."""

    latencies: list[float] = field(default_factory=list)
    """Seconds from a report's arrival to the vendor task with its URL, one for each URL."""
    until_banned: list[float] = field(default_factory=list)
    """Seconds from the end of a vendor task to its end on record."""
    until_told: list[float] = field(default_factory=list)
    """Seconds from the end of a report's last vendor task until its source was called; empty without webhooks."""
    calls: int = 0
    """Messages about reports that may have ended."""
    creates: list[int] = field(default_factory=list)
    """URLs of each vendor task."""
    intakes: int = 0
    drains: int = 0
    drain_seconds: float = 0.0
    looks: int = 0
    """Runs of the tracker of young tasks."""
    units: Counter[str] = field(default_factory=Counter)
    most_waiting: int = 0


class VirtualPipeline:
    """``reports`` says how many reports arrive in each second, with ``urls`` new URLs each. Everything is drained.

    Reports come by queue; ``by_webhook`` makes them come by webhook, from a source that is called back.
    """

    def __init__(
        self,
        reports: Sequence[int],
        *,
        urls: int = 1,
        seed: int = 1,
        waits: Waits | None = None,
        by_webhook: bool = False,
    ) -> None:
        self.waits = waits or Waits()
        self.rows, self.measured = MemoryRows(), Measured()
        self.policy = parse_policy(
            {
                "version": 1,
                "caps": OPEN_CAPS,
                "accounts": {ACCOUNT: {"managed_domains": ["www.example.com"]}},
            }
        )
        self.sources = parse_sources({SOURCE: CALLED_BACK if by_webhook else {"auth": "none", "format": "native"}})
        self._by_webhook = by_webhook
        self._ended: deque[tuple[str, list[str]]] = deque()
        self._telling = False
        self.vendor = _Noting(self)
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._queue: deque[dict[str, Any]] = deque()
        self._window_open = self._draining = False
        self._tracking = self._track_again = False
        self._wake_ups = self._sent = 0
        self._marks: set[str] = set()
        self._arrived: dict[str, float] = {}
        self._ends: dict[str, datetime] = {}
        """When the vendor's task of each URL ends."""
        self._seen_creates = 0
        for number, at in enumerate(itertools.chain.from_iterable(arrivals(reports, seed))):
            self._at(at, partial(self._arrive, at, number, urls))
        self._until = len(reports)
        self._every_minute()

    def run(self) -> Measured:
        """Let virtual time pass until nothing is left to happen."""
        while self._events:
            self._pass_to(self._events[0][0])
        self.measured.units = self.rows.units
        return self.measured

    # --- time -----------------------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        """Return the virtual time."""
        return START + timedelta(seconds=self._now)

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass. Whatever is due in the meantime happens."""
        end = self._now + seconds
        while self._events and self._events[0][0] <= end:
            self._pass_to(self._events[0][0])
        self._now = end

    def _pass_to(self, at: float) -> None:
        self._now = max(self._now, at)
        heapq.heappop(self._events)[2]()

    def _at(self, at: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), happens))

    # --- AWS ------------------------------------------------------------------------------------------------------

    def _arrive(self, at: float, number: int, urls: int) -> None:
        report_urls = [f"https://www.example.com/{number}/{index}" for index in range(urls)]
        self._arrived.update(dict.fromkeys(report_urls, at))
        body = json.dumps({"urls": report_urls})
        if self._by_webhook:
            headers = {"authorization": f"Bearer {SECRET}", "webhook-id": f"w{number}"}
            call = WebhookCall(SOURCE, {**headers, "content-type": "application/json"}, body.encode())
            self._at(at + self.waits.door, partial(self._knock, call))
        else:
            self.send([(body, {"source": SOURCE})])

    def _knock(self, call: WebhookCall) -> None:
        receive_report(self._run(29), call, self.sources, self)

    def send(self, messages: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """See ``ReportQueue.send``."""
        for body, attributes in messages:
            self._sent += 1
            record = {
                "messageId": f"m{self._sent}",
                "body": body,
                "attributes": {"SentTimestamp": str(round(self.clock().timestamp() * 1000))},
                "messageAttributes": {
                    name: {"stringValue": value, "dataType": "String"} for name, value in attributes.items()
                },
            }
            self._at(self._now + self.waits.receive, partial(self._queued, record))

    def _queued(self, record: dict[str, Any]) -> None:
        self._queue.append(record)
        if len(self._queue) >= self.waits.batch_messages:
            self._take()
        elif not self._window_open:
            self._window_open = True
            self._at(self._now + self.waits.batch_window, self._window_ends)

    def _window_ends(self) -> None:
        self._window_open = False
        if self._queue:
            self._take()

    def _take(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self.waits.batch_messages))]
        urls = sum(len(json.loads(record["body"])["urls"]) for record in batch)
        self._at(self._now + self.waits.intake_call + urls * self.waits.intake_url, lambda: self._intake(batch))

    def _intake(self, batch: list[dict[str, Any]]) -> None:
        self.measured.intakes += 1
        intake_reports(self._run(60), batch, Reading(self.sources))

    def wake(self, group: str, *, mark: str) -> None:
        """Do what the FIFO queue does: wake-ups of one mark are one, and wait while the group has one under way."""
        if f"{group}-{mark}" in self._marks:
            return
        self._marks.add(f"{group}-{mark}")
        if group == ACCOUNT:
            self._wake_ups += 1
            self._at(self._now + self.waits.wake_hop, self._drain)
        elif self._tracking:
            self._track_again = True
        else:
            self._tracking = True
            self._at(self._now + self.waits.wake_hop, self._begin_tracking)

    def call_back(self, source: str, reports: Sequence[str], *, mark: str) -> None:
        """Do what the outcomes queue does: a message of a source waits while another one is under way."""
        if f"{source}-{mark}" not in self._marks:
            self._marks.add(f"{source}-{mark}")
            self.measured.calls += 1
            self._ended.append((source, list(reports)))
            self._at(self._now + self.waits.wake_hop, self._tell)

    def _tell(self) -> None:
        if self._telling or not self._ended:
            return
        self._telling = True
        source, reports = self._ended.popleft()
        began: list[datetime] = []

        def post(url: str, *, headers: Mapping[str, str], body: bytes) -> int:  # noqa: ARG001, as Post
            began.append(max(self._ends[each["url"]] for each in json.loads(body)["data"]["urls"]))
            return 204

        deliver_outcomes(self._run(80), self.sources[source], reports, post, threads=False)
        starts, seconds = self._overlapping(len(began))
        self.measured.until_told += [
            start + (self.clock() - ended_at).total_seconds() for start, ended_at in zip(starts, began, strict=True)
        ]
        self._at(self._now + seconds, self._told)

    def _overlapping(self, calls: int) -> tuple[list[float], float]:
        """Return when each call of a receiver begins, and when the last one has ended, as ``deliver_outcomes`` does."""
        at_once, ends = CallsAtOnce(), deque[float]()
        starts: list[float] = []
        now, ready = self.waits.look, min(calls, at_once.permitted)
        unread = calls - ready
        while ready or ends:
            while ready and len(ends) < at_once.permitted:
                starts.append(now)
                ends.append(now + self.waits.receiver)
                ready -= 1
            if unread and not ready:
                ready = min(unread, at_once.permitted)
                unread -= ready
                now += self.waits.look
            else:
                now = max(now, ends.popleft())
                at_once.answered(self.waits.receiver)
        return starts, now

    def _told(self) -> None:
        self._telling = False
        self._tell()

    def _begin_tracking(self) -> None:
        begin_tracking(self._run(SUBMIT_SECONDS), f"message-{len(self._marks)}")
        self._track()

    def _track(self) -> None:
        self.measured.looks += 1
        again_after = track_young(self._run(SUBMIT_SECONDS), self.vendor).again_after
        if again_after is not None:
            self._at(self._now + again_after, self._track)
            return
        self._tracking, next_one = self._track_again, self._track_again
        self._track_again = False
        if next_one:
            self._at(self._now + self.waits.wake_hop, self._begin_tracking)

    def _drain(self) -> None:
        if self._draining or not self._wake_ups:
            return
        self._wake_ups -= 1
        self._draining = True
        self.measured.drains += 1
        self.sleep(self.waits.drain_begin)
        begun, calls = self._now, len(self.measured.creates)
        drained = submit_tasks(self._run(SUBMIT_SECONDS), self.vendor, workers=0)
        if len(self.measured.creates) > calls:
            self.sleep(self.waits.call)  # calls overlap: the drain ends when the last one is answered
        self.measured.drain_seconds += self.waits.drain_begin + self._now - begun
        self._draining = False
        self._wake_ups += drained.unfinished
        self._at(self._now + self.waits.wake_hop, self._drain)

    def _run(self, seconds: float) -> Run:
        return Run(
            rows=self.rows,
            emit=self._emit,
            wake=self.wake,
            clock=self.clock,
            read_policy=lambda: self.policy,
            sleep=self.sleep,
            deadline=self.clock() + timedelta(seconds=seconds),
            account=ACCOUNT,
            call_back=self.call_back,
        )

    def _emit(self, event: str, /, **fields: object) -> None:
        if event == "task_finished":
            task = tasks.read(self.rows, [str(fields["task_id"])])[str(fields["task_id"])]
            ended_at = self.vendor.tasks[task.vendor_task_id].finishes_at
            self.measured.until_banned.append((self.clock() - ended_at).total_seconds())

    def noted(self, urls: list[str]) -> None:
        """Note a vendor task that was created."""
        self.measured.creates.append(len(urls))
        self.measured.latencies += [self._now - self._arrived[url] for url in urls]
        self._ends |= dict.fromkeys(urls, self.clock() + timedelta(seconds=self.waits.task))

    def _every_minute(self) -> None:
        if self._now > 0:
            waiting = sweep(self._run(90))
            self.measured.most_waiting = max(self.measured.most_waiting, sum(waiting.values()))
            track_tasks(self._run(90), self.vendor)
            name_due_reports(self._run(90))
        if self._now < self._until + 120:
            self._at(self._now + 60, self._every_minute)


def arrivals(reports: Iterable[int], seed: int) -> Iterator[list[float]]:
    """Yield when the reports of each second arrive: at random, or evenly if they are many."""
    dice = random.Random(seed)
    for second, count in enumerate(reports):
        if count > EVENLY:
            yield [second + (index + 0.5) / count for index in range(count)]
        else:
            yield sorted(second + dice.random() for _ in range(count))


def steady(rate: float, seconds: int, *, seed: int = 1) -> list[int]:
    """Draw the reports of each second, around a rate."""
    dice = random.Random(seed)
    return [poisson(dice, rate) for _ in range(seconds)]


def poisson(dice: random.Random, mean: float) -> int:
    """Draw how often something happens that is expected ``mean`` times."""
    if mean > 50:
        return max(0, round(dice.gauss(mean, math.sqrt(mean))))
    count, product, limit = 0, dice.random(), math.exp(-mean)
    while product > limit:
        count, product = count + 1, product * dice.random()
    return count


class _Noting(FakeVendor):
    """A vendor that tells its pipeline of every task."""

    def __init__(self, pipeline: VirtualPipeline) -> None:
        super().__init__(clock=pipeline.clock, task_time=timedelta(seconds=pipeline.waits.task))
        self._pipeline = pipeline

    def create_task(self, action: Any, urls: Any, ban_days: int) -> str:
        task_id = super().create_task(action, urls, ban_days)
        self._pipeline.noted(list(urls))
        return task_id
