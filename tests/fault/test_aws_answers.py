"""AWS does part of a batch and throttles the rest: our code asks again for the rest, and each answer finds its row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from chalicelib.aws.dynamodb import RETRIED, TRIES, Table
from chalicelib.aws.sqs import Queue, WakeQueue
from chalicelib.domain.errors import LedgerUnavailable, NotQueued
from chalicelib.ports import Insert, Put, Rows, Update

NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)


class Scripted:
    """A client that answers each call by a function of its request; ``asked`` remembers the requests."""

    def __init__(self, answer: Callable[[str, dict[str, Any], int], Any]) -> None:
        self.exceptions = boto3.client("dynamodb", region_name="us-east-1").exceptions
        self.asked: list[dict[str, Any]] = []
        self._answer = answer

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            self.asked.append(request)
            return self._answer(operation, request, len(self.asked))

        return call


def table(client: Scripted) -> Rows:
    return Table(client, "ledger", sleep=lambda _: None)


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "any")


def inserts(count: int) -> list[Insert]:
    return [Insert({"pk": f"p{number}", "sk": "s"}) for number in range(count)]


def key_in(statement: dict[str, Any]) -> int:
    return int(statement["Parameters"][0]["S"][1:])


@pytest.mark.parametrize("code", sorted(RETRIED))
def test_throttled_statements_are_asked_for_again_and_keep_their_places(code: str) -> None:
    def answer(_: str, request: dict[str, Any], call: int) -> Any:
        responses: list[dict[str, Any]] = []
        for statement in request["Statements"]:
            number = key_in(statement)
            if call == 1 and number % 3:
                responses.append({"Error": {"Code": code}})
            elif number % 2:
                responses.append({"Error": {"Code": "DuplicateItem"}})
            else:
                responses.append({"TableName": "ledger"})
        return {"Responses": responses}

    client = Scripted(answer)
    assert table(client).write(inserts(20)) == {number for number in range(20) if number % 2}
    assert [key_in(each) for each in client.asked[1]["Statements"]] == [n for n in range(20) if n % 3]


def test_statements_that_stay_throttled_are_an_error_and_not_a_failed_condition() -> None:
    client = Scripted(lambda *_: {"Responses": [{"Error": {"Code": "ThrottlingError"}}]})
    with pytest.raises(LedgerUnavailable, match="DynamoDB throttled 1 writes 8 times"):
        table(client).write(inserts(1))
    assert len(client.asked) == TRIES


@pytest.mark.parametrize("code", ["AccessDenied", "ValidationError", "ResourceNotFound", "SomethingNew"])
def test_a_statement_refused_for_another_reason_is_an_error(code: str) -> None:
    client = Scripted(lambda *_: {"Responses": [{"Error": {"Code": code}}]})
    with pytest.raises(LedgerUnavailable):
        table(client).write([Update(("p", "s"), set={"a": 1}, expect={"b": 2})])


def test_rows_that_were_not_written_are_written_again() -> None:
    def answer(_: str, request: dict[str, Any], call: int) -> Any:
        requests = request["RequestItems"]["ledger"]
        return {"UnprocessedItems": {"ledger": requests[3:]} if call < 3 else {}}

    client = Scripted(answer)
    table(client).write([Put({"pk": f"p{number}", "sk": "s"}) for number in range(8)])
    assert [len(each["RequestItems"]["ledger"]) for each in client.asked] == [8, 5, 2]
    never = Scripted(lambda _, request, __: {"UnprocessedItems": request["RequestItems"]})
    with pytest.raises(LedgerUnavailable, match="DynamoDB left 1 rows unwritten after 8 tries"):
        table(never).write([Put({"pk": "p", "sk": "s"})])


def test_keys_that_were_not_read_are_read_again() -> None:
    def answer(_: str, request: dict[str, Any], call: int) -> Any:
        keys = request["RequestItems"]["ledger"]["Keys"]
        return {
            "Responses": {"ledger": keys[:2]},
            "UnprocessedKeys": {"ledger": {"Keys": keys[2:]}} if keys[2:] else {},
        }

    client = Scripted(answer)
    wanted = [(f"p{number}", "s") for number in range(5)]
    assert sorted(table(client).get(wanted)) == wanted
    assert len(client.asked) == 3
    never = Scripted(lambda _, request, __: {"Responses": {}, "UnprocessedKeys": request["RequestItems"]})
    with pytest.raises(LedgerUnavailable, match="DynamoDB left 5 keys unread after 8 tries"):
        table(never).get(wanted)


def cancelled(client: Scripted, *codes: str) -> ClientError:
    reasons: Any = [{"Code": code} for code in codes]
    made: ClientError = client.exceptions.TransactionCanceledException(
        {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": reasons},
        "TransactWriteItems",
    )
    return made


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transaction_in_conflict_is_tried_again(code: str) -> None:
    def answer(_: str, __: dict[str, Any], call: int) -> Any:
        if call == 1:
            raise cancelled(client, "None", code)
        return {}

    client = Scripted(answer)
    assert table(client).transact(inserts(2))
    assert len(client.asked) == 2


def test_a_transaction_whose_condition_failed_is_not_tried_again() -> None:
    def answer(*_: Any) -> Any:
        raise cancelled(client, "TransactionConflict", "ConditionalCheckFailed")

    client = Scripted(answer)
    assert not table(client).transact(inserts(2))
    assert len(client.asked) == 1


def test_a_transaction_that_stays_in_conflict_and_one_that_is_refused_are_errors() -> None:
    def conflict(*_: Any) -> Any:
        raise cancelled(client, "TransactionConflict")

    def refuse(*_: Any) -> Any:
        raise cancelled(client, "ValidationError")

    client = Scripted(conflict)
    with pytest.raises(LedgerUnavailable, match="DynamoDB refused a transaction 8 times"):
        table(client).transact(inserts(1))
    assert len(client.asked) == TRIES
    client = Scripted(refuse)
    with pytest.raises(ClientError):
        table(client).transact(inserts(1))


def test_a_report_of_which_the_queue_took_a_part_is_not_accepted() -> None:
    def answer(_: str, request: dict[str, Any], call: int) -> Any:
        return {"Failed": [{"Id": "0", "Code": "RequestThrottled"}]} if call == 2 else {"Successful": []}

    client = Scripted(answer)
    with pytest.raises(NotQueued, match="SQS refused 1 of 10 messages: RequestThrottled"):
        Queue(client, "url").send([("{}", {})] * 25)
    assert len(client.asked) == 2


@pytest.mark.parametrize("code", ["RequestThrottled", "AWS.SimpleQueueService.NonExistentQueue", "InternalError"])
def test_a_wake_up_that_the_queue_did_not_take_is_an_error(code: str) -> None:
    def answer(*_: Any) -> Any:
        raise error(code)

    with pytest.raises(ClientError):
        WakeQueue(Scripted(answer), "url")("account", mark="1")
