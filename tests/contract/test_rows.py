"""The ledger's table keeps the same promises in memory and on DynamoDB."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.aws.dynamodb import Table
from chalicelib.domain.errors import LedgerUnavailable
from chalicelib.ports import Check, Delete, Insert, Put, Rows, Update, Value, Write
from dev.fakes.rows import MemoryRows
from dev.local_aws import LocalAws

_names = itertools.count()


@pytest.fixture(params=["memory", "dynamodb"])
def rows(request: pytest.FixtureRequest) -> Rows:
    if request.param == "memory":
        return MemoryRows()
    aws: LocalAws = request.getfixturevalue("bare_aws")
    return Table(_table(aws, name := f"ledger-{next(_names)}"), name)


def _table(aws: LocalAws, name: str) -> Any:
    client = aws.dynamodb
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return client


def test_a_row_comes_back_as_it_was_written(rows: Rows) -> None:
    row: dict[str, Value] = {
        "pk": "a",
        "sk": "b",
        "text": "ü'\"{}",
        "number": -5,
        "bytes": b"\0\xff",
        "list": [1, "x", []],
        "map": {"k": 1},
    }
    rows.write([Put(row)])
    assert rows.get([("a", "b")]) == {("a", "b"): row}
    assert rows.query("a") == [row]


def test_keys_without_a_row_are_absent_from_the_answer(rows: Rows) -> None:
    assert rows.get([("no", "where")], consistent=True) == {}


def test_only_the_attributes_asked_for_are_read(rows: Rows) -> None:
    rows.write([Put({"pk": "a", "sk": "b", "chunk": "c", "url": "u"})])
    assert rows.get([("a", "b")], attributes=("chunk", "until")) == {("a", "b"): {"pk": "a", "sk": "b", "chunk": "c"}}


def test_many_keys_are_read_in_one_go(rows: Rows) -> None:
    rows.write([Put({"pk": f"p{n}", "sk": "s", "n": n}) for n in range(250)])
    found = rows.get([(f"p{n}", "s") for n in range(300)])
    assert {row["n"] for row in found.values()} == set(range(250))


def test_an_insert_of_what_exists_fails_and_changes_nothing(rows: Rows) -> None:
    rows.write([Insert({"pk": "a", "sk": "1", "v": "old"})])
    failed = rows.write([Insert({"pk": "a", "sk": n, "v": "new"}) for n in ("0", "1", "2")])
    assert failed == {1}
    assert [row["v"] for row in rows.query("a")] == ["new", "old", "new"]


def test_a_hundred_inserts_fail_each_on_their_own(rows: Rows) -> None:
    rows.write([Insert({"pk": f"k{n}", "sk": "s"}) for n in range(0, 100, 3)])
    assert rows.write([Insert({"pk": f"k{n}", "sk": "s"}) for n in range(100)]) == set(range(0, 100, 3))


def test_an_update_holds_to_its_expectation(rows: Rows) -> None:
    rows.write([Put({"pk": "a", "sk": "b", "state": "open", "lease": 5})])
    assert rows.write([Update(("a", "b"), set={"state": "x"}, expect={"state": "waiting"})]) == {0}
    assert rows.write([Update(("a", "b"), set={"state": "x"}, expect={"other": "1"})]) == {0}
    assert rows.write([Update(("a", "b"), set={"state": "x"}, expect={"lease": None})]) == {0}
    assert rows.query("a")[0]["state"] == "open"
    change = Update(
        ("a", "b"), set={"state": "waiting", "n": 1}, expect={"state": "open", "z": None}, remove=("lease",)
    )
    assert rows.write([change]) == set()
    assert rows.query("a") == [{"pk": "a", "sk": "b", "state": "waiting", "n": 1}]


def test_an_update_never_makes_a_row(rows: Rows) -> None:
    assert rows.write([Update(("no", "where"), set={"a": 1})]) == {0}
    assert rows.query("no") == []


def test_a_single_write_says_whether_it_was_done(rows: Rows) -> None:
    assert rows.apply(Insert({"pk": "a", "sk": "b", "state": "open"}))
    assert not rows.apply(Insert({"pk": "a", "sk": "b", "state": "other"}))
    assert not rows.apply(Update(("a", "b"), set={"state": "x"}, expect={"state": "waiting"}))
    assert rows.apply(Update(("a", "b"), set={"state": "sealed"}, expect={"state": "open"}))
    assert not rows.apply(Delete(("a", "b"), expect={"state": "open"}))
    assert rows.get([("a", "b")], consistent=True) == {("a", "b"): {"pk": "a", "sk": "b", "state": "sealed"}}
    assert rows.apply(Delete(("a", "b")))
    assert rows.query("a") == []


def test_removing_what_is_not_there_changes_nothing(rows: Rows) -> None:
    rows.write([Put({"pk": "a", "sk": "b", "v": 1})])
    assert rows.write([Update(("a", "b"), set={"v": 2}, remove=("nothing",))]) == set()
    assert rows.query("a") == [{"pk": "a", "sk": "b", "v": 2}]


def test_a_delete_without_expectation_is_content_with_nothing(rows: Rows) -> None:
    rows.write([Put({"pk": "a", "sk": "b"})])
    assert rows.write([Delete(("a", "b")), Delete(("no", "where"))]) == set()
    assert rows.query("a") == []


def test_a_delete_holds_to_its_expectation(rows: Rows) -> None:
    rows.write([Put({"pk": "a", "sk": "b", "state": "open"})])
    assert rows.write([Delete(("a", "b"), expect={"state": "sealed"})]) == {0}
    assert rows.write([Delete(("a", "b"), expect={"state": None})]) == {0}
    assert not rows.transact([Delete(("a", "b"), expect={"state": "sealed"}), Put({"pk": "x", "sk": "y"})])
    assert rows.write([Delete(("a", "b"), expect={"state": "open", "other": None})]) == set()
    assert rows.query("a") == []


def test_a_delete_with_an_expectation_tells_deleted_now_from_gone_already(rows: Rows) -> None:
    rows.write([Put({"pk": "a", "sk": str(n), "state": "open"}) for n in range(2)])
    deletes = [Delete(("a", str(n)), expect={"state": "open"}) for n in range(3)]
    assert rows.write([*deletes, Insert({"pk": "b", "sk": "1"}), Delete(("b", "2"))]) == {2}
    assert rows.write(deletes) == {0, 1, 2}
    assert not rows.transact([Delete(("a", "0"), expect={"state": None}), Put({"pk": "x", "sk": "y"})])
    assert rows.query("a") == rows.query("x") == []


def test_of_many_who_delete_a_row_that_they_expect_one_succeeds(rows: Rows) -> None:
    rows.write([Put({"pk": "a", "sk": "b", "version": 1})])
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: rows.apply(Delete(("a", "b"), expect={"version": 1})), range(8)))
    assert sorted(done) == [False] * 7 + [True]


def test_a_partition_is_read_in_order_by_prefix_and_in_parts(rows: Rows) -> None:
    rows.write([Put({"pk": "p", "sk": f"{kind}#{n:02}"}) for kind in ("x", "y") for n in range(30)])
    assert [row["sk"] for row in rows.query("p", prefix="y#")] == [f"y#{n:02}" for n in range(30)]
    assert [row["sk"] for row in rows.query("p", prefix="y#", limit=2)] == ["y#00", "y#01"]
    assert [row["sk"] for row in rows.query("p", prefix="y#", limit=2, after="y#27")] == ["y#28", "y#29"]
    assert [row["sk"] for row in rows.query("p", limit=1, newest_first=True)] == ["y#29"]
    assert [row["sk"] for row in rows.query("p", after="x#01", limit=1, newest_first=True)] == ["x#00"]


def test_a_partition_is_read_after_a_place_where_no_row_is(rows: Rows) -> None:
    rows.write([Put({"pk": "p", "sk": sk}) for sk in ("a", "c", "e")])
    assert [row["sk"] for row in rows.query("p", after="b", limit=1)] == ["c"]
    assert [row["sk"] for row in rows.query("p", after="0")] == ["a", "c", "e"]
    assert rows.query("p", after="f") == []
    assert [row["sk"] for row in rows.query("p", after="d", newest_first=True)] == ["c", "a"]


def test_a_partition_larger_than_a_page_is_read_whole(rows: Rows) -> None:
    rows.write([Put({"pk": "p", "sk": f"{n}", "body": bytes([n]) * 300_000}) for n in range(6)])
    assert [len(bytes(row["body"])) for row in rows.query("p") if isinstance(row["body"], bytes)] == [300_000] * 6


def test_a_transaction_does_all_or_nothing(rows: Rows) -> None:
    rows.write([Put({"pk": "c", "sk": "control", "epoch": 7})])
    ours, theirs = Check(("c", "control"), {"epoch": 7}), Check(("c", "control"), {"epoch": 8})
    assert rows.transact([ours, Insert({"pk": "t", "sk": "1"}), Put({"pk": "l", "sk": "1"})])
    assert not rows.transact([theirs, Insert({"pk": "t", "sk": "2"})])
    assert not rows.transact([ours, Insert({"pk": "t", "sk": "1"}), Insert({"pk": "t", "sk": "3"})])
    assert [row["sk"] for row in rows.query("t")] == ["1"]
    done: list[Write] = [
        Update(("t", "1"), set={"state": "done"}, expect={"state": None}),
        Delete(("l", "1")),
        Delete(("l", "never")),
        Insert({"pk": "j", "sk": "1"}),
    ]
    assert rows.transact(done)
    assert not rows.transact([done[0], Insert({"pk": "j", "sk": "2"})])
    assert rows.query("t") == [{"pk": "t", "sk": "1", "state": "done"}]
    assert rows.query("l") == []


def test_adding_counts_and_sets_beside(rows: Rows) -> None:
    assert rows.add(("a", "control"), {"epoch": 1})["epoch"] == 1
    assert rows.add(("a", "control"), {"epoch": 2}, beside={"by": "me"}) == {
        "pk": "a",
        "sk": "control",
        "epoch": 3,
        "by": "me",
    }


class Refusing:
    """A DynamoDB that refuses its next updates with these codes, and counts the rest."""

    class exceptions:  # noqa: N801, as boto3 names it
        ClientError = ClientError
        ConditionalCheckFailedException = type("ConditionalCheckFailedException", (ClientError,), {})

    def __init__(self, *codes: str) -> None:
        self.codes = list(codes)
        self.added = 0

    def update_item(self, **_: Any) -> dict[str, Any]:
        if self.codes:
            raise ClientError({"Error": {"Code": self.codes.pop(0), "Message": ""}}, "UpdateItem")
        self.added += 1
        return {"Attributes": {"n": {"N": str(self.added)}}}

    def delete_item(self, **asked: Any) -> None:
        self.update_item(**asked)
        if self.added > 1:
            raise self.exceptions.ConditionalCheckFailedException({}, "DeleteItem")


def test_an_addition_that_meets_a_transaction_or_is_throttled_is_made_again() -> None:
    client, slept = Refusing("TransactionConflictException", "ThrottlingException"), list[float]()
    assert Table(client, "t", sleep=slept.append).add(("a", "b"), {"n": 1}) == {"n": 1}
    assert client.added == 1
    assert slept == [0.05, 0.1]


def test_an_addition_that_stays_in_conflict_is_given_up_and_one_refused_for_good_at_once() -> None:
    slept: list[float] = []
    with pytest.raises(LedgerUnavailable, match="refused a write"):
        Table(Refusing(*["TransactionConflictException"] * 9), "t", sleep=slept.append).add(("a", "b"), {"n": 1})
    with pytest.raises(ClientError, match="AccessDenied"):
        Table(Refusing("AccessDeniedException"), "t", sleep=slept.append).add(("a", "b"), {"n": 1})


def test_a_delete_that_meets_a_transaction_is_made_again_and_says_whether_it_was_done() -> None:
    client, slept = Refusing("TransactionConflictException"), list[float]()
    table, delete = Table(client, "t", sleep=slept.append), Delete(("a", "b"), expect={"v": 1})
    assert table.apply(delete)
    assert slept == [0.05]
    assert not table.apply(delete), "it is gone by now"


def test_one_of_many_that_insert_a_row_wins(rows: Rows) -> None:
    with ThreadPoolExecutor(8) as pool:
        failed = list(pool.map(lambda n: rows.write([Insert({"pk": "one", "sk": "row", "n": n})]), range(24)))
    assert sum(not each for each in failed) == 1
