"""Rows, keys and conditions as DynamoDB's own JSON.

Attributes are converted here, not by boto3's ``TypeSerializer``: that one turns numbers into ``Decimal`` and takes a
third of the handler's CPU, and our rows hold only strings, integers, bytes and lists and maps of them.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.ports import Key, Row, Value


def to_wire(value: Value) -> dict[str, Any]:
    """Convert one attribute to DynamoDB's JSON."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, bytes):
        return {"B": b2a_base64(value, newline=False).decode()}
    if isinstance(value, list):
        return {"L": [to_wire(each) for each in value]}
    if isinstance(value, dict):
        return {"M": {name: to_wire(each) for name, each in value.items()}}
    raise TypeError(f"a row cannot hold {type(value).__name__}")


def from_wire(value: Mapping[str, Any]) -> Value:
    """Convert one attribute from DynamoDB's JSON."""
    ((kind, content),) = value.items()
    if kind == "S":
        return str(content)
    if kind == "N":
        return int(content)
    if kind == "B":
        return a2b_base64(content)
    if kind == "L":
        return [from_wire(each) for each in content]
    if kind == "M":
        return {name: from_wire(each) for name, each in content.items()}
    raise TypeError(f"a row does not hold {kind}")


def item_of(row: Row) -> dict[str, Any]:
    """Convert a row."""
    return {name: to_wire(value) for name, value in row.items() if value is not None}


def row_of(item: Mapping[str, Any]) -> dict[str, Value]:
    """Convert a row back."""
    # Most attributes are strings: without a call for each, this takes half the CPU.
    return {name: value["S"] if "S" in value else from_wire(value) for name, value in item.items()}


def key_of(key: Key) -> dict[str, Any]:
    """Convert a key."""
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def where(key: Key, expect: Row) -> tuple[str, list[dict[str, Any]]]:
    """Write a PartiQL condition on a key and the expected attributes; return it with its parameters."""
    clauses, parameters = ['"pk" = ?', '"sk" = ?'], [to_wire(key[0]), to_wire(key[1])]
    for name, value in expect.items():
        if value is None:
            clauses.append(f'"{name}" IS MISSING')
        else:
            clauses.append(f'"{name}" = ?')
            parameters.append(to_wire(value))
    return " AND ".join(clauses), parameters


def expressions(expect: Row, change: Row | None = None, remove: Sequence[str] = ()) -> dict[str, Any]:
    """Write the condition and the update of a request, with their names and values."""
    names: dict[str, str] = {}
    values: dict[str, Any] = {}

    def name_of(name: str) -> str:
        return names.setdefault(name, f"#{len(names)}")

    def value_of(value: Value) -> str:
        placeholder = f":{len(values)}"
        values[placeholder] = to_wire(value)
        return placeholder

    conditions = ["attribute_exists(pk)"]
    for name, value in expect.items():
        conditions.append(
            f"attribute_not_exists({name_of(name)})" if value is None else f"{name_of(name)} = {value_of(value)}"
        )
    parts: dict[str, Any] = {"ConditionExpression": " AND ".join(conditions)}
    sets = [f"{name_of(name)} = {value_of(value)}" for name, value in (change or {}).items() if value is not None]
    removes = [name_of(name) for name in remove]
    if sets or removes:
        update = ("SET " + ", ".join(sets) if sets else "") + (" REMOVE " + ", ".join(removes) if removes else "")
        parts["UpdateExpression"] = update.strip()
    if names:
        parts["ExpressionAttributeNames"] = {placeholder: name for name, placeholder in names.items()}
    if values:
        parts["ExpressionAttributeValues"] = values
    return parts
