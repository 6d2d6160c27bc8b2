"""Tell sources the outcomes of their reports, by a signed Standard Webhook to their ``callback_url``.

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
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from chalicelib.config.sources import Source
from chalicelib.domain.errors import ConfigurationError, VendorError
from chalicelib.domain.model import UrlState
from chalicelib.ledger import callbacks, reports
from chalicelib.ledger.callbacks import Callback
from chalicelib.ledger.reports import Report, Summary
from chalicelib.pipeline.answers import as_json, url_status
from chalicelib.pipeline.answers.receiver_calls import Called, ReceiverCalls
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

READ_URLS: Final = 1_000
"""The most accepted URLs of the reports that are read together. A report with more is read alone.

URLs that were refused at once are not counted: 64 reports of 4 MB of such URLs take half of the function's memory."""


def deliver_outcomes(
    run: Run, source: Source | None, ids: Sequence[str], post: Post, *, threads: bool = True
) -> dict[str, int]:
    """Look at reports of one source, until the deadline; return how many were delivered, wait, failed and so on.

    ``source`` is ``None`` if it is no longer configured. A report that is not looked at stays due, and is named again.
    Reports are read while calls about others are under way, at most as many ahead as calls may overlap, so that what is
    told is fresh. Without ``threads``, one call follows the other in the caller's thread, so that a test can stop it
    anywhere. If a report cannot be read, or its result cannot be recorded, this raises after all other reports.
    """
    summaries = {found.id: found for found in reports.summaries(run.rows, ids)}
    received = {found.id: found.received_at for found in summaries.values()}
    named = deque(callbacks.of_reports(run.rows, received))
    results = Counter[str]()
    with ReceiverCalls(threads=threads) as calls:
        courier = _Courier(run, source, post, calls.read)
        ready: deque[_Outcome] = deque()
        while True:
            while ready and calls.has_room:
                outcome = ready.popleft()
                calls.start(partial(courier.tell, outcome, crowded=calls.at_once.crowded), size=len(outcome.body))
            if not ready and named:
                results.update(courier.look(_some(named, summaries, count=calls.at_once.permitted), then=ready.append))
            elif not calls.settle() and not ready:
                break
    if failure := calls.failure or courier.failure:
        raise failure
    results.update(calls.results)
    return {result: count for result, count in results.items() if result}


def _some(named: deque[Callback], summaries: Mapping[str, Summary], *, count: int) -> list[Callback]:
    """Take reports to read together: at most ``count``, with at most ``READ_URLS`` URLs, and at least one."""
    taken: list[Callback] = []
    urls = 0
    while named and len(taken) < count:
        urls += summaries[named[0].report].accepted
        if taken and urls > READ_URLS:
            break
        taken.append(named.popleft())
    return taken


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the source is to be told of a report that has ended. ``held`` is a hash of the URLs that are held."""

    callback: Callback
    report: Report
    """The report without its URLs."""
    held: str
    body: bytes


@dataclass(slots=True)
class _Courier:
    """Delivers the outcomes of one source's reports."""

    run: Run
    source: Source | None
    post: Post
    read: Callable[[Callable[[str], Report | None], Iterable[str]], list[Report | None]]
    """Reads several reports at once."""
    problem: str = ""
    """The failure of a call to the receiver. After it, no further call begins in this run."""
    failure: Exception | None = None
    """Why a report could not be read."""

    def look(self, named: Sequence[Callback], *, then: Callable[[_Outcome], None]) -> list[str]:
        """Look at reports, and hand each one that has ended on; return the results of the others in a word.

        The result is empty for a report that was not looked at. If the receiver did not take a call about a report, the
        report waits until it is due, whatever ends meanwhile.
        """
        if self.run.time_is_up:
            return []
        now = self.run.clock()
        looked_at = [callback for callback in named if not callback.attempts or _is_due(callback, now)]
        return [self._wait_or_tell(*read, then) for read in self._each_read(looked_at)]

    def _each_read(self, named: Sequence[Callback]) -> list[tuple[Callback, Report, list[ReportedState]]]:
        """Read reports and the states of their URLs together; if that fails, one by one, so that none stops another."""
        if self.run.time_is_up:
            return []
        try:
            return self._read(named)
        except Exception as error:  # noqa: BLE001, whatever it is, the other reports are looked at
            if len(named) > 1:
                return [read for each in named for read in self._each_read([each])]
            self.failure = error
            return []

    def _read(self, named: Sequence[Callback]) -> list[tuple[Callback, Report, list[ReportedState]]]:
        read = self.read(partial(reports.read, self.run.rows), [callback.report for callback in named])
        found = [(callback, report) for callback, report in zip(named, read, strict=True) if report is not None]
        wanted = [(report, url_status.urls_of(report) if self._is_wanted else ()) for _, report in found]
        states = url_status.of_reports(self.run, wanted)
        return [(callback, report, of_one) for (callback, report), of_one in zip(found, states, strict=True)]

    @property
    def _is_wanted(self) -> bool:
        return self.source is not None and bool(self.source.callback_url)

    def _wait_or_tell(
        self, callback: Callback, report: Report, states: list[ReportedState], then: Callable[[_Outcome], None]
    ) -> str:
        if not self._is_wanted:
            return self._finish(callback, report, "not_wanted", attempts=callback.attempts)
        now, held = self.run.clock(), _held(states)
        if not url_status.terminal(states):
            if _is_due(callback, now):
                age = now - report.received_at
                self._move(callback, now + min(max(age / 2, SHORTEST), LONGEST_LOOK), callback.attempts)
            return "waiting"
        if held and held == callback.held:  # nobody has decided since the source was told
            if _is_due(callback, now):
                self._leave_to_person(callback, report, held)
            return "waiting"
        told = url_status.told_to(self.run.policy, report.source, states)
        body = payload(report, told, now=now)
        then(_Outcome(callback, replace(report, urls=(), refusals=()), held, body))
        return ""

    def tell(self, outcome: _Outcome, *, crowded: bool) -> Called:
        """Tell the source.

        After a call that went wrong, no further call begins: the report is due later, as after a call of its own. If
        calls are ``crowded``, the next ones begin all the same: fewer at once may go well.
        """
        callback, report, held = outcome.callback, outcome.report, outcome.held
        began = self.run.clock()
        if self.run.time_is_up:
            return Called("")
        problem = self.problem
        if not problem:
            status, problem = self._attempt(outcome, now=began)
            callback = replace(callback, status=status)
        seconds = (self.run.clock() - began).total_seconds()
        if problem:
            if not crowded:
                self.problem = problem
            return Called(self._failed(callback, report, problem, held), seconds, well=False)
        if held:
            return Called(self._told(callback, report, "delivered", held), seconds)
        return Called(self._finish(callback, report, "delivered", attempts=callback.attempts + 1), seconds)

    def _attempt(self, outcome: _Outcome, *, now: datetime) -> tuple[int, str]:
        """Post once; return the status of the answer, 0 if there was none, and what went wrong, or nothing.

        A callback with held URLs has an id of its own, so that a receiver does not take the next one for a repetition.
        """
        assert self.source
        webhook_id = f"outcome-{outcome.report.id}" + (f"-held-{outcome.held}" if outcome.held else "")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "edgeban",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": sign(self.source.callback_secret, webhook_id, now, outcome.body),
        }
        try:
            answered = self.post(self.source.callback_url, headers=headers, body=outcome.body)
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


def _is_due(callback: Callback, now: datetime) -> bool:
    return callback.due is not None and callback.due <= now


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
