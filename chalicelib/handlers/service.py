"""Routes about the service itself: its health and its description."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib import VERSION
from chalicelib.bootstrap import Services, now
from chalicelib.handlers.http import only, operator
from chalicelib.web import answer

if TYPE_CHECKING:
    from chalicelib.ledger.control import Control


OPENAPI = Path(__file__).parents[1] / "openapi.json"
"""The description of the API. It is data: tests/app/test_openapi.py says what must change with it."""


def me(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/me``: the name and the role of the operator who asks, and the stage."""
    asking = operator(services, request, "reader")
    only(request)
    return answer(200, {"name": asking.name, "role": asking.role, "stage": services.settings.stage, "version": VERSION})


def health(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/health``: to an operator also which accounts are paused or blocked, by whom and why."""
    from chalicelib.ledger import control

    only(request)
    names: list[str] = []
    if any(header.lower() == "authorization" for header in request.headers):
        operator(services, request, "reader")
        names = list(services.policy.accounts)
    controls = control.read(services.rows, [control.EVERYWHERE, *names])  # for a stranger too: does the ledger answer?
    body: dict[str, Any] = {"status": "ok", "version": VERSION, "stage": services.settings.stage}
    if names:
        everywhere = controls[control.EVERYWHERE]
        body["accounts"] = [_show_account(controls[name], everywhere, now()) for name in names]
    return answer(200, body)


def _show_account(own: Control, everywhere: Control, at: datetime) -> dict[str, Any]:
    """Return what stops submission at an account: its own pause, the pause of all accounts, or the vendor's refusal."""
    from chalicelib.ledger.control import AccountState

    pause = own if own.paused else everywhere
    if pause.paused:
        since = pause.paused_at.isoformat() if pause.paused_at else None
        paused = {"paused_account": pause.account, "by": pause.paused_by, "reason": pause.reason, "since": since}
        return {"account": own.account, "state": AccountState.PAUSED, **paused}
    for block in (own.block, *(own.blocks.get(subject) for subject in ("ban", "unban", "exports"))):
        if block is None or block.until <= at:
            continue
        blocked = {"reason": block.reason, "until": block.until.isoformat()}
        return {"account": own.account, "state": AccountState.BLOCKED, **blocked}
    return {"account": own.account, "state": AccountState.RUNNING}


def openapi(_services: Services, _request: Request) -> Response:
    """Answer ``GET /v1/openapi.json`` with the checked-in document."""
    return Response(body=OPENAPI.read_text(), status_code=200, headers={"Content-Type": "application/json"})
