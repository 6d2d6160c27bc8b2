"""``GET /v1/health`` says that the service answers, and tells operators what stops submission."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from chalicelib.domain.errors import LedgerUnavailable, QuotaExceeded
from chalicelib.ledger import control
from dev.fakes.api import Api, refused
from dev.fakes.world import ACCOUNT


def accounts(api: Api) -> list[dict[str, Any]]:
    answer = api.as_operator("health")
    assert answer.status_code == 200
    return list(answer.json_body["accounts"])


def test_a_stranger_learns_that_the_service_answers_and_nothing_of_accounts(api: Api) -> None:
    control.set_paused(api.world.rows, ACCOUNT, actor="olaf", reason="incident 7", now=api.world.clock())
    answer = api.get("health")
    assert answer.status_code == 200
    assert answer.json_body.keys() == {"status", "version", "stage"}
    refused(api.get("health", {"Authorization": "Bearer nobody's"}), 401, "not_authenticated", "an operator's token")


def test_an_operator_sees_who_paused_an_account_since_when_and_why(api: Api) -> None:
    assert accounts(api) == [{"account": ACCOUNT, "state": "running"}]
    rows, now = api.world.rows, api.world.clock()
    control.set_paused(rows, control.EVERYWHERE, actor="anna", reason="incident 7", now=now)
    paused = {"account": ACCOUNT, "state": "paused", "paused_account": "*", "by": "anna", "reason": "incident 7"}
    (shown,) = accounts(api)
    since = shown.pop("since")
    assert shown == paused
    assert abs(datetime.fromisoformat(since) - now) < timedelta(seconds=1)
    control.set_paused(rows, ACCOUNT, actor="olaf", reason="the vendor asked", now=now)
    assert [accounts(api)[0][name] for name in ("paused_account", "by")] == [ACCOUNT, "olaf"]
    for account in (control.EVERYWHERE, ACCOUNT):
        control.resume(rows, account, actor="olaf", now=now)
    assert accounts(api) == [{"account": ACCOUNT, "state": "running"}]


def test_an_operator_sees_what_the_vendor_refused_and_when_it_is_called_again(api: Api) -> None:
    now = api.world.clock()
    error = QuotaExceeded("the quota is used up", code="CDN.0005")
    control.set_paused(api.world.rows, ACCOUNT, actor="olaf", reason="r", now=now)
    control.resume(api.world.rows, ACCOUNT, actor="olaf", now=now)
    control.block(api.world.rows, ACCOUNT, until=now + timedelta(minutes=15), error=error)
    (shown,) = accounts(api)
    assert abs(datetime.fromisoformat(shown.pop("until")) - now - timedelta(minutes=15)) < timedelta(seconds=1)
    assert shown == {"account": ACCOUNT, "state": "blocked", "reason": "CDN.0005 the quota is used up"}
    control.block(api.world.rows, ACCOUNT, until=now - timedelta(minutes=1), error=error)
    assert accounts(api) == [{"account": ACCOUNT, "state": "running"}]


def test_health_fails_where_the_ledger_does_not_answer(api: Api) -> None:
    class Away:
        def get(self, *_: Any, **__: Any) -> Any:
            raise LedgerUnavailable("DynamoDB left 1 keys unread after 8 tries")

    rows: Any = Away()
    api.services.rows = rows
    assert api.get("health").status_code == 500
