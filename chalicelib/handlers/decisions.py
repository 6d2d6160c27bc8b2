"""Routes for what a person decides: unbans and holds."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.handlers.http import operator
from chalicelib.web import answer, json_body, page_size, query, text_field

if TYPE_CHECKING:
    from chalicelib.ledger.unban_jobs import Job
    from chalicelib.pipeline.run import Run

UNBAN_TIME = timedelta(seconds=15)
"""How long a request carries an unban out itself, of API Gateway's 29 s; the sweep does the rest."""

UNBAN_URLS = 1_000
"""URLs that one request may unban by name."""

PREVIEW_URLS = 100
"""URLs that a preview names; it counts them all, as far as its time goes."""


# --- unbans ----------------------------------------------------------------------------------------------------------


def unban(made: Services, request: Request) -> Response:
    """Answer ``POST /v1/unbans``: unban what is selected, or with ``preview`` only show it."""
    from chalicelib.ledger import unban_jobs
    from chalicelib.pipeline.decisions.unban import carry_out, names_something

    who = operator(made, request, "operator")
    fields = {
        "urls": list,
        "task_id": str,
        "report_id": str,
        "source": str,
        "reason": str,
        "cool_down_days": int,
        "preview": bool,
    }
    document = json_body(request, fields)
    if sum(name in document for name in ("urls", "task_id", "report_id", "source")) != 1:
        raise InputError("name exactly one of urls, task_id, report_id and source")
    cool_down_days = document.get("cool_down_days", made.policy.cool_down_days)
    if not 0 <= cool_down_days <= 365:
        raise InputError("cool_down_days must be from 0 to 365")
    preview = document.get("preview", False)
    moment = now()
    job = unban_jobs.Job(
        id=unban_jobs.new_id(moment),
        actor=who.name,
        reason="preview" if preview else text_field(document, "reason"),
        cool_down_days=cool_down_days,
        at=moment,
        urls=_urls(document.get("urls", [])),
        task=document.get("task_id", ""),
        report=document.get("report_id", ""),
        source=document.get("source", ""),
    )
    run = made.run().at("", deadline=moment + UNBAN_TIME)
    named = names_something(run, job, made.sources)
    if preview:
        return answer(200, _preview(run, job, named=named))
    if job.task and not named:
        raise _nothing(job)
    unban_jobs.record(made.rows, job)
    urls = carry_out(run, job)
    if urls is None:
        return answer(202, {"unban_id": job.id, "complete": False, "message": "a scheduled function carries it on"})
    if not urls and not named:
        raise _nothing(job)
    return answer(202, {"unban_id": job.id, "complete": True, "urls": urls})


def _urls(given: list[Any]) -> tuple[str, ...]:
    from chalicelib.domain.errors import UnusableUrl
    from chalicelib.domain.urls import canonical_url

    if len(given) > UNBAN_URLS:
        raise InputError(f"urls holds {len(given):,}: name at most {UNBAN_URLS:,} a request")
    urls = []
    for index, each in enumerate(given):
        if not isinstance(each, str):
            raise InputError(f"urls[{index}] must be a string")
        try:
            urls.append(canonical_url(each))
        except UnusableUrl as error:
            raise InputError(f"urls[{index}]: {error.reason}") from error
    if sum(map(len, urls)) > 300_000:
        raise InputError("the urls are longer than 300,000 characters together: send fewer a request")
    return tuple(dict.fromkeys(urls))


def _nothing(job: Job) -> NotFound:
    if job.urls:
        return NotFound("none of these URLs is of a managed domain, and no ban of them is known: look at the hosts")
    what, _, name = job.subject.partition(":")
    return NotFound(f"there is no {what} {name[:100]!r}, and no ban in force goes back to one: look at the name again")


def _preview(run: Run, job: Job, *, named: bool) -> dict[str, Any]:
    from chalicelib.pipeline.decisions.unban_selection import select

    urls, counted_all = 0, True
    first: list[dict[str, str]] = []
    for group in select(run, job):
        urls += len(group.claims)
        shown = group.claims[: PREVIEW_URLS - len(first)]
        first += [{"url": claim.url, "account": claim.account} for claim in shown]
        if run.time_is_up:
            counted_all = False
            break
    if counted_all and not urls and not named:
        raise _nothing(job)
    return {"preview": True, "urls": urls, "counted_all": counted_all, "first": first}


# --- holds -----------------------------------------------------------------------------------------------------------


def list_holds(made: Services, request: Request) -> Response:
    """Answer ``GET /v1/holds``."""
    from chalicelib.pipeline.decisions import holds

    operator(made, request, "reader")
    limit, after = page_size(request), query(request, "next_token", needed=False, longest=200)
    found = [each for each in holds.all_held(made.rows, made.policy.accounts) if each.chunk > after]
    body: dict[str, Any] = {
        "holds": [
            {
                "hold_id": each.chunk,
                "account": each.account,
                "rule": each.rule,
                "urls": each.count - len(each.excluded),
                "since": each.received_at.isoformat(),
                "ban_days": each.ban_days,
                "approved_by": each.approved_by or None,
            }
            for each in found[:limit]
        ]
    }
    if len(found) > limit:
        body["next_token"] = found[limit - 1].chunk
    return answer(200, body)


def read_hold(made: Services, hold_id: str, request: Request) -> Response:
    """Answer ``GET /v1/holds/{id}``: the URLs with who reported them."""
    from chalicelib.pipeline.decisions import holds

    operator(made, request, "reader")
    hold = holds.read_hold(made.rows, hold_id)
    urls = [
        {
            "url": hold.chunk.urls[p],
            "report_id": o.report,
            "source": o.source,
            "reporter": o.reporter,
            "category": o.category,
        }
        for p in hold.positions
        for o in (hold.chunk.origins[p],)
    ]
    return answer(200, {"hold_id": hold_id, "account": hold.work.account, "rule": hold.work.rule, "urls": urls})


def approve_hold(made: Services, hold_id: str, request: Request) -> Response:
    """Answer ``POST /v1/holds/{id}/approve``."""
    from chalicelib.pipeline.decisions import holds

    who = operator(made, request, "approver")
    reason = text_field(json_body(request, {"reason": str}), "reason")
    approval = holds.approve(made.run(), hold_id, actor=who.name, reason=reason)
    body = {
        "hold_id": hold_id,
        "state": approval.state.value,
        "approvals": approval.approvals,
        "approvals_needed": approval.approvals_needed,
    }
    return answer(200, body)


def refuse_hold(made: Services, hold_id: str, request: Request) -> Response:
    """Answer ``POST /v1/holds/{id}/refuse``."""
    from chalicelib.pipeline.decisions import holds

    who = operator(made, request, "approver")
    reason = text_field(json_body(request, {"reason": str}), "reason")
    urls = holds.refuse(made.run(), hold_id, actor=who.name, reason=reason)
    return answer(200, {"hold_id": hold_id, "state": "refused", "urls": urls})
