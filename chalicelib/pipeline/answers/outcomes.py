"""Tell sources what became of their reports, by a signed Standard Webhook to their ``callback_url``.

A message of the outcomes queue names reports of one source that may have ended: one of their tasks has ended, or they
are due (``due_outcomes``). The queue hands over one message of a source at a time. A source is told once, when all URLs
of its report have come to an end. It is told once more when a person has decided about URLs that were held then, or
when edgeban has sent URLs again that the vendor had failed.

Crash order: post, then record. After a crash in between edgeban posts again with the same ``webhook-id``, by which the
receiver knows that it is a repetition.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
"""For how long a receiver is called again, counted from the first attempt."""

LONGEST_WAIT: Final = timedelta(hours=1)
LONGEST_LOOK: Final = timedelta(minutes=15)
LONGEST_HELD_LOOK: Final = timedelta(hours=6)
SHORTEST: Final = timedelta(minutes=1)

URLS: Final = 1_000
"""The most URLs in a callback; ``GET /v1/reports/{report_id}`` answers the others."""


AT_ONCE: Final = 16
"""How many calls of one receiver overlap. If it answers in 0.2 s, that is some 50 reports a second."""


def deliver_outcomes(
    run: Run, source: Source | None, ids: Sequence[str], post: Post, *, at_once: int = AT_ONCE
) -> dict[str, int]:
    """Look at reports of one source, until the deadline; return how many were delivered, wait, failed and so on.

    ``source`` is ``None`` if it is no longer configured. A report that is not looked at stays due, and is named again.
    ``at_once`` 0 makes one call after the other, in the caller's thread: a test can then stop it anywhere.
    """
    courier = _Courier(run, source, post)
    received = {found.id: found.received_at for found in reports.summaries(run.rows, ids)}
    named = callbacks.of_reports(run.rows, received)
    if at_once:
        with ThreadPoolExecutor(at_once) as pool:
            results = Counter(pool.map(courier.look, named))
    else:
        results = Counter(map(courier.look, named))
    return {result: count for result, count in results.items() if result}


@dataclass(slots=True)
class _Courier:
    """Delivers the outcomes of one source's reports."""

    run: Run
    source: Source | None
    post: Post
    problem: str = ""
    """What went wrong with the receiver's last call: no further one begins in this run."""

    def look(self, callback: Callback) -> str:
        """Look at one report; return the result in a word, or nothing if it was not looked at.

        If the receiver did not take a call about the report, the report waits until it is due, whatever ends meanwhile.
        """
        now = self.run.clock()
        is_due = callback.due is not None and callback.due <= now
        if self.run.time_is_up or (callback.attempts and not is_due):
            return ""
        report = reports.read(self.run.rows, callback.report)
        if report is None:
            return ""
        if self.source is None or not self.source.callback_url:
            return self._finish(callback, report, "not_wanted", attempts=callback.attempts)
        return self._tell_if_ended(callback, report, self.source, is_due=is_due)

    def _tell_if_ended(self, callback: Callback, report: Report, source: Source, *, is_due: bool) -> str:
        now = self.run.clock()
        states = url_status.of_report(self.run, report)
        held = _held(states)
        if not url_status.terminal(states):
            if is_due:
                age = now - report.received_at
                self._move(callback, now + min(max(age / 2, SHORTEST), LONGEST_LOOK), callback.attempts)
            return "waiting"
        if held and held == callback.held:  # nobody has decided since the source was told
            if is_due:
                self._leave_to_person(callback, report, held)
            return "waiting"
        problem = self.problem
        if not problem:
            status, problem = self._attempt(source, report, states, held)
            callback = replace(callback, status=status)
        if problem:
            self.problem = problem
            return self._failed(callback, report, problem, held)
        if held:
            return self._told(callback, report, "delivered", held)
        return self._finish(callback, report, "delivered", attempts=callback.attempts + 1)

    def _attempt(self, source: Source, report: Report, states: list[ReportedState], held: str) -> tuple[int, str]:
        """Post once; return the status of the answer, 0 if there was none, and what went wrong, or nothing.

        A callback with held URLs has an id of its own, so that a receiver does not take the next one for a repetition.
        """
        now = self.run.clock()
        told = url_status.told_to(self.run.policy, source.name, states)
        body, webhook_id = payload(report, told, now=now), f"outcome-{report.id}" + (f"-held-{held}" if held else "")
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

    def _told(self, callback: Callback, report: Report, outcome: str, held: str, **more: str) -> str:
        """Note that the source was told which URLs are held, or could not be told. Decisions are told separately."""
        self._leave_to_person(callback, report, held)
        fields = {"report_id": report.id, "source": report.source, "attempts": callback.attempts + 1, "held": held}
        self.run.emit(f"outcome_{outcome}", **fields, **more)
        return outcome

    def _leave_to_person(self, callback: Callback, report: Report, held: str) -> None:
        """Look at the report again later. The next callback begins with a new count of attempts."""
        now = self.run.clock()
        due = now + _patience(report, now)
        again = replace(callback, attempts=0, first_attempt_at=None, held=held)
        callbacks.move(self.run.rows, again, due=due, now=now)

    def _failed(self, callback: Callback, report: Report, problem: str, held: str) -> str:
        now, attempts = self.run.clock(), callback.attempts + 1
        first = callback.first_attempt_at or now
        if now - first >= GIVE_UP and held:
            return self._told(callback, report, "given_up", held, problem=problem[:300])
        if now - first >= GIVE_UP:
            return self._finish(callback, report, "given_up", attempts=attempts, problem=problem)
        wait = min(SHORTEST * 2 ** min(callback.attempts, 10), LONGEST_WAIT)
        self._move(callback, min(now + wait, first + GIVE_UP), attempts, first_attempt_at=first)
        self.run.emit(
            "outcome_not_delivered", report_id=report.id, source=report.source, attempts=attempts, problem=problem[:300]
        )
        return "failed"

    def _move(
        self, callback: Callback, due: datetime, attempts: int, *, first_attempt_at: datetime | None = None
    ) -> None:
        began = first_attempt_at or callback.first_attempt_at
        again = replace(callback, attempts=attempts, first_attempt_at=began)
        callbacks.move(self.run.rows, again, due=due, now=self.run.clock())

    def _finish(self, callback: Callback, report: Report, outcome: str, *, attempts: int, problem: str = "") -> str:
        callbacks.finish(self.run.rows, callback, outcome, attempts=attempts, now=self.run.clock())
        more = {"problem": problem[:300]} if problem else {}
        self.run.emit(f"outcome_{outcome}", report_id=report.id, source=report.source, attempts=attempts, **more)
        return outcome


def _held(states: list[ReportedState]) -> str:
    """Hash the URLs that are held, or that edgeban sends again by itself, to a short text; empty if there are none."""
    open_still = (status for status in states if status.state is UrlState.HELD or status.sent_again)
    held = sorted(f"{status.account} {status.url}" for status in open_still)
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
