"""Routes for operators: what is decided about a URL, and whether all is well."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.domain.policy.protection import Protection
from chalicelib.handlers.http import operator
from chalicelib.web import answer, query

if TYPE_CHECKING:
    from chalicelib.ledger.control import Control

VERSION = "1.0.0"

OPENAPI = Path(__file__).parents[1] / "openapi.json"
"""The description of the API. It is data: tests/app/test_openapi.py says what must change with it."""


def read(made: Services, request: Request) -> Response:
    """Answer ``GET /v1/urls?url=``."""
    from chalicelib.domain.errors import UnusableUrl
    from chalicelib.domain.urls import canonical_url, host_of
    from chalicelib.pipeline.answers import history, operator_view, url_status

    operator(made, request, "reader")
    try:
        url = canonical_url(query(request, "url"))
    except UnusableUrl as error:
        raise InputError(f"url: {error.reason}") from error
    found = url_status.of_url(url, rows=made.rows, policy=made.policy, now=now())
    protection = made.policy.protected.find(url, host_of(url), now())
    if not found and not protection:
        raise NotFound("no report of this URL was accepted, or its rows have expired")
    told = [{**operator_view.whole(each), "history": history.of_status(each, rows=made.rows)} for each in found]
    return answer(200, {"url": url, "protected": _protected(protection) if protection else None, "accounts": told})


def _protected(protection: Protection) -> dict[str, str | None]:
    expires = protection.expires.isoformat() if protection.expires else None
    return {"entry": protection.entry, "comment": protection.comment, "expires": expires}


def health(made: Services, request: Request) -> Response:
    """Answer ``GET /v1/health``: to an operator also which accounts are paused or blocked, by whom and why."""
    from chalicelib.ledger import control

    names: list[str] = []
    if any(header.lower() == "authorization" for header in request.headers):
        operator(made, request, "reader")
        names = list(made.policy.accounts)
    controls = control.read(made.rows, [control.EVERYWHERE, *names])  # for a stranger too: does the ledger answer?
    body: dict[str, Any] = {"status": "ok", "version": VERSION, "stage": made.settings.stage}
    if names:
        everywhere = controls[control.EVERYWHERE]
        body["accounts"] = [_account(controls[name], everywhere, now()) for name in names]
    return answer(200, body)


def _account(own: Control, everywhere: Control, at: datetime) -> dict[str, Any]:
    """Return what keeps submission at an account: its own pause, the one of all accounts, or the vendor's refusal."""
    from chalicelib.ledger.control import AccountState

    pause = own if own.paused else everywhere
    if pause.paused:
        since = pause.paused_at.isoformat() if pause.paused_at else None
        paused = {"paused_account": pause.account, "by": pause.paused_by, "reason": pause.reason, "since": since}
        return {"account": own.account, "state": AccountState.PAUSED, **paused}
    if own.blocked_until and own.blocked_until > at:
        blocked = {"reason": own.blocked_reason, "until": own.blocked_until.isoformat()}
        return {"account": own.account, "state": AccountState.BLOCKED, **blocked}
    return {"account": own.account, "state": AccountState.RUNNING}


def openapi() -> Response:
    """Answer ``GET /v1/openapi.json`` with the checked-in document."""
    return Response(body=OPENAPI.read_text(), status_code=200, headers={"Content-Type": "application/json"})
