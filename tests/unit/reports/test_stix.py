"""STIX against its own libraries: stix2 writes the objects, stix2-patterns judges the patterns."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import stix2
    from stix2patterns.validator import run_validator

from chalicelib.domain.model import ParsedReport
from chalicelib.reports import ParserOptions, parse
from chalicelib.reports.stix_patterns import pattern_urls

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAGE = "https://shop.example.com/a"


def read(*objects: Any) -> ParsedReport:
    body = json.dumps(
        {"type": "bundle", "objects": [json.loads(o.serialize()) if hasattr(o, "serialize") else o for o in objects]}
    )
    return parse(body.encode(), "stix", ParserOptions(now=NOW))


def urls(*objects: Any) -> list[str]:
    return [entry.url for entry in read(*objects).urls]


def indicator(**fields: Any) -> dict[str, Any]:
    return {
        "type": "indicator",
        "id": "indicator--a0000000-0000-4000-8000-000000000001",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z",
        "valid_from": "2026-01-01T00:00:00Z",
        "pattern": f"[url:value = '{PAGE}']",
        "pattern_type": "stix",
        **fields,
    }


def made(**fields: Any) -> Any:
    """Make an indicator as the library writes it."""
    given = {"pattern": f"[url:value = '{PAGE}']", "pattern_type": "stix", "valid_from": NOW - timedelta(days=1)}
    return stix2.v21.Indicator(**{**given, **fields})


def test_what_the_library_writes_is_read() -> None:
    first = made()
    assert urls(first) == [PAGE]
    assert urls(first.new_version(description="changed")) == [PAGE]
    revoked = first.revoke()
    gone = read(first, revoked)
    assert gone.urls == ()
    (withdrawn,) = gone.withdrawals
    assert (withdrawn.url, withdrawn.id, withdrawn.reason) == (PAGE, first.id, "the indicator is revoked")
    assert read(revoked, first).withdrawals == gone.withdrawals, "the order in the bundle does not matter"


def test_the_latest_of_several_versions_stands_wherever_it_is() -> None:
    older = indicator()
    later = indicator(modified="2026-02-01T00:00:00.5Z", pattern="[url:value = 'https://shop.example.com/b']")
    for order in ([older, later], [later, older]):
        assert urls(*order) == ["https://shop.example.com/b"]
    report = read(older, later)
    assert [part.reason for part in report.skipped] == ["a later version of this indicator is in the report"]
    assert len(urls(indicator(id=None), indicator(id=None))) == 2, "without ids they are two"


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": ["benign"]},
        {"labels": ["Benign "]},
        {"indicator_types": ["benign"]},
        {"indicator_types": ["BENIGN", "anomalous-activity"]},
        {"labels": ["False Positive"]},
        {"labels": ["false_positive"]},
        {"labels": ["allowlist"]},
        {"labels": "benign"},
        {"indicator_types": "Benign"},
        {"labels": ["benign\u200b"]},
        {"labels": ["misp:false-positive"]},
        {"labels": ['workflow:result="False_Positive"']},
        {"labels": [{"name": "false-positive"}]},
        {"labels": ["non-malicious"]},
        {"revoked": True},
        {"revoked": "true"},
        {"revoked": "True"},
        {"revoked": 1},
    ],
)
def test_what_says_that_it_is_harmless_or_revoked_is_a_withdrawal(fields: dict[str, Any]) -> None:
    report = read(indicator(**fields))
    assert report.urls == ()
    assert [gone.url for gone in report.withdrawals] == [PAGE]
    assert report.parts_skipped == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"valid_from": "2099-01-01T00:00:00Z"}, "not valid before 2099-01-01 00:00 UTC"),
        ({"valid_until": "2026-03-01T12:00:00Z"}, "was valid until 2026-03-01 12:00 UTC"),
        ({"valid_from": "tomorrow"}, "valid_from of the indicator is no time"),
        ({"valid_until": "soon"}, "valid_until of the indicator is no time"),
        ({"pattern_type": "sigma"}, 'of the type "sigma"'),
        ({"pattern": 1}, "names no URL"),
        ({"pattern": r"[url:value = 'https://shop.example.com/a\b']"}, "not valid"),
        ({"pattern": "[url:value = 'https://shop.example.com/it's']"}, "not valid"),
    ],
)
def test_what_is_not_in_force_or_no_pattern_is_skipped_with_its_reason(fields: dict[str, Any], reason: str) -> None:
    report = read(indicator(**fields), indicator(id="indicator--2"))
    assert [entry.url for entry in report.urls] == [PAGE], "the other one is taken"
    assert reason in report.skipped[0].reason
    assert report.withdrawals == ()


def test_an_indicator_in_force_is_taken_up_to_the_moment() -> None:
    moments = {"valid_from": "2026-03-01T12:00:00Z", "valid_until": "2026-03-01T12:00:00.001Z"}
    assert urls(indicator(**moments)) == [PAGE]


def test_url_objects_accuse_nobody_and_that_is_said() -> None:
    report = read({"type": "url", "id": "url--1", "value": PAGE})
    assert report.urls == ()
    assert report.skipped[0].reason == "1 objects of other types (url): only indicators accuse a URL"


def test_an_object_that_cannot_be_read_does_not_spoil_the_others() -> None:
    body = json.dumps({"type": "bundle", "objects": [1, indicator(name="one"), indicator(id="indicator--2")]})
    report = parse(body.replace('"name"', '"id": "x", "name"').encode(), "stix", ParserOptions(now=NOW))
    assert [entry.url for entry in report.urls] == [PAGE]
    assert [part.where for part in report.skipped] == ["objects[0]", "objects[1]"]


# --- patterns ------------------------------------------------------------------------------------------------------

VALUES = st.sampled_from(
    ["'a'", r"'it\'s'", r"'a\\b'", r"'a\b'", "'a'b'", "1", "1.5", "true", "t'2026-01-01T00:00:00Z'", "''"]
)
PATHS = st.sampled_from(["url:value", "domain-name:value", "file:'name'", "a:b[0].c", "a:b[*]", "url:"])
COMPARISONS = st.one_of(
    st.builds("{} = {}".format, PATHS, VALUES),
    st.builds("{} == {}".format, PATHS, VALUES),
    st.builds("{} != {}".format, PATHS, VALUES),
    st.builds("{} IN ({}, {})".format, PATHS, VALUES, VALUES),
    st.builds("{} IN ({} {})".format, PATHS, VALUES, VALUES),
)
INSIDE = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds("({})".format, inner),
        st.builds("{} OR {}".format, inner, inner),
        st.builds("{} AND {}".format, inner, inner),
    ),
    max_leaves=4,
)
PATTERNS = st.recursive(
    st.builds("[{}]".format, INSIDE),
    lambda inner: st.one_of(
        st.builds("({})".format, inner),
        st.builds("[{}]".format, inner),
        st.builds("{} OR {}".format, inner, inner),
        st.builds("{} FOLLOWEDBY {}".format, inner, inner),
        st.builds("{} REPEATS 2 TIMES".format, inner),
    ),
    max_leaves=3,
)


@settings(max_examples=400, deadline=None)
@given(PATTERNS)
def test_a_pattern_that_is_read_is_one_of_the_standard_and_a_plain_choice_is_read(pattern: str) -> None:
    found = pattern_urls(pattern)
    valid = not run_validator(pattern, stix_version="2.1")
    if found is not None:
        assert valid, pattern
    elif valid:
        assert any(word in pattern for word in ("AND", "FOLLOWEDBY", "REPEATS", "!=")), pattern


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_a_value_that_the_library_escapes_comes_back_as_it_was(value: str) -> None:
    pattern = str(stix2.ObservationExpression(stix2.EqualityComparisonExpression("url:value", value)))
    assert pattern_urls(pattern) == [value]


@pytest.mark.parametrize(
    "pattern",
    [
        "[[url:value = 'a']]",
        "url:value = 'a'",
        "(url:value = 'a')",
        "[url:value = 'a')",
        "([url:value = 'a')]",
        "[url:value IN ('a' 'b')]",
        "[url:value IN ('a',)]",
        "[url:value = OR]",
        "[url:value = 'a'] OR",
        "[url:value = 'a' OR [url:value = 'b']]",
    ],
)
def test_what_is_no_pattern_of_the_standard_gives_nothing(pattern: str) -> None:
    assert run_validator(pattern, stix_version="2.1")
    assert pattern_urls(pattern) is None
