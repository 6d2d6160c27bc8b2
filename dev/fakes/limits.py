"""What AWS refuses, whoever asks: the documented limits that the fakes enforce, each with the page that states it.

A refusal is the ``ClientError`` that boto3 would raise. ``check_call`` holds a whole request of boto3 against the
limits: the recorded run of the deployed stack does so with every request, since the local AWS takes more than AWS.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.aws.wire import from_wire, row_of
from chalicelib.ports import Key, Row, Value

KB = 1024
MB = 1024**2

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
PARTITION_KEY = 2_048
SORT_KEY = 1_024
ITEM = 400 * KB
NUMBER_DIGITS = 38
NESTING = 32
UPDATED = 300
"""Operators in an update expression: one for each attribute that is set, added to or removed."""

STATEMENT_LENGTH = 8_192
"""Characters of a PartiQL statement. https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementRequest.html"""

READ_KEYS = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html, which answers 16 MB."""

BATCH = 25
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html and BatchWriteItem."""

BATCH_BYTES = 16 * MB
TRANSACTION = 100
TRANSACTION_BYTES = 4 * MB
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html"""

EXPIRY = "expires_at"
"""The attribute by which DynamoDB deletes rows: whole seconds, and nothing happens where it is anything else.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html"""

LATEST_SECOND = 10**12
"""A larger expiry must be in milliseconds, by mistake: its row would never expire."""

MESSAGE = 1 * MB
"""Bytes of a message with its attributes, and of all messages of a batch together.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""

ENTRIES = 10
ATTRIBUTES = 10
FIFO_ID = 128
FIFO_CHARACTERS = frozenset(string.ascii_letters + string.digits + string.punctuation)
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html"""

ENTRY_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-_")
ATTRIBUTE_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-_.")

OBJECT_KEY = 1_024
"""Bytes. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

FUNCTION_PAYLOAD = 6 * MB
"""Bytes of a function's synchronous answer, and of a batch that a queue's messages make.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


def refusal(operation: str, message: str, *, code: str = "ValidationException") -> ClientError:
    """Return the error that boto3 raises where AWS refuses a request."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


# --- rows -----------------------------------------------------------------------------------------------------------


def check_key(key: Key, operation: str) -> None:
    """Refuse a key that is empty or too long."""
    for name, value, most in (("pk", key[0], PARTITION_KEY), ("sk", key[1], SORT_KEY)):
        if not isinstance(value, str):
            raise refusal(operation, f"the key attribute {name} must be a string")
        if not value:
            raise refusal(operation, f"the key attribute {name} must not be an empty string")
        if len(value.encode()) > most:
            raise refusal(operation, f"the key attribute {name} has more than {most:,} bytes")


def check_keys(keys: Sequence[Key], operation: str) -> None:
    """Refuse bad keys, and a call that names one row twice."""
    for key in keys:
        check_key(key, operation)
    if len(set(keys)) != len(keys):
        raise refusal(operation, "the call names a row twice")


def check_row(row: Row, operation: str) -> int:
    """Refuse a row that DynamoDB would not hold; return its size in bytes."""
    total = 0
    for name, value in row.items():
        if value is not None:
            check_value(name, value, operation)
            total += len(name.encode()) + size_of(value)
    expiry = row.get(EXPIRY)
    if expiry is not None and not (isinstance(expiry, int) and 0 < expiry < LATEST_SECOND):
        raise refusal(operation, f"{EXPIRY} must be a number of seconds: {expiry!r} never expires")
    if total > ITEM:
        raise refusal(operation, f"the item has {total:,} bytes, more than {ITEM:,}")
    return total


def check_value(name: str, value: Value, operation: str, level: int = 1) -> None:
    """Refuse a value that DynamoDB would not hold, or that our conversion sends as something else."""
    if isinstance(value, str | bytes):
        return
    if isinstance(value, int) and not isinstance(value, bool):
        if len(str(abs(value)).strip("0")) > NUMBER_DIGITS:
            raise refusal(operation, f"{name}: a number has at most {NUMBER_DIGITS} digits")
        return
    if level > NESTING:
        raise refusal(operation, f"{name}: lists and maps nest at most {NESTING} levels")
    if isinstance(value, list):
        for element in value:
            check_value(name, element, operation, level + 1)
    elif isinstance(value, dict):
        for inner, element in value.items():
            check_value(f"{name}.{inner}", element, operation, level + 1)
    else:  # a bool would be sent as the number "True", a set may not be empty, a float is no exact number
        raise refusal(operation, f"{name}: a row cannot hold {type(value).__name__}")


def check_update(update: tuple[Key, Row, Sequence[str]], operation: str) -> None:
    """Refuse an update, as (key, what it sets, what it removes), that changes nothing, a key, or one thing twice."""
    key, changes, removed = update
    check_key(key, operation)
    names = [name for name, value in changes.items() if value is not None]
    if not names and not removed:
        raise refusal(operation, "an update must set or remove something")
    if len(names) + len(removed) > UPDATED:
        raise refusal(operation, f"an update changes at most {UPDATED} attributes")
    if {"pk", "sk"} & {*names, *removed}:
        raise refusal(operation, "an update cannot change the key")
    if len({*names, *removed}) < len(names) + len(removed):
        raise refusal(operation, "an update names an attribute twice")
    for name in names:
        check_value(name, changes[name], operation)


def check_query(pk: str, *, prefix: str, after: str, limit: int) -> None:
    """Refuse a query with a bad key, a starting place that it does not read, or a bad limit."""
    check_key((pk, after or prefix or "-"), "Query")
    if after and not after.startswith(prefix):
        raise refusal("Query", "the starting key is outside of the query: it must begin with the prefix")
    if limit < 0:
        raise refusal("Query", "a limit is at least 1")


def check_projection(attributes: Sequence[str], operation: str) -> None:
    """Refuse a choice of attributes that names one twice; the key is always among them."""
    names = ("pk", "sk", *attributes)
    if len(set(names)) < len(names):
        raise refusal(operation, "the projection names an attribute twice")


def check_transaction(keys: Sequence[Key], sizes: Iterable[int]) -> None:
    """Refuse a transaction of too many or too large rows, or with one of them twice."""
    operation = "TransactWriteItems"
    check_keys(keys, operation)
    if not 1 <= len(keys) <= TRANSACTION:
        raise refusal(operation, f"a transaction has 1 to {TRANSACTION} items, this one {len(keys)}")
    if (total := sum(sizes)) > TRANSACTION_BYTES:
        raise refusal(operation, f"the items of a transaction have {total:,} bytes, more than {TRANSACTION_BYTES:,}")


def size_of(value: Value) -> int:
    """Return the bytes of a value as DynamoDB counts them: a list or map is 3, and 1 more for each element.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    match value:
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
        case int():
            return (len(str(abs(value)).strip("0")) + 1) // 2 + 1 + (value < 0)
        case list():
            return 3 + sum(1 + size_of(element) for element in value)
        case dict():
            return 3 + sum(1 + len(name.encode()) + size_of(element) for name, element in value.items())
        case None:
            return 0


