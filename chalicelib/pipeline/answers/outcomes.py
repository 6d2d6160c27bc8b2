"""Tell sources what became of their reports, by a signed Standard Webhook to their ``callback_url``. Every minute.

A source is told once, when all URLs of its report have come to an end, and once more when a person has decided about
those that were held then.

Crash order: post, then record. A crash in between posts again under the same ``webhook-id``, which the receiver knows.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from chalicelib.config.sources import Source
from chalicelib.domain.errors import ConfigurationError, VendorError
from chalicelib.domain.model import UrlState
from chalicelib.ledger import callbacks, reports
from chalicelib.ledger.callbacks import Callback
from chalicelib.ledger.reports import Report
from chalicelib.pipeline.answers import as_json, url_status
from chalicelib.pipeline.answers.url_status import ReportedState
from chalicelib.pipeline.run import Run
from chalicelib.ports import Post
from chalicelib.reports.signature import sign

GIVE_UP: Final = timedelta(days=1)
"""How long a receiver is tried, counted from the first attempt."""

LONGEST_WAIT: Final = timedelta(hours=1)
LONGEST_LOOK: Final = timedelta(minutes=15)
LONGEST_HELD_LOOK: Final = timedelta(hours=6)
SHORTEST: Final = timedelta(minutes=1)

URLS: Final = 1_000
"""The most URLs in a callback; ``GET /v1/reports/{report_id}`` answers the others."""

BATCH: Final = 100

SOURCE_SHARE: Final = timedelta(seconds=20)
"""Time that the receiver of one source gets in a run. What is left of the run is for whoever has more to be told."""


def deliver_outcomes(run: Run, sources: Mapping[str, Source], post: Post) -> dict[str, int]:
    """Look at every report that is due, until the deadline; return how many were delivered, wait, failed and so on."""
    courier = _Courier(run, sources, post)
    after = ""
    while not run.time_is_up:
        due = callbacks.due(run.rows, now=run.clock(), after=after, limit=BATCH)
        for callback in due:
            if run.time_is_up:
                break
            courier.look(callback)
        if not due:
            break
        after = due[-1].place
    for callback in courier.put_off:
        if run.time_is_up:  # it stays due, and the next run goes on
            break
        courier.look(callback, last=True)
    return dict(courier.results)


@dataclass(slots=True)
class _Courier:
    """Delivers what is due in one run."""

    run: Run
    sources: Mapping[str, Source]
    post: Post
    failing: dict[str, str] = field(default_factory=dict)
    """Sources whose receiver did not take a call in this run, with the problem: they get no second call."""
    spent: dict[str, timedelta] = field(default_factory=dict)
    """Time that each source's receiver took in this run."""
    put_off: list[Callback] = field(default_factory=list)
    """Reports of sources that had their share. They are looked at when all others have been."""
    seen: set[str] = field(default_factory=set)
    """Reports that were looked at. A repeated request may leave a report two rows; the other one waits for a run."""
    results: Counter[str] = field(default_factory=Counter)

    def look(self, callback: Callback, *, last: bool = False) -> None:
        """Look at one report. One of a source that has had its share is put off, unless all others have had theirs."""
        if callback.report in self.seen:
            return
        self.seen.add(callback.report)
        report, now = reports.read(self.run.rows, callback.report), self.run.clock()
        if report is None:
            callbacks.drop(self.run.rows, callback)
            return
        source = self.sources.get(report.source)
        if source is None or not source.callback_url:
            self._finish(callback, report, "not_wanted", attempts=callback.attempts)
            return
        states = url_status.of_report(self.run, report)
        if not url_status.terminal(states):
            age = now - report.received_at
            self._move(callback, now + min(max(age / 2, SHORTEST), LONGEST_LOOK), callback.attempts)
            self.results["waiting"] += 1
            return
        held = _held(states)
        if held and held == callback.held:  # nobody has decided since the source was told
            self._leave_to_person(callback, report, held)
            self.results["waiting"] += 1
            return
        spent = self.spent.get(source.name, timedelta())
        if spent >= SOURCE_SHARE and not last:
            self.put_off.append(callback)
            self.seen.discard(callback.report)
            return
        problem = self.failing.get(source.name, "")
        if not problem:
            status, problem = self._attempt(source, report, states, held)
            callback = replace(callback, status=status)
        self.spent[source.name] = spent + (self.run.clock() - now)
        if problem:
            self.failing[source.name] = problem
            self._failed(callback, report, problem, held)
        elif held:
            self._told(callback, report, "delivered", held)
        else:
            self._finish(callback, report, "delivered", attempts=callback.attempts + 1)

    def _attempt(self, source: Source, report: Report, states: list[ReportedState], held: str) -> tuple[int, str]:
        """Post once; return the status of the answer, 0 if there was none, and what went wrong, or nothing.

        What tells of held URLs has an id of its own, so that a receiver does not take what follows for a repetition.
        """
        now = self.run.clock()
        body, webhook_id = payload(report, states, now=now), f"outcome-{report.id}" + (f"-held-{held}" if held else "")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "edgeban",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": sign(source.callback_secret, webhook_id, now, body),
        }
        try:
            answered = self.post(source.callback_url, headers=headers, body=body)
        except (VendorError, ConfigurationError) as error:
            return 0, str(error)
        return answered, "" if 200 <= answered < 300 else f"the receiver answered {answered}"

    def _told(self, callback: Callback, report: Report, outcome: str, held: str, **more: str) -> None:
        """Note that the source was told of what is held, or could not be. A person's decision is told separately."""
        self._leave_to_person(callback, report, held)
        fields = {"report_id": report.id, "source": report.source, "attempts": callback.attempts + 1, "held": held}
        self.run.emit(f"outcome_{outcome}", **fields, **more)
        self.results[outcome] += 1

    def _leave_to_person(self, callback: Callback, report: Report, held: str) -> None:
        """Look again later; what follows then has tries of its own."""
        now = self.run.clock()
        due = now + _patience(report, now)
        again = replace(callback, attempts=0, first_attempt_at=None, held=held)
        callbacks.move(self.run.rows, again, due=due, now=now)

    def _failed(self, callback: Callback, report: Report, problem: str, held: str) -> None:
        now, attempts = self.run.clock(), callback.attempts + 1
        first = callback.first_attempt_at or now
        if now - first >= GIVE_UP and held:
            self._told(callback, report, "given_up", held, problem=problem[:300])
            return
        if now - first >= GIVE_UP:
            self._finish(callback, report, "given_up", attempts=attempts, problem=problem)
            return
        wait = min(SHORTEST * 2 ** min(callback.attempts, 10), LONGEST_WAIT)
        self._move(callback, min(now + wait, first + GIVE_UP), attempts, first_attempt_at=first)
        self.run.emit(
            "outcome_not_delivered", report_id=report.id, source=report.source, attempts=attempts, problem=problem[:300]
        )
        self.results["failed"] += 1

    def _move(
        self, callback: Callback, due: datetime, attempts: int, *, first_attempt_at: datetime | None = None
    ) -> None:
        began = first_attempt_at or callback.first_attempt_at
        again = replace(callback, attempts=attempts, first_attempt_at=began)
        callbacks.move(self.run.rows, again, due=due, now=self.run.clock())

    def _finish(self, callback: Callback, report: Report, outcome: str, *, attempts: int, problem: str = "") -> None:
        callbacks.finish(self.run.rows, callback, outcome, attempts=attempts, now=self.run.clock())
        more = {"problem": problem[:300]} if problem else {}
        self.run.emit(f"outcome_{outcome}", report_id=report.id, source=report.source, attempts=attempts, **more)
        self.results[outcome] += 1


