"""The meter counts capacity by DynamoDB's rule where the local AWS does not."""

from __future__ import annotations

from bench.meter import size, units
from chalicelib.ports import Value
from dev.fakes import rows


def test_a_row_has_the_size_that_dynamodb_counts() -> None:
    wire = {
        "pk": {"S": "ü"},
        "n": {"N": "-1200"},
        "b": {"B": "AAE="},
        "l": {"L": [{"N": "7"}]},
        "m": {"M": {"k": {"S": ""}}},
    }
    row: dict[str, Value] = {"pk": "ü", "n": -1200, "b": b"\0\1", "l": [7], "m": {"k": ""}}
    assert size(wire) == rows.size(row)


def test_a_key_costs_half_a_unit_whether_or_not_it_is_found() -> None:
    keys = [{"pk": {"S": str(number)}, "sk": {"S": "claim"}} for number in range(5)]
    answer = {"Responses": {"t": keys[:2]}}
    assert units("dynamodb.BatchGetItem", {"RequestItems": {"t": {"Keys": keys}}}, answer) == 2.5
    consistent = {"RequestItems": {"t": {"Keys": keys, "ConsistentRead": True}}}
    assert units("dynamodb.BatchGetItem", consistent, answer) == 5


def test_an_inserted_row_costs_a_unit_for_each_kilobyte() -> None:
    def statement(length: int) -> dict[str, object]:
        return {
            "Statement": "INSERT INTO \"t\" VALUE {'pk': ?, 'sk': ?}",
            "Parameters": [{"S": "x" * length}, {"S": ""}],
        }

    given = {"Statements": [statement(1_020), statement(1_021)]}
    assert units("dynamodb.BatchExecuteStatement", given, {"Responses": [{}, {}]}) == 3


def test_what_dynamodb_tells_is_taken_as_told() -> None:
    assert units("dynamodb.TransactWriteItems", {}, {"ConsumedCapacity": [{"CapacityUnits": 10.0}]}) == 10
    assert units("dynamodb.UpdateItem", {}, {"ConsumedCapacity": {"CapacityUnits": 1.0}}) == 1
