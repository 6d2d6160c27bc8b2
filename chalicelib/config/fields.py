"""The one reader of configuration documents.

Every error reads ``<document>: <path of the field> <problem>: <remedy>``. An unknown field is refused: otherwise a
misspelt safety setting would simply be missing. A name that occurs twice in one object is refused. Sizes are limited.
Errors about a document with secrets name the kind of a value and never the value.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NoReturn

from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.urls import HostPatterns

MAX_DOCUMENT: Final = 4 * 1024 * 1024
"""The most characters of a document: it takes a tenth of a second to parse one of this size."""

MAX_ENTRIES: Final = 20_000
"""The most entries of one list, and the most names of one object."""

MAX_TEXT: Final = 8_192
"""The most characters of one string: as many as the longest URL has."""

_FREE_NAME: Final = re.compile(r"(?=\S)[^\x00-\x1f\x7f]{1,100}(?<=\S)")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FIELD_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,14}")
"""Names that errors may repeat. Secrets have at least 16 characters: a longer name may be a secret in a wrong place."""

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def load(document: str, text: str) -> object:
    """Parse the JSON of a document. Raises ConfigurationError, which repeats only a name that occurs twice."""
    if len(text) > MAX_DOCUMENT:
        raise ConfigurationError(f"{document}: it has {len(text):,} characters: write at most {MAX_DOCUMENT:,}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            named = json.dumps(twice) if _FIELD_NAME.fullmatch(twice) else "a name"
            raise ConfigurationError(f"{document}: {named} is there twice in one object: keep one of the two")
        return values

    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise ConfigurationError(f"{document}: it is nested too deep: write it as the documentation shows") from None
    except ValueError as error:
        line = getattr(error, "lineno", "?")
        raise ConfigurationError(f"{document}: it is not JSON (line {line}): write one JSON object") from None


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one object of a document. ``path`` is where the object stands, empty for the document itself."""

    document: str
    values: Mapping[str, Any] = field(repr=False)
    path: str = ""
    holds_secrets: bool = False

    @classmethod
    def of(cls, document: str, value: object, *, holds_secrets: bool = False) -> Fields:
        """Read a whole document. Raises ConfigurationError, as every method here does, unless it is an object."""
        return cls(document, {"": value}, holds_secrets=holds_secrets).nested("")

    def __contains__(self, name: str) -> bool:
        return name in self.values

    # --- what is wrong --------------------------------------------------------------------------------------------

    def refuse(self, name: str, problem: str, remedy: str) -> NoReturn:
        """Raise ConfigurationError about a field, or about the object itself if ``name`` is empty."""
        raise ConfigurationError(f"{self.document}: {self.path_of(name) or 'the document'} {problem}: {remedy}")

    def refuse_because(self, name: str, error: ConfigurationError) -> NoReturn:
        """Raise an error that a reader of the value raised, with the path of the field."""
        raise ConfigurationError(f"{self.document}: {self.path_of(name)}: {error}") from error

    def path_of(self, name: str) -> str:
        """Return the path of a field: ``accounts.main.managed_domains``, ``protected[2].host``."""
        return f"{self.path}.{name}" if self.path and name else self.path or name

    def shown(self, value: object) -> str:
        """Return a short piece of a value as the document has it; only its kind if the document holds secrets."""
        if value is None:
            return "missing or null"
        if self.holds_secrets and not isinstance(value, bool | float) and (type(value) is not int or value > 10**9):
            kinds = {str: "a string", int: "a large number", list: "a list", dict: "an object"}
            return "empty" if value == "" else kinds.get(type(value), "of another kind")
        text = json.dumps(value, ensure_ascii=False, default=repr)
        return text if len(text) <= 60 else f"{text[:57]}..."

    # --- objects --------------------------------------------------------------------------------------------------

    def only(self, known: Collection[str], *, replaced: Mapping[str, str] | None = None) -> Fields:
        """Refuse unknown fields. ``replaced`` says for each former field what to write instead."""
        for name in self.values:
            if name in known:
                continue
            if replaced and name in replaced:
                self.refuse(name, "is not a field any more", replaced[name])
            remedy = f"known are {', '.join(sorted(known))}"
            if self.holds_secrets and not _FIELD_NAME.fullmatch(str(name)):
                self.refuse("", "has a field that is not known", remedy)
            self.refuse(str(name)[:100], "is not a field", remedy)
        return self

    def nested(self, name: str) -> Fields:
        """Return the object in a field; an empty one if the field is absent."""
        return self._object(name, self.values.get(name, {}))

    def named(self, *, plain: bool = False) -> dict[str, Fields]:
        """Return the objects of an object whose names the operator chooses.

        ``plain``: the names become part of file names and of queues' group names. They have letters, digits, - and _.
        """
        return {self._name(name, plain=plain): self._object(name, value) for name, value in self._entries()}

    def entries(self, name: str) -> list[Fields]:
        """Return the objects of a list; none if the field is absent."""
        values = self._list(name, self.values.get(name, []), "objects")
        return [self._object(f"{name}[{index}]", value) for index, value in enumerate(values)]

    def _object(self, name: str, value: object) -> Fields:
        if not isinstance(value, Mapping):
            self.refuse(name, f"is {self.shown(value)}", "write an object: {…}")
        return Fields(self.document, value, self.path_of(name), self.holds_secrets)

    def _entries(self) -> Iterable[tuple[str, Any]]:
        if len(self.values) > MAX_ENTRIES:
            self.refuse("", f"holds {len(self.values):,} names", f"write at most {MAX_ENTRIES:,}")
        return self.values.items()

    def _name(self, name: str, *, plain: bool) -> str:
        if not (_PLAIN_NAME if plain else _FREE_NAME).fullmatch(name):
            shown = "a name" if self.holds_secrets else f"the name {self.shown(name)}"
            letters = "letters, digits, - and _, at most 64" if plain else "1 to 100 characters, no space at the ends"
            self.refuse("", f"holds {shown} that cannot be one", f"use {letters}")
        return name

    # --- values ---------------------------------------------------------------------------------------------------

    def text(self, name: str, default: str | None = None, *, longest: int = MAX_TEXT) -> str:
        """Return a string."""
        return self._text(name, self.values.get(name, default), longest)

    def strings(self, name: str, default: list[str] | None = None) -> list[str]:
        """Return a list of strings."""
        values = self._list(name, self.values.get(name, default), "strings")
        return [self._text(f"{name}[{index}]", value, MAX_TEXT) for index, value in enumerate(values)]

    def host(self, name: str) -> str:
        """Return a host name or a wildcard, as it is written."""
        return self._host(name, self.text(name))

    def hosts(self, name: str, default: list[str] | None = None) -> HostPatterns:
        """Return a list of host names and wildcards."""
        patterns = self.strings(name, default)
        return HostPatterns([self._host(f"{name}[{index}]", pattern) for index, pattern in enumerate(patterns)])

    def choice(self, name: str, known: Iterable[str], default: str | None = None) -> str:
        """Return one of the known words."""
        words, value = sorted(str(word) for word in known), self.values.get(name, default)
        if not isinstance(value, str) or value not in words:
            self.refuse(name, f"is {self.shown(value)}", f"write {' or '.join(json.dumps(word) for word in words)}")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return true or false; ``default`` if the field is absent."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            self.refuse(name, f"is {self.shown(value)}", "write true or false")
        return value

    def whole(self, name: str, allowed: range, default: int | None = None, *, more: str = "") -> int:
        """Return a whole number in a range; ``more`` is added to the remedy."""
        value = self.values.get(name, default)
        if type(value) is not int or value not in allowed:
            remedy = f"give a whole number from {allowed[0]} to {allowed[-1]:,}{more}"
            self.refuse(name, f"is {self.shown(value)}", remedy)
        return value

    def moment(self, name: str) -> datetime:
        """Return the end of a date (UTC), or a time of RFC 3339."""
        value = self.values.get(name)
        try:
            if isinstance(value, str) and _DATE.fullmatch(value):
                return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC) + timedelta(days=1)
            if isinstance(value, str) and _TIME.fullmatch(value):
                return datetime.fromisoformat(value.upper())
        except (ValueError, OverflowError):
            pass
        remedy = "write 2026-12-31, which counts to its end in UTC, or 2026-12-31T18:00:00Z"
        return self.refuse(name, f"is {self.shown(value)}", remedy)

    def _text(self, name: str, value: object, longest: int) -> str:
        if not isinstance(value, str):
            self.refuse(name, f"is {self.shown(value)}", "write a string")
        if len(value) > longest:
            self.refuse(name, f"has {len(value):,} characters", f"write at most {longest:,}")
        return value

    def _host(self, name: str, pattern: str) -> str:
        try:
            HostPatterns([pattern])
        except ConfigurationError:
            remedy = "write www.example.com, *.example.com, 192.0.2.1 or [2001:db8::1]"
            self.refuse(name, f"is {self.shown(pattern)}, which is no host name", remedy)
        return pattern

    def _list(self, name: str, value: object, kind: str) -> list[Any]:
        if not isinstance(value, list):
            self.refuse(name, f"is {self.shown(value)}", f"write a list of {kind}")
        if len(value) > MAX_ENTRIES:
            self.refuse(name, f"has {len(value):,} entries", f"write at most {MAX_ENTRIES:,}")
        return value
