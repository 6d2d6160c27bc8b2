"""The fakes refuse what DynamoDB, SQS and S3 refuse.

``dev.fakes.limits`` names the page of AWS that states each limit. The local AWS is asked as well; where it is less
strict than AWS (``LENIENT``), the page alone is the authority.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.dynamodb import Table
from chalicelib.aws.sqs import Queue, WakeQueue
from chalicelib.domain.errors import LedgerUnavailable
from chalicelib.ports import Check, Delete, Insert, Put, Rows, Update
from dev.fakes import limits
from dev.fakes.exports import ExportWorld
from dev.fakes.objects import MemoryObjects
from dev.fakes.rows import MemoryRows
from dev.fakes.world import World
from dev.local_aws import LocalAws

REFUSED = (ClientError, BotoCoreError, LedgerUnavailable, TypeError, AssertionError)
"""``Table`` raises LedgerUnavailable for a statement that DynamoDB refuses, TypeError or AssertionError for what it
cannot write; boto3 refuses some requests before they are sent."""

_names = itertools.count()
K, HALF = ("k", "s"), "x" * 200_000
Case = Callable[[Rows], object]


def row(pk: str = "k", sk: str = "s", **attributes: Any) -> dict[str, Any]:
    return {"pk": pk, "sk": sk, **attributes}


CASES: dict[str, Case] = {
    "an empty partition key": lambda rows: rows.write([Put(row(pk=""))]),
    "an empty sort key": lambda rows: rows.write([Insert(row(sk=""))]),
    "a partition key of 2,049 bytes": lambda rows: rows.write([Put(row(pk="é" * 1_024 + "x"))]),
    "a sort key of 1,025 bytes": lambda rows: rows.write([Put(row(sk="x" * 1_025))]),
    "a key that is read and is too long": lambda rows: rows.get([("x" * 2_049, "s")]),
    "a query of an empty partition key": lambda rows: rows.query(""),
    "a query from a place outside of its prefix": lambda rows: rows.query("k", prefix="b#", after="a#1"),
    "a projection that names the key again": lambda rows: rows.get([K], attributes=("pk",)),
    "a row above 400 KB": lambda rows: rows.write([Put(row(a=HALF, b=HALF, c="x" * 10_000))]),
    "an insert above 400 KB": lambda rows: rows.write([Insert(row(a=HALF, b=HALF, c="x" * 10_000))]),
    "a row that an update takes above 400 KB": lambda rows: (
        rows.write([Put(row(a=HALF))]),
        rows.write([Update(K, set={"b": HALF, "c": "x" * 10_000})]),
    ),
    "a number of 39 digits": lambda rows: rows.write([Put(row(n=int("1" * 39)))]),
    "a truth value": lambda rows: rows.write([Put(row(flag=True))]),
    "a set": lambda rows: rows.write([Put(row(kinds=set()))]),
    "33 levels of lists": lambda rows: rows.write([Put(row(deep=nested(33)))]),
    "an update that changes nothing": lambda rows: rows.write([Update(K)]),
    "an update of the key": lambda rows: rows.transact([Update(K, set={"sk": "t"})]),
    "an update that sets and removes one thing": lambda rows: rows.transact(
        [Put(row(pk="other")), Update(K, set={"a": 1}, remove=("a",))]
    ),
    "a check on its own": lambda rows: rows.write([Check(K, {"a": 1})]),
    "a row twice in a batch": lambda rows: rows.write([Put(row(a=1)), Put(row(a=2))]),
    "a row twice in a transaction": lambda rows: rows.transact([Put(row(a=1)), Delete(K)]),
    "an empty transaction": lambda rows: rows.transact([]),
    "a transaction of 101": lambda rows: rows.transact([Put(row(sk=f"{n}")) for n in range(101)]),
    "a transaction above 4 MB": lambda rows: rows.transact([Put(row(sk=f"{n}", a=HALF)) for n in range(22)]),
    "an addition to a text": lambda rows: (rows.write([Put(row(n="1"))]), rows.add(K, {"n": 1})),
    "an expiry that is text": lambda rows: rows.write([Put(row(expires_at="2030-01-01"))]),
    "an expiry in milliseconds": lambda rows: rows.write([Put(row(expires_at=1_800_000_000_000))]),
}

HARMLESS_ON_AWS = {"an expiry that is text", "an expiry in milliseconds"}
"""AWS takes these silently and never deletes the row: a fake that took them would hide a leak."""

LENIENT = {"an empty sort key", "an update of the key", "an update that sets and removes one thing"}
"""Calls that the local AWS takes and AWS does not."""


def nested(levels: int) -> list[Any]:
    deep: list[Any] = []
    for _ in range(levels - 1):
        deep = [deep]
    return deep


@pytest.mark.parametrize("case", CASES)
def test_the_fake_refuses_what_dynamodb_refuses(case: str) -> None:
    with pytest.raises(ClientError):
        CASES[case](MemoryRows())


@pytest.mark.parametrize("case", sorted(CASES.keys() - HARMLESS_ON_AWS - LENIENT))
def test_the_local_aws_refuses_it_as_well(bare_aws: LocalAws, case: str) -> None:
    with pytest.raises(REFUSED):
        CASES[case](table(bare_aws))


def table(aws: LocalAws) -> Table:
    name = f"limits-{next(_names)}"
    aws.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    return Table(aws.dynamodb, name)


ALLOWED: dict[str, Case] = {
    "keys of the largest size": lambda rows: rows.write([Put(row(pk="x" * 2_048, sk="x" * 1_024))]),
    "a row of just 400 KB": lambda rows: rows.write([Put(row(a="x" * (limits.ITEM - 7)))]),
    "a number of 38 digits": lambda rows: rows.write([Put(row(n=int("1" * 38)))]),
    "a transaction of 100": lambda rows: rows.transact([Put(row(sk=f"{n}")) for n in range(100)]),
    "an empty text": lambda rows: rows.write([Insert(row(a="", b=b"", c=[], d={}))]),
    "a key that is asked for twice": lambda rows: rows.get([K, K]),
}


@pytest.mark.parametrize("where", ["memory", "dynamodb"])
@pytest.mark.parametrize("case", ALLOWED)
def test_what_is_just_within_a_limit_is_taken(request: pytest.FixtureRequest, where: str, case: str) -> None:
    ALLOWED[case](MemoryRows() if where == "memory" else table(request.getfixturevalue("bare_aws")))


# --- messages and objects -------------------------------------------------------------------------------------------

MESSAGES: dict[str, tuple[str, dict[str, str]]] = {
    "an empty body": ("", {}),
    "a body above 1 MiB": ("x" * limits.MESSAGE + "x", {}),
    "a body and attributes above 1 MiB": ("x" * (limits.MESSAGE - 10), {"source": "queue"}),
    "a character that SQS does not take": ("a\x00b", {}),
    "half of a surrogate pair": ("a\ud800", {}),
    "an attribute without a value": ("x", {"source": ""}),
    "an attribute named as one of AWS": ("x", {"AWS.source": "q"}),
    "eleven attributes": ("x", {f"a{n}": "v" for n in range(11)}),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_the_fake_and_the_local_aws_refuse_a_message_that_sqs_refuses(case: str) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html."""
    for send in (World().send, ExportWorld().send):
        with pytest.raises(ClientError):
            send([MESSAGES[case]])
    World().send([("x" * (limits.MESSAGE - 17), {"source": "queue"})])


