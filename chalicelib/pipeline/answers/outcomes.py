"""Every minute: tell sources what became of their reports, by a signed Standard Webhook to their ``callback_url``.

Once, when all has come to an end; and once more when a person has decided about what was held then.

Crash order: post, then record. A crash in between posts again under the same ``webhook-id``, which the receiver knows.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from chalicelib.config.sources import Source
from chalicelib.domain.errors import ConfigurationError, VendorError
from chalicelib.domain.model import UrlState
from chalicelib.domain.policy.rules import Policy
from chalicelib.ledger import callbacks, reports
from chalicelib.ledger.callbacks import Callback
from chalicelib.ledger.reports import Report
from chalicelib.pipeline.answers import url_status
from chalicelib.ports import Emit, Post, Rows
from chalicelib.reports.signature import sign

GIVE_UP: Final = timedelta(days=1)
"""How long a receiver is tried, from the first attempt on."""

LONGEST_WAIT: Final = timedelta(hours=1)
LONGEST_LOOK: Final = timedelta(minutes=15)
LONGEST_HELD_LOOK: Final = timedelta(hours=6)
SHORTEST: Final = timedelta(minutes=1)

URLS: Final = 1_000
"""URLs in a callback at the most; the rest is for ``GET /v1/reports/{report_id}``."""

BATCH: Final = 100


def deliver_outcomes(
    *,
    sources: Mapping[str, Source],
    policy: Policy,
    rows: Rows,
    post: Post,
    emit: Emit,
    clock: Callable[[], datetime],
    deadline: datetime,
) -> dict[str, int]:
    """Look at every report that is due, until the deadline; return how many came to what."""
    run = _Run(sources, policy, rows, post, emit, clock)
    after = ""
    while clock() < deadline:
        found = callbacks.due(rows, now=clock(), after=after, limit=BATCH)
        for each in found:
            if clock() >= deadline:
                break
            run.look(each)
        if not found:
            break
        after = found[-1].place
    return dict(run.outcomes)


@dataclass(slots=True)
class _Run:
    """One run. ``failing``: sources whose receiver did not take a call in it, and gets no second one.

    ``seen``: a repeated request may have left a report two rows; the one that is left over goes in the next run.
    """

    sources: Mapping[str, Source]
    policy: Policy
    rows: Rows
    post: Post
    emit: Emit
    clock: Callable[[], datetime]
    failing: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)

    def look(self, callback: Callback) -> None:
        if callback.report in self.seen:
            return
        self.seen.add(callback.report)
        report, now = reports.read(self.rows, callback.report), self.clock()
        if report is None:
            callbacks.drop(self.rows, callback)
            return
        source = self.sources.get(report.source)
        if source is None or not source.callback_url:
            self._finish(callback, report, "not_wanted", attempts=callback.attempts)
            return
        states = url_status.of_report(report, rows=self.rows, policy=self.policy, now=now)
        if not url_status.terminal(states):
            age = now - report.received_at
            self._move(callback, now + min(max(age / 2, SHORTEST), LONGEST_LOOK), callback.attempts)
            self.outcomes["waiting"] += 1
            return
        held = _held(states)
        if held and held == callback.held:  # nobody has decided since the source was told
            self._leave_to_person(callback, report, held)
            self.outcomes["waiting"] += 1
            return
        problem = self.failing.get(source.name) or self._attempt(source, report, states, held)
        if problem:
            self.failing[source.name] = problem
            self._failed(callback, report, problem, held)
        elif held:
            self._told(callback, report, "delivered", held)
        else:
            self._finish(callback, report, "delivered", attempts=callback.attempts + 1)

    def _attempt(self, source: Source, report: Report, states: list[dict[str, Any]], held: str) -> str:
        """Post once; return what went wrong, or nothing.

        What tells of held URLs has an id of its own, so that a receiver does not take what follows for a repetition.
        """
        now = self.clock()
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
            return str(error)
        return "" if 200 <= answered < 300 else f"the receiver answered {answered}"

    def _told(self, callback: Callback, report: Report, outcome: str, held: str, **more: str) -> None:
        """The source was told of what is held, or could not be: it is told again when a person has decided."""
        self._leave_to_person(callback, report, held)
        attempts = callback.attempts + 1
        self.emit(f"outcome_{outcome}", report_id=report.id, source=report.source, attempts=attempts, held=held, **more)
        self.outcomes[outcome] += 1

    def _leave_to_person(self, callback: Callback, report: Report, held: str) -> None:
        """Look again later; what follows then has tries of its own."""
        now = self.clock()
        due = now + _patience(report, now)
        again = replace(callback, attempts=0, first_attempt_at=None, held=held)
        callbacks.move(self.rows, again, due=due, now=now)

    def _failed(self, callback: Callback, report: Report, problem: str, held: str) -> None:
        now, attempts = self.clock(), callback.attempts + 1
        first = callback.first_attempt_at or now
        if now - first >= GIVE_UP and held:
            self._told(callback, report, "given_up", held, problem=problem[:300])
            return
        if now - first >= GIVE_UP:
            self._finish(callback, report, "given_up", attempts=attempts, problem=problem)
            return
        wait = min(SHORTEST * 2 ** min(callback.attempts, 10), LONGEST_WAIT)
        self._move(callback, min(now + wait, first + GIVE_UP), attempts, first_attempt_at=first)
        self.emit(
            "outcome_not_delivered", report_id=report.id, source=report.source, attempts=attempts, problem=problem[:300]
        )
        self.outcomes["failed"] += 1

    def _move(
        self, callback: Callback, due: datetime, attempts: int, *, first_attempt_at: datetime | None = None
    ) -> None:
        began = first_attempt_at or callback.first_attempt_at
        again = replace(callback, attempts=attempts, first_attempt_at=began)
        callbacks.move(self.rows, again, due=due, now=self.clock())

    def _finish(self, callback: Callback, report: Report, outcome: str, *, attempts: int, problem: str = "") -> None:
        callbacks.finish(self.rows, callback, outcome, attempts=attempts, now=self.clock())
        more = {"problem": problem[:300]} if problem else {}
        self.emit(f"outcome_{outcome}", report_id=report.id, source=report.source, attempts=attempts, **more)
        self.outcomes[outcome] += 1


def _held(states: list[dict[str, Any]]) -> str:
    """Name the URLs that are held by one short word, empty if none is."""
    held = sorted(f"{each['account']} {each['url']}" for each in states if each["state"] == UrlState.HELD)
    return hashlib.sha256("\n".join(held).encode()).hexdigest()[:12] if held else ""


def _patience(report: Report, now: datetime) -> timedelta:
    """How long until a report with held URLs is looked at again: people decide in hours."""
    return min(max((now - report.received_at) / 4, LONGEST_LOOK), LONGEST_HELD_LOOK)


def payload(report: Report, states: list[dict[str, Any]], *, now: datetime) -> bytes:
    """Write the outcome of a report in the shape that Standard Webhooks recommends: type, timestamp, data."""
    urls = url_status.urls_of(report)
    shown = set(url_status.page(urls, 0, URLS))
    data: dict[str, Any] = {
        "report_id": report.id,
        "complete": True,
        "counts": url_status.counts(states),
        "urls": [each for each in states if each["url"] in shown],
    }
    if len(shown) < len(urls):
        data["next_token"] = str(len(shown))
    if report.correlation_id:
        data["correlation_id"] = report.correlation_id
    if report.test:
        data["test"] = True
    return json.dumps({"type": "report.complete", "timestamp": now.isoformat(), "data": data}).encode()
