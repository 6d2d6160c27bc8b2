"""Routes by which a person bans URLs, and changes the end of bans."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError
from chalicelib.domain.plural import counted
from chalicelib.domain.policy.duration import BAN_DAYS, FOREVER, PLANNED_DAYS, Plan, plan_for
from chalicelib.handlers.http import only, operator
from chalicelib.handlers.unbans import PREVIEW_URLS, canonical_urls
from chalicelib.web import answer, json_body, text_field

if TYPE_CHECKING:
    from chalicelib.pipeline.decisions.by_hand_request import Answer

ENDS = ("ban_days", "ban_for_days", "until")
"""A request has at most one of these fields."""

LONGEST_CATEGORY = 128
"""Characters of a category."""


def ban(services: Services, request: Request) -> Response:
    """Answer ``POST /v1/bans``: ban URLs by hand, or with ``preview`` only say what would be banned."""
    return _carry_out(services, request, only_in_force=False)


def change_end(services: Services, request: Request) -> Response:
    """Answer ``PATCH /v1/bans``: change the end of bans in force, sooner or later."""
    return _carry_out(services, request, only_in_force=True)


def _carry_out(services: Services, request: Request, *, only_in_force: bool) -> Response:
    from chalicelib.pipeline.decisions import ban_by_hand, by_hand_request

    asking = operator(services, request, "operator")
    only(request)
    fields = {"urls": list, "ban_days": int, "ban_for_days": int, "until": str, "reason": str, "preview": bool}
    document = json_body(request, fields if only_in_force else {**fields, "category": str})
    is_preview = document.get("preview", False)
    urls = canonical_urls(document.get("urls", []))
    if not urls:
        raise InputError("urls is missing or empty: name the URLs")
    plan, end = _end(document, services.policy.approvals.longest_days, now())
    if only_in_force and not (plan or end):
        raise InputError("name the new end: one of ban_days, ban_for_days and until")
    asked = by_hand_request.Request(
        actor=asking.name,
        person=asking.person,
        reason="preview" if is_preview else text_field(document, "reason"),
        urls=urls,
        plan=plan,
        end=end,
        category=_category(document),
        only_in_force=only_in_force,
        sources=tuple(services.sources),
    )
    run = services.run()
    if is_preview:
        return answer(200, {"preview": True, **_show(ban_by_hand.preview(run, asked))})
    return answer(202, {"preview": False, **_show(ban_by_hand.ban(run, asked))})


def _category(document: dict[str, Any]) -> str:
    category = str(document.get("category", "")).strip()
    if len(category) > LONGEST_CATEGORY:
        raise InputError(f"category is longer than {LONGEST_CATEGORY} characters")
    return category


def _end(document: dict[str, Any], longest_days: int, moment: datetime) -> tuple[Plan | None, datetime | None]:
    """Read the end that a person gives: a plan in days or for ever, or a moment; neither if the request names none."""
    given = [name for name in ENDS if name in document]
    if len(given) > 1:
        raise InputError(f"name one of {' and '.join(given)}")
    plan: Plan | None = None
    end: datetime | None = None
    if "ban_days" in document:
        plan = plan_for(_days(document, "ban_days", BAN_DAYS))
    if "ban_for_days" in document:
        plan = plan_for(_days(document, "ban_for_days", PLANNED_DAYS))
    if document.get("until") == "unbanned":
        plan = plan_for(None)
    elif "until" in document:
        end = _moment(document["until"], moment)
    last = end or (plan.end(moment) if plan else moment)
    if longest_days and last > plan_for(longest_days).end(moment):
        days = counted(longest_days, "day")
        raise InputError(f"the policy lets a person ban for {days} at most (approvals.longest_days)")
    return plan, end


def _days(document: dict[str, Any], name: str, allowed: range) -> int:
    days = int(document[name])
    if days not in allowed:
        raise InputError(f"{name} must be from {allowed[0]} to {allowed[-1]}")
    return days


def _moment(text: str, moment: datetime) -> datetime:
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        end = None
    if end is None or end.tzinfo is None:
        raise InputError('until must be "unbanned" or a time with its zone, such as 2026-01-15T08:30:00Z')
    end = end.astimezone(UTC).replace(microsecond=0)
    if end <= moment:
        raise InputError("until has passed: to lift bans now, use POST /v1/unbans")
    if end > plan_for(PLANNED_DAYS[-1]).end(moment):
        raise InputError(f'until is more than {PLANNED_DAYS[-1]} days away: write "unbanned" for a ban without an end')
    return end


def _show(made: Answer) -> dict[str, Any]:
    until = None if made.until >= FOREVER else made.until.isoformat()
    first = [{"url": item.url, "account": item.account, "effect": item.effect.value} for item in made.items]
    rejected = [
        {"url": url, "account": account or None, "rule": verdict.rule.value, "reason": verdict.reason}
        for url, account, verdict in made.rejected
    ]
    return {
        "urls": len(made.items),
        "until": until,
        "first": first[:PREVIEW_URLS],
        "rejected": rejected[:PREVIEW_URLS],
        "rejected_urls": len(rejected),
        "holds": made.holds,
        "approvals_needed": 2 if made.holds else 1,
    }
