"""Routes for what a person decides: unbans, holds, adoptions."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.handlers.http import operator
from chalicelib.web import answer, json_body, page_size, query, text_field

UNBAN_TIME = timedelta(seconds=15)
"""How long a request carries an unban out itself, of API Gateway's 29 s; the sweep does the rest."""

UNBAN_URLS = 1_000
ADOPTED_URLS = 50
"""URLs that one request may adopt: the vendor is asked for each, below its rate."""

PREVIEW_URLS = 100
"""URLs that a preview names; it counts them all, as far as its time goes."""


# --- unbans ----------------------------------------------------------------------------------------------------------


def unban(made: Services, request: Request) -> Response:
    """Answer ``POST /v1/unbans``: what of the selection is banned is unbanned, or with ``preview`` only shown."""
    from chalicelib.pipeline.decisions import unban as unbans

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
    job = unbans.Job(
        id=unbans.new_id(moment),
        actor=who.name,
        reason="preview" if preview else text_field(document, "reason"),
        cool_down_days=cool_down_days,
        at=moment,
        urls=_urls(document.get("urls", [])),
        task=document.get("task_id", ""),
        report=document.get("report_id", ""),
        source=document.get("source", ""),
    )
    known = unbans.known(job, rows=made.rows, sources=made.sources)
    if preview:
        return answer(200, _preview(made, job, known=known))
    if job.task and not known:
        raise _nothing(job)
    unbans.record(made.rows, job)
    done = unbans.carry_out(
        job,
        rows=made.rows,
        policy=made.policy,
        wake=made.wake,
        emit=made.emit,
        clock=now,
        deadline=moment + UNBAN_TIME,
    )
    if done is None:
        return answer(202, {"unban_id": job.id, "complete": False, "message": "a scheduled function carries it on"})
    if not done and not known:
        raise _nothing(job)
    return answer(202, {"unban_id": job.id, "complete": True, "urls": done})


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


def _nothing(job: Any) -> NotFound:
    what, _, name = job.subject.partition(":")
    return NotFound(f"there is no {what} {name[:100]!r}, and no ban in force goes back to one: look at the name again")


def _preview(made: Services, job: Any, *, known: bool) -> dict[str, Any]:
    from chalicelib.pipeline.decisions.unban_selection import select

    deadline = now() + UNBAN_TIME
    count, complete = 0, True
    named: list[dict[str, str]] = []
    for group in select(made.run(), job):
        count += len(group.claims)
        named += [{"url": each.url, "account": each.account} for each in group.claims[: PREVIEW_URLS - len(named)]]
        if now() >= deadline:
            complete = False
            break
    if complete and not count and not known:
        raise _nothing(job)
    return {"preview": True, "urls": count, "counted_all": complete, "first": named}


# --- holds -----------------------------------------------------------------------------------------------------------


def list_holds(made: Services, request: Request) -> Response:
    """Answer ``GET /v1/holds``."""
    from chalicelib.pipeline.decisions import holds

    operator(made, request, "reader")
    limit, after = page_size(request), query(request, "next_token", needed=False, longest=200)
    found = [each for each in holds.listed(made.policy.accounts, rows=made.rows) if each.chunk > after]
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
    hold = holds.read(hold_id, rows=made.rows)
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
    complete = holds.approve(
        hold_id,
        actor=who.name,
        reason=reason,
        policy=made.policy,
        rows=made.rows,
        wake=made.wake,
        emit=made.emit,
        now=now(),
    )
    state = "approved" if complete else "approved once: its size takes a second, different approver"
    return answer(200, {"hold_id": hold_id, "complete": complete, "state": state})


def refuse_hold(made: Services, hold_id: str, request: Request) -> Response:
    """Answer ``POST /v1/holds/{id}/refuse``."""
    from chalicelib.pipeline.decisions import holds

    who = operator(made, request, "approver")
    reason = text_field(json_body(request, {"reason": str}), "reason")
    urls = holds.refuse(hold_id, actor=who.name, reason=reason, rows=made.rows, emit=made.emit, now=now())
    return answer(200, {"hold_id": hold_id, "state": "refused", "urls": urls})


def adopt_bans(made: Services, request: Request) -> Response:
    """Answer ``POST /v1/adoptions``: bans that the vendor's list shows and we never made become ours to unban."""
    from chalicelib.domain.policy.rules import accounts_for
    from chalicelib.ledger import audit
    from chalicelib.pipeline.upkeep import drift

    who = operator(made, request, "operator")
    document = json_body(request, {"account": str, "urls": list, "reason": str})
    account, urls = document.get("account", ""), _urls(document.get("urls", []))
    if account not in made.policy.accounts:
        raise InputError(f"account must be one of {', '.join(made.policy.accounts)}")
    if len(urls) > ADOPTED_URLS:
        raise InputError(f"urls holds {len(urls):,}: name at most {ADOPTED_URLS} a request")
    for url in urls:
        if account not in accounts_for(url, made.policy):
            raise InputError(f"the host of {url[:80]} is not a managed domain of {account}")
    reason = text_field(document, "reason")
    shown = drift.shown(
        account, urls, vendor=made.vendor(account), clock=now, sleep=time.sleep, deadline=now() + UNBAN_TIME
    )
    if shown is None:
        raise InputError("the vendor answers too slowly to ask for so many urls: name fewer a request")
    adopted = 0
    if shown:
        audit.record(made.rows, audit.Decision(who.name, "adopt", f"account:{account}", reason, now()))
        adopted = drift.adopt(made.run(), account, shown, actor=who.name, reason=reason)
    not_banned = [url for url in urls if url not in shown]
    known_before = len(shown) - adopted
    body = {"account": account, "adopted": adopted, "known_before": known_before, "not_banned": not_banned}
    return answer(200, body)
