"""Once a day ban a page of your own at each account that has a canary, and lift the ban: from the report to the edge.

The canary is a source like any other. It reports the page through the reports queue, waits until the edge refuses it,
withdraws the report, and waits until the edge serves it again. So if anything between a report and the edge stands
still, an alarm goes off, even if nobody else reports anything. The canary has only the rights of a source. It keeps
its step in a row of its own (``reader#…``).

Crash order: the message, then the step. After a crash in between the message is sent again: a duplicate report, or a
second withdrawal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from chalicelib.domain.errors import ConfigurationError, VendorError
from chalicelib.domain.model import ReportedUrl, Withdrawal
from chalicelib.domain.policy.forbidden import forbidden
from chalicelib.domain.policy.model import Canary, EdgeOfAccount
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims, control, journal
from chalicelib.ledger.row import millis
from chalicelib.pipeline.lifecycle.explaining import Explainer
from chalicelib.pipeline.run import Run
from chalicelib.ports import Probe, ReportQueue
from chalicelib.reports import native

BAN_DAYS = 1
"""If nobody lifts the ban, it ends after a day."""


NEVER_YET = datetime.fromtimestamp(0, tz=UTC)


class CanaryStep(StrEnum):
    """What a canary waits for."""

    BAN = "ban"  # that the edge refuses its page
    LIFT = "lift"  # that the edge serves it again
    DONE = "done"  # the next day


@dataclass(frozen=True, slots=True)
class _Flight:
    """How far the canary of one account is: the day of its last flight, its step, and when the step began."""

    day: str = ""
    step: CanaryStep = CanaryStep.DONE
    since: datetime = NEVER_YET

    @property
    def place(self) -> str:
        return f"{self.day} {self.step} {millis(self.since)}"

    @classmethod
    def of(cls, place: str) -> _Flight:
        if not place:
            return cls()
        day, step, since = place.split()
        return cls(day, CanaryStep(step), datetime.fromtimestamp(int(since) / 1000, tz=UTC))


def fly(run: Run, probe: Probe, queue: ReportQueue) -> None:
    """Bring the canary of the run's account on by one step, if it has one and the step is done or took too long."""
    canary = run.policy.canary
    url = canary.urls.get(run.account) if canary else None
    if not canary or not url:
        return
    now, reader = run.clock(), f"canary#{run.account}"
    flight = _Flight.of(journal.place_of(run.rows, reader))
    if flight.step is CanaryStep.DONE and (now.hour < canary.hour or flight.day >= f"{now:%Y-%m-%d}"):
        return
    blocked, said = _ask(run, url, probe)
    step = _next(run, flight, canary, blocked=blocked, said=said)
    if step is None:
        return
    if step is not CanaryStep.DONE:
        reported = native.render([ReportedUrl(url, category="canary", ban_days=BAN_DAYS)])
        body = reported if step is CanaryStep.BAN else native.render_withdrawals([Withdrawal(url)])
        queue.send([(body.decode(), {"source": canary.source, "format": "native"})])
    day = f"{now:%Y-%m-%d}" if flight.step is CanaryStep.DONE else flight.day
    journal.record_place(run.rows, reader, _Flight(day, step, now).place)


def _next(run: Run, flight: _Flight, canary: Canary, *, blocked: bool | None, said: str) -> CanaryStep | None:
    """Return the next step; ``None`` if this one goes on. If a step took too long, tell people and go on."""
    if flight.step is CanaryStep.DONE:
        policy = run.policy
        if policy.dry_run or run.account in policy.dry_accounts or control.paused(run.rows, run.account):
            return None  # somebody wants nothing to be banned now
        if blocked:  # the ban of another day was never lifted
            _tell_late(run, flight, canary, CanaryStep.LIFT, said)
            return CanaryStep.LIFT
        return CanaryStep.BAN
    waited = run.clock() - flight.since
    if blocked is (flight.step is CanaryStep.BAN):
        run.emit("canary_step_done", account=run.account, kind=flight.step.value, seconds=waited.total_seconds())
    elif waited >= timedelta(minutes=canary.minutes):
        _tell_late(run, flight, canary, flight.step, said)
    else:
        return None
    return CanaryStep.LIFT if flight.step is CanaryStep.BAN else CanaryStep.DONE


def _tell_late(run: Run, flight: _Flight, canary: Canary, step: CanaryStep, said: str) -> None:
    url = canary.urls[run.account]
    claim = claims.read(run.rows, [url_key(run.account, url)], consistent=True, whole=True)
    explained = Explainer(run.rows, now=run.clock()).explain(claim.values())
    verdict = forbidden(url, run.account, run.policy, run.clock())  # what is refused at once leaves no claim
    refused, reason = (verdict.kind.value, f": {verdict.reason}") if verdict else ("unknown", "")
    state = explained[0].state.value if explained else refused
    minutes = (run.clock() - flight.since) / timedelta(minutes=1) if flight.step is not CanaryStep.DONE else 0
    run.emit(
        "canary_late",
        account=run.account,
        kind=step.value,
        day=flight.day,
        state=state,
        minutes=round(minutes),
        problem=f"the ledger says {state}{reason}, the edge {said}",
    )


def _ask(run: Run, url: str, probe: Probe) -> tuple[bool | None, str]:
    """Ask the edge; return whether it refuses the page, ``None`` if it did not answer, and what it said."""
    edge = run.policy.edges.get(run.account, EdgeOfAccount())
    try:
        status = probe(url, edge=edge.host)
    except (VendorError, ConfigurationError) as error:
        return None, f"did not answer: {error}"[:300]
    return status in (edge.expect or run.policy.verification.expect), f"answered {status}"