# --- messages, objects, answers -------------------------------------------------------------------------------------


def check_message(body: str, attributes: Mapping[str, str]) -> int:
    """Refuse a message that SQS would not take; return its size in bytes."""
    operation = "SendMessage"
    if not body:
        raise refusal(operation, "a message has a body", code="MissingParameter")
    if any(not _is_text(text) for text in (body, *attributes.values())):
        raise refusal(operation, "a message holds a character that SQS does not take", code="InvalidMessageContents")
    if len(attributes) > ATTRIBUTES:
        raise refusal(operation, f"a message has at most {ATTRIBUTES} attributes", code="InvalidParameterValue")
    for name, value in attributes.items():
        if not name or set(name) - ATTRIBUTE_CHARACTERS or name.lower().startswith(("aws.", "amazon.")):
            raise refusal(operation, f"{name!r} is no name of an attribute", code="InvalidParameterValue")
        if not value:
            raise refusal(operation, f"the attribute {name} must have a value", code="InvalidParameterValue")
    total = len(body.encode()) + sum(len(f"{name}String{value}".encode()) for name, value in attributes.items())
    if total > MESSAGE:
        raise refusal(
            operation, f"the message has {total:,} bytes, more than {MESSAGE:,}", code="InvalidParameterValue"
        )
    return total


def _is_text(text: str) -> bool:
    """Whether SQS takes all characters: those that XML 1.0 has."""
    return all(
        character >= " " and not "\ud800" <= character <= "\udfff" and character not in "\ufffe\uffff"
        for character in set(text) - {"\t", "\n", "\r"}
    )


def check_fifo_id(text: str) -> None:
    """Refuse the id of a message group or of a deduplication that SQS would not take."""
    if not 1 <= len(text) <= FIFO_ID or set(text) - FIFO_CHARACTERS:
        raise refusal(
            "SendMessage",
            f"{text[:200]!r} must be 1 to {FIFO_ID} letters, digits and signs",
            code="InvalidParameterValue",
        )


def check_notice(subject: str, text: str) -> None:
    """Hold a message to people against the limits of SNS: a subject of one line of ASCII, 256 KiB in all."""
    if not 0 < len(subject) < 100 or not subject.isascii() or not subject.isprintable():
        raise refusal("Publish", "Invalid parameter: Subject", code="InvalidParameter")
    if not text or len(text.encode()) + len(subject) > 256 * 1024:
        raise refusal("Publish", "Invalid parameter: Message", code="InvalidParameter")


