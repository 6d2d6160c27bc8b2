"""Routes for holds: the URLs that wait for a person, and the person's decisions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError
from chalicelib.domain.model import Rule
from chalicelib.handlers.http import OURS, account_served, choice, host, listed, only, operator, page, token_like
from chalicelib.web import answer, json_body, page_size, query, text_field, texts_field

if TYPE_CHECKING:
    from chalicelib.pipeline.decisions.several_holds import Decided

BULK_TIME = timedelta(seconds=15)
"""How long one request decides. API Gateway ends a request after 29 s."""

BULK_HOLDS = 100
"""The most holds that one request decides about."""

EXCEPTIONS = 1_000
"""The most URLs that one decision may except: as many as a hold has."""

PAGE_URLS = 1_000


def list_holds(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/holds``: the holds that wait for a person, and how many there are by rule and source."""
    from chalicelib.pipeline.decisions import asked_by, hold_view

    operator(services, request, "reader")
    only(request, "account", "source", "rule", "host", "limit", "next_token")
    wanted = hold_view.Wanted(
        account_served(services, request),
        query(request, "source", needed=False, longest=200),
        choice(request, "rule", Rule),
        host(query(request, "host", needed=False, longest=300)),
    )
    limit, after = page_size(request), token_like(request, OURS)
    run = services.run()
    waiting = hold_view.waiting(run, wanted, after=after, limit=limit)
    asked = asked_by.read(run, [view.hold for view in waiting.following[:limit]], services.sources)

    def show(view: hold_view.HoldView) -> dict[str, Any]:
        return hold_view.show(view, asked[view.hold.work.chunk])

    body = page("holds", waiting.following, limit, show=show, token=lambda view: view.hold.work.chunk)
    return listed(request, "holds", {**body, "groups": waiting.groups}, hold_view.COLUMNS)


def read_hold(services: Services, hold_id: str, request: Request) -> Response:
    """Answer ``GET /v1/holds/{id}``: the URLs of a hold, who reported them, and what was decided about it."""
    from chalicelib.pipeline.decisions import hold_view

    operator(services, request, "reader")
    only(request, "limit", "next_token")
    limit = page_size(request, default=PAGE_URLS, most=PAGE_URLS)
    token = query(request, "next_token", needed=False, longest=6) or "0"
    if not token.isascii() or not token.isdigit():
        raise InputError("next_token must be the one of the page before")
    body = hold_view.one(services.run(), hold_id, start=int(token), limit=limit, sources=services.sources)
    return listed(request, "urls", body, hold_view.URL_COLUMNS)


def approve_hold(services: Services, hold_id: str, request: Request) -> Response:
    """Answer ``POST /v1/holds/{id}/approve``."""
    from chalicelib.pipeline.decisions import holds

    asking = operator(services, request, "approver")
    only(request)
    document = json_body(request, {"reason": str, "except": list})
    reason = text_field(document, "reason")
    excepted = texts_field(document, "except", most=EXCEPTIONS)
    approval = holds.approve(
        services.run(), hold_id, actor=asking.name, reason=reason, person=asking.person, excepted=excepted
    )
    body = {
        "hold_id": hold_id,
        "state": approval.state.value,
        "approvals": approval.approvals,
        "approvals_needed": approval.approvals_needed,
        "approved": approval.approved,
        "refused": approval.refused,
    }
    return answer(200, body)


def refuse_hold(services: Services, hold_id: str, request: Request) -> Response:
    """Answer ``POST /v1/holds/{id}/refuse``."""
    from chalicelib.pipeline.decisions import holds

    actor = operator(services, request, "approver").name
    only(request)
    reason = text_field(json_body(request, {"reason": str}), "reason")
    urls = holds.refuse(services.run(), hold_id, actor=actor, reason=reason)
    return answer(200, {"hold_id": hold_id, "state": "refused", "urls": urls})


def decide_holds(services: Services, request: Request) -> Response:
    """Answer ``POST /v1/holds/decisions``: decide about several holds in order, each separately, until time is up."""
    from chalicelib.pipeline.decisions import several_holds

    asking = operator(services, request, "approver")
    only(request)
    document = json_body(request, {"reason": str, "decisions": list})
    reason = text_field(document, "reason")
    wanted = [_decision(index, entry) for index, entry in enumerate(document.get("decisions", []))]
    if not 1 <= len(wanted) <= BULK_HOLDS:
        raise InputError(f"decisions holds {len(wanted):,}: name from 1 to {BULK_HOLDS} holds a request")
    if len({decision.hold_id for decision in wanted}) < len(wanted):
        raise InputError("decisions names a hold twice: decide about each once")
    run = services.run().at("", deadline=now() + BULK_TIME)
    results = several_holds.decide_all(run, wanted, actor=asking.name, reason=reason, person=asking.person)
    return answer(200, {"results": [_show_decided(decided) for decided in results]})


def _decision(index: int, entry: Any) -> Any:
    """Read one decision of several. Raises InputError that names its place."""
    from chalicelib.pipeline.decisions.several_holds import Wish

    place = f"decisions[{index}]"
    if not isinstance(entry, dict) or not entry.keys() <= {"hold_id", "decision", "except"}:
        raise InputError(f"{place} must be an object with hold_id, decision and, for an approval, except")
    hold_id, decision = entry.get("hold_id"), entry.get("decision")
    if not isinstance(hold_id, str) or not hold_id:
        raise InputError(f"{place}.hold_id must be the hold_id of a hold")
    if decision not in {"approve", "refuse"}:
        raise InputError(f"{place}.decision must be approve or refuse")
    excepted = texts_field(entry, "except", most=EXCEPTIONS)
    if excepted and decision == "refuse":
        raise InputError(f"{place}.except goes with an approval alone: a refusal refuses all URLs")
    return Wish(hold_id, decision == "approve", excepted)


def _show_decided(decided: Decided) -> dict[str, Any]:
    error = {"code": decided.error.code, "message": str(decided.error)} if decided.error else None
    return {"hold_id": decided.hold_id, "status": decided.status.value, "state": decided.state or None, "error": error}