@pytest.mark.parametrize("account", ["", "a b", "é", "x" * 129])
def test_a_wake_up_for_an_account_that_is_no_message_group_is_refused(account: str) -> None:
    world = World()
    with pytest.raises(ClientError):
        world.wake(account, mark="1")


@pytest.mark.parametrize("key", ["", "é" * 513])
def test_a_key_that_s3_would_not_take_is_refused(key: str) -> None:
    with pytest.raises(ClientError):
        MemoryObjects().put_new(key, b"", content_type="text/plain")
    MemoryObjects().put_new("é" * 512, b"", content_type="text/plain")


def test_an_answer_above_6_megabytes_is_refused() -> None:
    limits.check_function_answer({"body": "x" * (limits.FUNCTION_PAYLOAD - 12)})
    with pytest.raises(AssertionError, match="Lambda passes on"):
        limits.check_function_answer({"body": '"' * (limits.FUNCTION_PAYLOAD // 2)})


# --- the requests of boto3 ------------------------------------------------------------------------------------------


class Sent:
    """A boto3 client that checks each request against the limits, notes it, and answers a success."""

    def __init__(self) -> None:
        self.operations: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = name.title().replace("_", "")

        def call(**request: Any) -> Any:
            limits.check_call(operation, request)
            self.operations.append(operation)
            return {
                "Responses": [{}] * len(request["Statements"]) if "Statements" in request else {},
                "Items": [],
                "Attributes": {},
            }

        return call


def test_calls_of_any_length_are_cut_to_what_aws_takes() -> None:
    client = Sent()
    rows = Table(client, "t")
    rows.get([(f"{n}", "s") for n in range(250)] * 2)
    rows.write([Put(row(sk=f"{n}")) for n in range(60)])
    rows.write([Insert(row(sk=f"{n}")) for n in range(60)])
    rows.transact([Put(row(sk=f"{n}")) for n in range(100)])
    Queue(client, "q").send([("x" * 300_000, {"source": "s"})] * 25)
    WakeQueue(client, "q")("huawei-main", mark="1")
    assert client.operations == [
        *["BatchGetItem"] * 3,
        *["BatchWriteItem"] * 3,
        *["BatchExecuteStatement"] * 3,
        "TransactWriteItems",
        *["SendMessageBatch"] * 9,
        "SendMessage",
    ]


def test_a_call_that_is_not_cut_is_seen() -> None:
    statement = {"Statement": "INSERT INTO t VALUE {'pk': ?}", "Parameters": [{"S": "k"}]}
    entry = {"Id": "0", "MessageBody": "x"}
    for operation, request in (
        (
            "BatchGetItem",
            {"RequestItems": {"t": {"Keys": [{"pk": {"S": f"{n}"}, "sk": {"S": "s"}} for n in range(101)]}}},
        ),
        ("BatchExecuteStatement", {"Statements": [statement] * 26}),
        ("SendMessageBatch", {"Entries": [{**entry, "Id": f"{n}"} for n in range(11)]}),
        ("SendMessageBatch", {"Entries": [entry, entry]}),
        ("SendMessageBatch", {"Entries": [{"Id": f"{n}", "MessageBody": "x" * 600_000} for n in range(2)]}),
    ):
        with pytest.raises(ClientError):
            limits.check_call(operation, request)
