"""Routes for unbans that wait for a second person, if the policy says so."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.handlers.http import only, operator
from chalicelib.web import answer, json_body, text_field

if TYPE_CHECKING:
    from chalicelib.ledger.unban_jobs import Job

UNBAN_TIME = timedelta(seconds=15)
"""How long a request itself works at an unban. The sweep does the rest. API Gateway ends a request after 29 s."""


def ask_for_a_second_person(services: Services, job: Job, person: str, counts: tuple[int, int]) -> Response:
    """Record an unban for another person to approve, and lift the bans that are younger than a day at once.

    ``counts`` are the number of URLs with older bans, and the number of all URLs.
    """
    from chalicelib.ledger import unban_jobs
    from chalicelib.pipeline.decisions import second_person
    from chalicelib.pipeline.decisions.unban import carry_out

    run = services.run().at("", deadline=now() + UNBAN_TIME)
    old, every = counts
    waiting, young = second_person.ask(run, job, person=person, urls=old)
    lifted = 0
    if old < every:
        unban_jobs.record(services.rows, young)
        lifted = carry_out(run, young) or 0
    message = (
        f"another person must approve it: POST /v1/unbans/{waiting.id}/approve; bans younger than a day are lifted"
    )
    return answer(
        202, {"unban_id": waiting.id, "complete": False, "approvals_needed": 2, "urls": lifted, "message": message}
    )


def approve_unban(services: Services, unban_id: str, request: Request) -> Response:
    """Answer ``POST /v1/unbans/{id}/approve``: carry out an unban that waits for a second person."""
    from chalicelib.pipeline.decisions import second_person
    from chalicelib.pipeline.decisions.unban import carry_out

    asking = operator(services, request, "operator")
    only(request)
    reason = text_field(json_body(request, {"reason": str}), "reason")
    run = services.run().at("", deadline=now() + UNBAN_TIME)
    job = second_person.approve(run, unban_id, actor=asking.name, person=asking.person, reason=reason)
    urls = carry_out(run, job)
    body = {"unban_id": unban_id, "complete": urls is not None, "approvals_needed": 1}
    return answer(202, body if urls is None else {**body, "urls": urls})


def cancel_unban(services: Services, unban_id: str, request: Request) -> Response:
    """Answer ``POST /v1/unbans/{id}/cancel``: take back an unban that waits for a second person."""
    from chalicelib.pipeline.decisions import second_person

    actor = operator(services, request, "operator").name
    only(request)
    reason = text_field(json_body(request, {"reason": str}), "reason")
    second_person.cancel(services.run(), unban_id, actor=actor, reason=reason)
    return answer(200, {"unban_id": unban_id, "complete": True, "urls": 0})
