"""The route by which a person undoes bans: unbans by URL, task, report, decision, source, host or category."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import Conflict, InputError, NotFound
from chalicelib.domain.plural import counted
from chalicelib.handlers.http import host, only, operator
from chalicelib.handlers.second_person import UNBAN_TIME, ask_for_a_second_person
from chalicelib.web import answer, json_body, moment, text_field

if TYPE_CHECKING:
    from chalicelib.ledger.unban_jobs import Job
    from chalicelib.pipeline.run import Run

COUNT_TIME = timedelta(seconds=10)
"""How long a request counts the URLs that it selects, for a preview or for ``expect``."""

UNBAN_URLS = 1_000
"""The most URLs that one request may name."""

PREVIEW_URLS = 100
"""The most URLs that a preview names. It counts all of them, until its time is up."""


SELECTORS = ("urls", "task_id", "report_id", "chunk_id", "source", "host", "category")
TOGETHER = frozenset({"source", "host", "category"})
"""Selectors that may be named together: the bans that match all of them are undone."""

FIELDS: dict[str, type] = {
    "urls": list,
    **dict.fromkeys(SELECTORS[1:], str),
    "since": str,
    "until_time": str,
    "reason": str,
    "cool_down_days": int,
    "preview": bool,
    "expect": int,
    "even_if_others_said_so": bool,
}

COUNTED: Final = (
    "It no longer counts for min_reporters. A ban for which it was only counted stays, in the name of the source whose "
    "report completed the number."
)
"""What a preview says about a source or a report, if the policy wants several reporters."""

TOLERANCE = 10
"""Percent by which an unban may select more or fewer URLs than its request expects."""


def unban(services: Services, request: Request) -> Response:
    """Answer ``POST /v1/unbans``: unban the selected URLs, or with ``preview`` only show them."""
    from chalicelib.ledger import unban_jobs
    from chalicelib.pipeline.decisions.unban import carry_out, names_something
    from chalicelib.pipeline.decisions.unban_selection import not_in_force

    asking = operator(services, request, "operator")
    only(request)
    document = json_body(request, FIELDS)
    job = _job(services, document, actor=asking.name, at=now())
    run = services.run().at("", deadline=job.at + COUNT_TIME)
    named = names_something(run, job, services.sources)
    not_found = {"not_found": not_in_force(run, job.urls)} if job.urls else {}
    limit = services.policy.approvals.lifts_two_above
    needed = 1
    if document.get("preview", False) or "expect" in document or limit:
        selected = _look(services, run, job)
        needed = 2 if limit and (selected.old > limit or not selected.counted_all) else 1
        if selected.counted_all and not selected.urls and not named:
            raise _nothing_selected(job)
        if "expect" in document:
            _hold_against(document["expect"], selected)
        if document.get("preview", False):
            counted = {"note": COUNTED} if (job.source or job.report) and run.policy.needs_corroboration() else {}
            return answer(200, {**selected.as_json(job), "approvals_needed": needed, **not_found, **counted})
        if needed == 2:
            return ask_for_a_second_person(services, job, asking.person, (selected.old, selected.urls))
    elif job.task and not named:
        raise _nothing_selected(job)
    unban_jobs.record(services.rows, job)
    urls = carry_out(run.at("", deadline=now() + UNBAN_TIME), job)
    if urls is None:
        body = {"unban_id": job.id, "complete": False, "message": "a scheduled function completes it"}
        return answer(202, {**body, "approvals_needed": 1, **not_found})
    if not urls and not named:
        raise _nothing_selected(job)
    return answer(202, {"unban_id": job.id, "complete": True, "approvals_needed": 1, "urls": urls, **not_found})


def _job(services: Services, document: dict[str, Any], *, actor: str, at: datetime) -> Job:
    """Read what a request is about. Raises InputError."""
    from chalicelib.ledger import unban_jobs
    from chalicelib.ledger.row import stamp

    named = {name for name in SELECTORS if name in document}
    if len(named) != 1 and not (named and named <= TOGETHER):
        one = f"name exactly one of {', '.join(SELECTORS[:-1])} and {SELECTORS[-1]}"
        raise InputError(f"{one}; of source, host and category several may be named, and all of them apply")
    if any(not document[name] for name in named):
        raise InputError(f"{', '.join(sorted(named))} must not be empty")
    if "urls" in named and "even_if_others_said_so" in document:
        raise InputError("even_if_others_said_so is for a task, a report or a source: URLs are unbanned whoever asked")
    cool_down_days = document.get("cool_down_days", services.policy.cool_down_days)
    if not 0 <= cool_down_days <= 365:
        raise InputError("cool_down_days must be from 0 to 365")
    if document.get("expect", 0) < 0:
        raise InputError("expect must be how many URLs the preview counted")
    since, until_time = _span(document, named, at)
    walks_journal = named == {"source"}
    selection: dict[str, Any] = {
        "urls": canonical_urls(document.get("urls", [])),
        "task": document.get("task_id", ""),
        "report": document.get("report_id", ""),
        "source": document.get("source", ""),
        "chunk": document.get("chunk_id", ""),
        "host": host(document.get("host", "")),
        "category": document.get("category", ""),
        "since": since,
        "until_time": until_time,
        "place": stamp(since) if since and walks_journal else "",
    }
    selection = {name: value for name, value in selection.items() if value}
    return unban_jobs.Job(
        id=unban_jobs.new_id(at, beginning=unban_jobs.beginning_of(selection)),
        actor=actor,
        reason="preview" if document.get("preview", False) else text_field(document, "reason"),
        cool_down_days=cool_down_days,
        at=at,
        even_if_others_said_so=document.get("even_if_others_said_so", False),
        **selection,
    )


def _span(document: dict[str, Any], named: set[str], at: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the moments between which bans are undone; ``None``: no bound. Raises InputError."""
    from chalicelib.pipeline.decisions.unban_by_source import LOOK_BACK

    since, until_time = (moment(name, document.get(name, "")) for name in ("since", "until_time"))
    if (since or until_time) and not named <= TOGETHER:
        raise InputError("since and until_time go with source, host and category: they select bans by their time")
    if since and named == {"source"} and not at - LOOK_BACK <= since <= at:
        raise InputError(f"since must be a time of the last {LOOK_BACK.days} days")
    if since and since > at:
        raise InputError("since is in the future: name a time that has passed")
    if until_time and until_time <= (since or at - LOOK_BACK):
        raise InputError(f"until_time must be later than since, and in the last {LOOK_BACK.days} days")
    return since, until_time