def _held(states: list[ReportedState]) -> str:
    """Digest which URLs are held into a short word; empty if none is."""
    held = sorted(f"{status.account} {status.url}" for status in states if status.state is UrlState.HELD)
    return hashlib.sha256("\n".join(held).encode()).hexdigest()[:12] if held else ""


def _patience(report: Report, now: datetime) -> timedelta:
    """Return how long until a report with held URLs is looked at again: people decide in hours."""
    return min(max((now - report.received_at) / 4, LONGEST_LOOK), LONGEST_HELD_LOOK)


def payload(report: Report, states: list[ReportedState], *, now: datetime) -> bytes:
    """Write the outcome of a report in the shape that Standard Webhooks recommends: type, timestamp, data."""
    urls = url_status.urls_of(report)
    shown = set(url_status.page(urls, 0, URLS))
    data: dict[str, Any] = {
        "report_id": report.id,
        "complete": True,
        "counts": url_status.counts(states),
        "urls": [as_json.reported_state(status) for status in states if status.url in shown],
    }
    if len(shown) < len(urls):
        data["next_token"] = str(len(shown))
    if report.correlation_id:
        data["correlation_id"] = report.correlation_id
    if report.test:
        data["test"] = True
    return json.dumps({"type": "report.complete", "timestamp": as_json.time(now), "data": data}).encode()
