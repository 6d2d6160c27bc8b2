"""The one reader of configuration documents refuses what is wrong, and its errors repeat no secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.config import operators, policy, sources
from chalicelib.config.fields import MAX_DOCUMENT, MAX_ENTRIES, MAX_TEXT, Fields, load
from chalicelib.domain.errors import ConfigurationError
from chalicelib.vendors.registry import parse_accounts

PARSERS: dict[str, Callable[[object], Any]] = {
    "policy": policy.parse,
    "sources": sources.parse,
    "operators": operators.parse,
    "vendors": parse_accounts,
}
WITH_SECRETS = ("sources", "operators", "vendors")
HASH = "9" * 64
SOURCE = {"auth": "bearer", "secrets": ["a-secret-of-the-desk-x"]}
CALLBACK = {"callback_url": "https://hooks.example.org/", "callback_secret": "c2VjcmV0" * 5}
GOOD: dict[str, dict[str, Any]] = {
    "sources": {
        "desk": {
            **SOURCE,
            "callback_url": "https://hooks.example.org/",
            "callback_secret": "c2VjcmV0" * 5,
            "hosts": ["a.com"],
        }
    },
    "operators": {"anna": {"token_sha256": HASH, "role": "reader"}},
    "vendors": {
        "main": {"vendor": "huawei", "endpoint": "https://cdn.example.org", "access_key": "AK", "secret_key": "SK"},
        "exports": {"vendor": "alibaba", "endpoint": "https://cdn.example.org", "access_key": "AK", "secret_key": "SK"},
    },
}


def problem(parse: Callable[[Any], object], value: object) -> str:
    with pytest.raises(ConfigurationError) as refused:
        parse(value)
    return str(refused.value)


# --- the text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "policy: it is not JSON (line 1): write one JSON object"),
        ('{\n "version": 1,\n}', "policy: it is not JSON (line 3): write one JSON object"),
        ("1" * 5_000, "policy: it is not JSON (line ?): write one JSON object"),
        ("[" * 100_000, "policy: it is nested too deep"),
        (" " * (MAX_DOCUMENT + 1), "policy: it has 4,194,305 characters: write at most 4,194,304"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', 'policy: "b" is there twice in one object: keep one of the two'),
        ('{"a-secret-of-24-letters-x": 1, "a-secret-of-24-letters-x": 2}', "policy: a name is there twice in one"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_without_a_word_of_it(text: str, said: str) -> None:
    assert problem(lambda value: load("policy", value), text).startswith(said)


def test_names_are_told_apart_by_object_and_by_case() -> None:
    assert load("sources", '{"a": {"x": 1}, "b": {"x": 1}, "A": 1}') == {"a": {"x": 1}, "b": {"x": 1}, "A": 1}


# --- all documents -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", PARSERS)
@pytest.mark.parametrize("value", [None, [], "text", 7])
def test_a_document_is_an_object(document: str, value: object) -> None:
    assert problem(PARSERS[document], value).startswith(f"{document}: the document is ")


@pytest.mark.parametrize("document", WITH_SECRETS)
def test_every_document_refuses_unknown_fields_and_wrong_names_in_the_same_words(document: str) -> None:
    name, entry = next(iter(GOOD[document].items()))
    parse = PARSERS[document]
    assert parse(GOOD[document])
    assert problem(parse, {name: []}) == f"{document}: {name} is a list: write an object: {{…}}"
    unknown = problem(parse, {name: {**entry, "colour": 1}})
    assert unknown.startswith(f"{document}: {name}.colour is not a field: known are ")
    assert problem(parse, {f" {name}": entry}).startswith(f"{document}: the document holds a name that cannot be one:")
    assert problem(parse, {"": entry}).startswith(f"{document}: the document holds a name that cannot be one:")
    assert problem(parse, {"n" * 101: entry}).startswith(f"{document}: the document holds a name that cannot be one:")
    many = dict.fromkeys(map(str, range(MAX_ENTRIES + 1)), entry)
    assert problem(parse, many) == f"{document}: the document holds 20,001 names: write at most 20,000"


@pytest.mark.parametrize("document", WITH_SECRETS)
@given(data=st.data())
def test_no_error_repeats_what_a_document_with_secrets_holds(document: str, data: st.DataObject) -> None:
    """A secret may be in a wrong place: as the value, the list entry or the name of any field."""
    secret = data.draw(st.text("abcXYZ0123456789+/= \n\t.:é", min_size=16, max_size=40).filter(str.strip))
    changed = json.loads(json.dumps(GOOD[document]))
    entry = data.draw(st.sampled_from(list(changed.values())))
    field = data.draw(st.sampled_from([*entry, "unknown"]))
    wrong: Any = data.draw(st.sampled_from([secret, [secret], {secret: secret}, [[secret]], [secret, secret, secret]]))
    if data.draw(st.booleans()):
        entry[field] = wrong
    else:
        entry[secret] = entry.pop(field, wrong)
    said = ""
    try:
        PARSERS[document](changed)
    except ConfigurationError as error:
        said = str(error)
    assert secret.strip() not in said
    assert not said or said.startswith(f"{document}: ")


# --- values --------------------------------------------------------------------------------------------------------


def test_sizes_are_capped() -> None:
    long = "x" * (MAX_TEXT + 1)
    fields = Fields.of("policy", {"text": long, "list": ["x"] * (MAX_ENTRIES + 1), "texts": [long]})
    assert problem(lambda _: fields.text("text"), None) == "policy: text has 8,193 characters: write at most 8,192"
    assert problem(lambda _: fields.strings("list"), None) == "policy: list has 20,001 entries: write at most 20,000"
    assert problem(lambda _: fields.strings("texts"), None).startswith("policy: texts[0] has 8,193 characters")


def test_paths_name_the_place() -> None:
    fields = Fields.of("policy", {"protected": [{}, {"host": 7}], "a": {"b": {"c": {"d": []}}}})
    second = fields.entries("protected")[1]
    assert problem(lambda _: second.host("host"), None) == "policy: protected[1].host is 7: write a string"
    deep = fields.nested("a").named()["b"].nested("c")
    assert problem(lambda _: deep.text("d"), None) == "policy: a.b.c.d is []: write a string"
    assert problem(lambda _: deep.refuse("", "is odd", "mend it"), None) == "policy: a.b.c is odd: mend it"


def test_small_numbers_are_shown_even_where_secrets_are_hidden() -> None:
    fields = Fields.of("sources", {"n": -5, "pin": 4_711_471_147, "s": "hunter2", "f": True}, holds_secrets=True)
    assert problem(lambda _: fields.whole("n", range(9)), None) == "sources: n is -5: give a whole number from 0 to 8"
    assert "4711" not in problem(lambda _: fields.whole("pin", range(9)), None)
    assert problem(lambda _: fields.whole("s", range(9)), None).startswith("sources: s is a string: give a whole")
    assert problem(lambda _: fields.whole("f", range(9)), None).startswith("sources: f is true: give a whole number")


def test_a_date_counts_to_its_end() -> None:
    assert Fields.of("policy", {"end": "2026-12-31"}).moment("end") == datetime(2027, 1, 1, tzinfo=UTC)
