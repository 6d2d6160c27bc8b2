"""Routes for what a person undoes: unbans."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.handlers.http import only, operator
from chalicelib.web import answer, json_body, moment, text_field

if TYPE_CHECKING:
    from chalicelib.ledger.unban_jobs import Job
    from chalicelib.pipeline.run import Run

UNBAN_TIME = timedelta(seconds=15)
"""How long a request works at an unban itself; the sweep does the rest. API Gateway ends a request after 29 s."""

UNBAN_URLS = 1_000
"""The most URLs that one request may name."""

PREVIEW_URLS = 100
"""The most URLs that a preview names. It counts all of them, until its time is up."""


def unban(services: Services, request: Request) -> Response:
    """Answer ``POST /v1/unbans``: unban the selected URLs, or with ``preview`` only show them."""
    from chalicelib.ledger import unban_jobs
    from chalicelib.pipeline.decisions.unban import carry_out, names_something

    actor = operator(services, request, "operator").name
    only(request)
    fields = {
        "urls": list,
        "task_id": str,
        "report_id": str,
        "source": str,
        "reason": str,
        "cool_down_days": int,
        "preview": bool,
        "even_if_others_said_so": bool,
        "since": str,
    }
    document = json_body(request, fields)
    if sum(name in document for name in ("urls", "task_id", "report_id", "source")) != 1:
        raise InputError("name exactly one of urls, task_id, report_id and source")
    if "urls" in document and "even_if_others_said_so" in document:
        raise InputError("even_if_others_said_so is for a task, a report or a source: URLs are unbanned whoever asked")
    cool_down_days = document.get("cool_down_days", services.policy.cool_down_days)
    if not 0 <= cool_down_days <= 365:
        raise InputError("cool_down_days must be from 0 to 365")
    preview = document.get("preview", False)
    at = now()
    since = _since(document, at)
    job = unban_jobs.Job(
        id=unban_jobs.new_id(at),
        actor=actor,
        reason="preview" if preview else text_field(document, "reason"),
        cool_down_days=cool_down_days,
        at=at,
        urls=canonical_urls(document.get("urls", [])),
        task=document.get("task_id", ""),
        report=document.get("report_id", ""),
        source=document.get("source", ""),
        even_if_others_said_so=document.get("even_if_others_said_so", False),
        place=since,
    )
    run = services.run().at("", deadline=at + UNBAN_TIME)
    named = names_something(run, job, services.sources)
    if preview:
        return answer(200, _preview(services, run, job, named=named))
    if job.task and not named:
        raise _nothing_selected(job)
    unban_jobs.record(services.rows, job)
    urls = carry_out(run, job)
    if urls is None:
        return answer(202, {"unban_id": job.id, "complete": False, "message": "a scheduled function completes it"})
    if not urls and not named:
        raise _nothing_selected(job)
    return answer(202, {"unban_id": job.id, "complete": True, "urls": urls})


def _since(document: dict[str, Any], at: datetime) -> str:
    """Return the place in the journal from which a source's bans are undone; empty: from 40 days ago."""
    from chalicelib.ledger.row import stamp
    from chalicelib.pipeline.decisions.unban_selection import LOOK_BACK

    since = moment("since", document.get("since", ""))
    if since is None:
        return ""
    if "source" not in document:
        raise InputError("since goes with source: it says from when on the source is undone")
    if not at - LOOK_BACK <= since <= at:
        raise InputError(f"since must be a time of the last {LOOK_BACK.days} days")
    return stamp(since)


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
    kind, _, name = job.subject.partition(":")
    return NotFound(f"there is no {kind} {name[:100]!r}, and no ban in force was made by one: check the name")


def _preview(services: Services, run: Run, job: Job, *, named: bool) -> dict[str, Any]:
    """Return how many URLs an unban selects, and the first of them; and those that stay banned, and for whom."""
    from chalicelib.ledger.packed_words import unpack
    from chalicelib.pipeline.decisions.unban import Undoing
    from chalicelib.pipeline.decisions.unban_selection import select

    urls, stay, counted_all = 0, 0, True
    first: list[dict[str, str]] = []
    kept: list[dict[str, Any]] = []
    undoing, names = Undoing.of(run, job), list(services.sources)
    for group in select(run, job):
        staying = [claim for claim in group.claims if undoing.stays(claim)]
        stay += len(staying)
        for claim in staying[: PREVIEW_URLS - len(kept)]:
            others = sorted({word.source for word in unpack(undoing.left(claim), names)})
            kept.append({"url": claim.url, "account": claim.account, "sources": others})
        claims = [claim for claim in group.claims if not undoing.stays(claim)]
        urls += len(claims)
        shown = claims[: PREVIEW_URLS - len(first)]
        first += [{"url": claim.url, "account": claim.account} for claim in shown]
        if run.time_is_up:
            counted_all = False
            break
    if counted_all and not urls and not named:
        raise _nothing_selected(job)
    answered = {"preview": True, "urls": urls, "counted_all": counted_all, "first": first}
    return {**answered, "stay": stay, "stay_first": kept} if undoing.is_of_words else answered
