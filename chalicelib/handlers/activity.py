"""Routes that show what happens: the overview, events, unbans."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.handlers.http import QUESTION_TIME, choice, choices, decision_token, listed, only, operator, page
from chalicelib.web import answer, csv_answer, page_size, query, wants_csv, within_bytes

if TYPE_CHECKING:
    from chalicelib.ledger.audit import Decision
    from chalicelib.ledger.journal import Entry
    from chalicelib.pipeline.run import Run

LONGEST_SPAN = timedelta(days=31)
EVENTS = 500
UNBANS = 1_000
"""How many decisions a request searches for unbans, at most."""

UNBAN_COLUMNS = ("at", "by", "reason", "selection", "urls", "failed", "complete", "waits", "unban_id")
UNBAN_STATES = ("under_way", "complete", "failed", "waiting")
EVENT_COLUMNS = ("place", "at", "kind", "subject", "details")


def question(services: Services) -> Run:
    """Return the run of one question."""
    return services.run().at("", deadline=now() + QUESTION_TIME)


# --- overview and counts ----------------------------------------------------------------------------------------------


def overview(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/overview``: everything that a person on duty looks at first."""
    from chalicelib.ledger import unban_jobs
    from chalicelib.pipeline.answers import overview as answers

    operator(services, request, "reader")
    only(request)
    run = question(services)
    index = services.bans.head()
    body = {
        "accounts": answers.accounts(run, index.by_account if index else None),
        "bans_in_force": index.bans if index else None,
        "bans_as_of": index.as_of if index else None,
        "exports": answers.exports(run),
        "unbans_under_way": len(unban_jobs.unfinished(run.rows)),
        "dead_letters": services.dead_letters,
        "last_hour": answers.last_hour(run),
        "as_of": now().isoformat(),
    }
    return answer(200, body)


def list_events(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/events``: what happened after a place, oldest first; ``next`` is the place to go on from."""
    from chalicelib.ledger import journal
    from chalicelib.ledger.row import stamp

    operator(services, request, "reader")
    only(request, "after", "kinds", "limit")
    limit = page_size(request, most=EVENTS)
    after = query(request, "after", needed=False, longest=300) or stamp(now() - timedelta(minutes=10))
    kinds = choices(request, "kinds", journal.KINDS)
    try:
        began = datetime.strptime(after[:8], "%Y%m%d")  # noqa: DTZ007, only whether it can be read
    except ValueError:
        raise InputError("after must be a place: the next of the answer before") from None
    if (now().date() - began.date()).days > LONGEST_SPAN.days:
        raise InputError(f"after is older than {LONGEST_SPAN.days} days: those days are archived")
    events = journal.following(services.rows, after, until=now(), limit=limit)
    wanted = [event for event in events if not kinds or event.kind in kinds]
    shown = within_bytes(map(_show_event, wanted))
    following = events[-1].place if events else after
    if len(shown) < len(wanted):  # the answer has no room for all of them
        following = wanted[len(shown) - 1].place
    if wants_csv(request):  # the details of each kind have columns of their own, which no table has
        rows = [{**event, "details": json.dumps(event["details"])} for event in shown]
        return csv_answer(EVENT_COLUMNS, rows, next_token=following)
    return answer(200, {"events": shown, "next": following})


def _show_event(event: Entry) -> dict[str, Any]:
    details = {name: value for name, value in event.fields.items() if not isinstance(value, bytes)}
    at = event.at.isoformat() if event.at else None
    return {"place": event.place, "at": at, "kind": event.kind, "subject": event.subject, "details": details}


# --- unbans that were asked for ---------------------------------------------------------------------------------------


def list_unbans(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/unbans``: the unbans that were asked for, newest first."""
    from chalicelib.ledger import audit

    operator(services, request, "reader")
    only(request, "state", "limit", "next_token")
    limit, after = page_size(request), decision_token(request)
    wanted = choice(request, "state", UNBAN_STATES)
    decisions = audit.recent(services.rows, now=now(), limit=UNBANS, after=after)
    unbans = [named for named in decisions if named[1].action == "unban"]
    progress = _progress(services, [decision for _, decision in unbans])
    if wanted:
        unbans = [named for named in unbans if wanted in progress.states(named[1].after)]
    progress.read_undone(services, [decision for _, decision in unbans[:limit]])

    def show(named: tuple[str, Decision]) -> dict[str, Any]:
        return _show_unban(named[1], progress)

    body = page("unbans", unbans, limit, show=show, token=lambda named: named[0])
    if "next_token" not in body and len(decisions) == UNBANS:
        body["next_token"] = decisions[-1][0]
    return listed(request, "unbans", body, UNBAN_COLUMNS)


def read_unban(services: Services, unban_id: str, request: Request) -> Response:
    """Answer ``GET /v1/unbans/{id}``: who asked for what, and whether it is carried out."""
    from chalicelib.ledger import audit, unban_jobs

    operator(services, request, "reader")
    only(request)
    day = unban_jobs.day_of(unban_id)
    try:
        iso = datetime.strptime(day, "%Y%m%d").date().isoformat()  # noqa: DTZ007, a UTC day
    except ValueError:
        raise NotFound("there is no such unban: take the unban_id of the answer to POST /v1/unbans") from None
    of_day = audit.recent(services.rows, now=now(), day=iso, limit=UNBANS)
    found = next((decision for _, decision in of_day if decision.after == unban_id), None)
    if found is None:
        raise NotFound("there is no such unban: take the unban_id of the answer to POST /v1/unbans")
    progress = _progress(services, [found])
    progress.read_undone(services, [found])
    return answer(200, _show_unban(found, progress))


@dataclass(slots=True)
class Progress:
    """How far unbans are, by their ids: URLs undone so far by unbans under way, URLs that failed, URLs undone."""

    under_way: Mapping[str, int]
    failed: Mapping[str, int]
    waiting: Collection[str]
    """The unbans under way that wait for a second person."""
    undone: Mapping[str, int] = field(default_factory=dict)

    def states(self, unban_id: str) -> set[str]:
        """Return the states of an unban, among ``UNBAN_STATES``."""
        is_failed = {"failed"} if unban_id in self.failed else set[str]()
        is_waiting = {"waiting"} if unban_id in self.waiting else set[str]()
        return is_failed | is_waiting | {"under_way" if unban_id in self.under_way else "complete"}

    def read_undone(self, services: Services, unbans: Sequence[Decision]) -> None:
        """Read how many URLs the finished unbans have undone."""
        from chalicelib.ledger import unban_jobs

        self.undone = unban_jobs.undone(services.rows, [decision.after for decision in unbans])


def _progress(services: Services, unbans: Sequence[Decision]) -> Progress:
    from chalicelib.ledger import failed_unbans, unban_jobs

    jobs = unban_jobs.unfinished(services.rows)
    waiting = {job.id for job in jobs if job.waits}
    return Progress({job.id: job.undone for job in jobs}, failed_unbans.read(services.rows, unbans), waiting)


def _show_unban(decision: Decision, progress: Progress) -> dict[str, Any]:
    urls = {**progress.under_way, **progress.undone}
    return {
        "unban_id": decision.after,
        "by": decision.actor,
        "reason": decision.reason,
        "selection": decision.subject,
        "at": decision.at.isoformat(),
        "complete": decision.after not in progress.under_way,
        "waits": decision.after in progress.waiting,
        "urls": urls.get(decision.after, decision.targets or None),
        "failed": progress.failed.get(decision.after, 0),
    }
