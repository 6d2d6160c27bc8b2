"""Take values out of the policy document. Every error names the field's path, its problem and the remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn

from chalicelib.domain.errors import ConfigurationError

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def refuse(path: str, problem: str, remedy: str) -> NoReturn:
    """Raise ConfigurationError: what is wrong where, and what to write instead."""
    raise ConfigurationError(f"policy: {path} {problem}: {remedy}")


def shown(value: object) -> str:
    """A short piece of a value, as it would stand in the document."""
    if value is None:
        return "missing or null"
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."


def an_object(path: str, value: Any, known: Collection[str] | None) -> Mapping[str, Any]:
    """Take an object whose fields are all known; ``None``: its names are free."""
    if not isinstance(value, Mapping):
        refuse(path, f"is {shown(value)}", "write an object: {…}")
    for name in value:
        if known is None and not (isinstance(name, str) and name.strip() == name and 0 < len(name) <= 100):
            refuse(path, f"holds the name {shown(name)}", "use 1 to 100 characters, without a space at the ends")
        if known is not None and name not in known:
            where = f"{path}.{name}" if path else str(name)
            refuse(where[:160], "is not a field of the policy", f"known are {', '.join(sorted(known))}")
    return value


def named_objects(path: str, value: Any, known: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Take an object of free names, each of an object of known fields."""
    return {name: an_object(f"{path}.{name}", each, known) for name, each in an_object(path, value, None).items()}


def text(path: str, value: Any) -> str:
    """Take a string."""
    if not isinstance(value, str):
        refuse(path, f"is {shown(value)}", "write a string")
    return value


def strings(path: str, value: Any) -> list[str]:
    """Take a list of strings."""
    if not isinstance(value, list):
        refuse(path, f"is {shown(value)}", "write a list of strings")
    return [text(f"{path}[{index}]", each) for index, each in enumerate(value)]


def choice(path: str, fields: Mapping[str, Any], name: str, default: str, known: Collection[str]) -> str:
    """Take one of the known words."""
    value = fields.get(name, default)
    if not isinstance(value, str) or value not in known:
        refuse(
            f"{path}{name}", f"is {shown(value)}", f"write {' or '.join(json.dumps(each) for each in sorted(known))}"
        )
    return value


def flag(path: str, fields: Mapping[str, Any], name: str) -> bool:
    """Take true or false; false if it is absent."""
    value = fields.get(name, False)
    if not isinstance(value, bool):
        refuse(f"{path}{name}", f"is {shown(value)}", "write true or false")
    return value


def whole(path: str, fields: Mapping[str, Any], name: str, default: int, allowed: range, *, more: str = "") -> int:
    """Take a whole number of a range; ``more`` is added to the remedy."""
    value = fields.get(name, default)
    if type(value) is not int or value not in allowed:
        refuse(f"{path}{name}", f"is {shown(value)}", f"give a whole number from {allowed[0]} to {allowed[-1]:,}{more}")
    return value


def moment(path: str, value: Any) -> datetime:
    """Read a date, which protects to its end (UTC), or a time of RFC 3339."""
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC) + timedelta(days=1)
        if isinstance(value, str) and _TIME.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except (ValueError, OverflowError):
        pass
    refuse(path, f"is {shown(value)}", "write 2026-12-31, which counts to its end in UTC, or 2026-12-31T18:00:00Z")