def check_object_key(key: str) -> None:
    """Refuse an object's key that S3 would not take."""
    if not key or len(key.encode()) > OBJECT_KEY:
        raise refusal("PutObject", f"a key has 1 to {OBJECT_KEY:,} bytes", code="KeyTooLongError")


GATEWAY_HEADERS = 10_240
"""Bytes of all headers of one answer, by API Gateway's limit."""


def check_function_answer(answer: Mapping[str, Any]) -> None:
    """Refuse what a function answers if Lambda would not pass it on. Raises AssertionError."""
    size = len(json.dumps(answer, default=str).encode())
    assert size <= FUNCTION_PAYLOAD, f"Lambda passes on {FUNCTION_PAYLOAD:,} bytes, and this answer has {size:,}"
    headers = sum(len(name) + len(str(value)) + 4 for name, value in answer.get("headers", {}).items())
    assert headers <= GATEWAY_HEADERS, f"API Gateway passes on {GATEWAY_HEADERS:,} bytes of headers, not {headers:,}"


REMAPPED = frozenset(
    [
        "authorization",
        "connection",
        "content-length",
        "content-md5",
        "date",
        "expect",
        "host",
        "max-forwards",
        "proxy-authenticate",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "www-authenticate",
    ]
)
"""Headers of a function's answer that API Gateway keeps for itself.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html"""


def through_gateway(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers of an answer as API Gateway hands them on: some come out under another name."""
    return {f"x-amzn-Remapped-{name}" if name.lower() in REMAPPED else name: value for name, value in headers.items()}


# --- requests of boto3 ----------------------------------------------------------------------------------------------


def check_call(operation: str, request: Mapping[str, Any]) -> None:
    """Refuse a request of boto3 that is beyond a limit. Rows are as ``chalicelib.aws.wire`` writes them."""
    match operation:
        case "BatchGetItem":
            for asked in request["RequestItems"].values():
                check_keys([_key(key) for key in asked["Keys"]], operation)
                _check_count(len(asked["Keys"]), READ_KEYS, operation)
        case "BatchWriteItem":
            for requests in request["RequestItems"].values():
                items = [entry["PutRequest"]["Item"] for entry in requests if "PutRequest" in entry]
                keys = [entry["DeleteRequest"]["Key"] for entry in requests if "DeleteRequest" in entry]
                check_keys([_key(item) for item in (*items, *keys)], operation)
                _check_count(len(requests), BATCH, operation)
                total = sum(check_row(row_of(item), operation) for item in items)
                if total > BATCH_BYTES:
                    raise refusal(operation, f"the batch has {total:,} bytes, more than {BATCH_BYTES:,}")
        case "BatchExecuteStatement":
            _check_count(len(request["Statements"]), BATCH, operation)
            kinds = {statement["Statement"].startswith("SELECT") for statement in request["Statements"]}
            if len(kinds) > 1:
                raise refusal(operation, "a batch either reads or writes")
            for statement in request["Statements"]:
                _check_count(len(statement["Statement"]), STATEMENT_LENGTH, operation)
                for value in statement.get("Parameters", ()):
                    check_value("a parameter", from_wire(value), operation)
        case "TransactWriteItems":
            items = [next(iter(write.values())) for write in request["TransactItems"]]
            sizes = [check_row(row_of(item["Item"]), operation) for item in items if "Item" in item]
            check_transaction([_key(item.get("Item") or item["Key"]) for item in items], sizes)
        case "UpdateItem" | "PutItem" | "DeleteItem" | "GetItem":
            check_key(_key(request.get("Item") or request["Key"]), operation)
        case "SendMessage":
            check_message(request["MessageBody"], _attributes(request))
            for name in ("MessageGroupId", "MessageDeduplicationId"):
                if name in request:
                    check_fifo_id(request[name])
        case "SendMessageBatch":
            entries = request["Entries"]
            _check_count(len(entries), ENTRIES, operation)
            _check_count(
                sum(check_message(each["MessageBody"], _attributes(each)) for each in entries), MESSAGE, operation
            )
            ids = [each["Id"] for each in entries]
            if len(set(ids)) < len(ids) or any(
                not each or set(each) - ENTRY_CHARACTERS or len(each) > 80 for each in ids
            ):
                raise refusal(operation, "each entry has an id of its own, of letters, digits, - and _")
        case "PutObject" | "GetObject" | "HeadObject":
            check_object_key(request["Key"])


def _check_count(count: int, most: int, operation: str) -> None:
    if not 1 <= count <= most:
        raise refusal(operation, f"{count:,} is not between 1 and {most:,}")


def _key(item: Mapping[str, Any]) -> Key:
    return item["pk"]["S"], item["sk"]["S"]


def _attributes(entry: Mapping[str, Any]) -> dict[str, str]:
    return {name: value["StringValue"] for name, value in entry.get("MessageAttributes", {}).items()}
