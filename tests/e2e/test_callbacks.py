"""Callbacks from the deployed stack, with the real ledger and a receiver whose name has no address."""

from __future__ import annotations

from chalicelib.ledger import callbacks
from dev.stack import Stack


def test_a_callback_that_fails_is_recorded_for_another_try_and_told(stack: Stack) -> None:
    answer = stack.report(["https://www.example.com/called-back"], source="callback-demo")
    assert answer.status_code == 202, answer.text
    report = answer.json()["report_id"]

    def told() -> bool:
        stack.tick()
        lines = stack.aws.logs("deliver_outcomes")
        return any("outcome_not_delivered" in line and report in line for line in lines)

    stack.until(told, what="the failed attempt is told")
    key = (f"report#{report}", "callback")
    own = stack.table.get([key], consistent=True)[key]
    assert own["attempts"] == 1
    (row,) = [each for each in stack.table.query(callbacks.WAITING) if report in str(each["sk"])]
    assert row["sk"] == own["place"]