def canonical_urls(named: list[Any]) -> tuple[str, ...]:
    """Return the canonical URLs, each once. Raises InputError that says which one cannot be used."""
    from chalicelib.domain.errors import UnusableUrl
    from chalicelib.domain.urls import canonical_url

    if len(named) > UNBAN_URLS:
        raise InputError(f"urls holds {len(named):,}: name at most {UNBAN_URLS:,} a request")
    urls = []
    for index, url in enumerate(named):
        if not isinstance(url, str):
            raise InputError(f"urls[{index}] must be a string")
        try:
            urls.append(canonical_url(url))
        except UnusableUrl as error:
            raise InputError(f"urls[{index}]: {error.reason}") from error
    if sum(map(len, urls)) > 300_000:
        raise InputError("the urls are longer than 300,000 characters together: send fewer a request")
    return tuple(dict.fromkeys(urls))


def _nothing_selected(job: Job) -> NotFound:
    """Return the error of an unban that selects nothing."""
    if job.urls:
        return NotFound("none of these URLs is of a managed domain, and no ban of them is known: look at the hosts")
    if job.by_index:
        return NotFound(f"no ban in force is of {', '.join(job.subjects)[:300]}: look at GET /v1/bans with it")
    kind, _, name = job.subjects[0].partition(":")
    return NotFound(f"there is no {kind} {name[:100]!r}, and no ban in force was made by one: check the name")


@dataclass(slots=True)
class Selected:
    """What an unban selects: how many URLs, and the first of them; and which URLs stay banned for which sources."""

    urls: int = 0
    counted_all: bool = True
    first: list[dict[str, str]] = field(default_factory=list)
    old: int = 0
    """How many of the URLs have bans older than a day."""
    stay: int = 0
    stay_first: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self, job: Job) -> dict[str, Any]:
        """Return the answer of a preview."""
        body = {"preview": True, "urls": self.urls, "counted_all": self.counted_all, "first": self.first}
        return {**body, "stay": self.stay, "stay_first": self.stay_first} if job.takes_back_words else body


def _look(services: Services, run: Run, job: Job) -> Selected:
    """Count what an unban selects, until the time is up, and change nothing."""
    from chalicelib.ledger.packed_words import unpack
    from chalicelib.pipeline.decisions.second_person import is_young
    from chalicelib.pipeline.decisions.unban import Undoing
    from chalicelib.pipeline.decisions.unban_selection import select

    selected, undoing, names = Selected(), Undoing.of(run, job), list(services.sources)
    seen: set[str] = set()
    for group in select(run, job):
        for claim in group.claims:
            if claim.key in seen:  # it was on its way, and came into force while this counts
                continue
            seen.add(claim.key)
            shown: dict[str, Any] = {"url": claim.url, "account": claim.account}
            if undoing.stays(claim):
                selected.stay += 1
                if len(selected.stay_first) < PREVIEW_URLS:
                    others = sorted({word.source for word in unpack(undoing.left(claim), names)})
                    selected.stay_first.append({**shown, "sources": others})
                continue
            selected.urls += 1
            selected.old += not is_young(claim, job.at)
            if len(selected.first) < PREVIEW_URLS:
                selected.first.append(shown)
        if run.time_is_up:
            selected.counted_all = False
            break
    return selected


def _hold_against(expected: int, selected: Selected) -> None:
    """Raise Conflict if an unban selects another number of URLs than the person expects."""
    more = selected.urls * 100 > expected * (100 + TOLERANCE)
    fewer = selected.counted_all and selected.urls * 100 < expected * (100 - TOLERANCE)
    if more or fewer:
        count = counted(selected.urls, "URL") + ("" if selected.counted_all else " or more")
        problem = f"it is about {count}, and the request expects {expected:,}"
        raise Conflict(f"{problem}: look at the preview again; nothing was undone")
    if not selected.counted_all:
        problem = f"the time of {COUNT_TIME.seconds} s was up after {counted(selected.urls, 'URL')}"
        raise Conflict(f"{problem}: leave expect out, or undo a part at a time; nothing was undone")
