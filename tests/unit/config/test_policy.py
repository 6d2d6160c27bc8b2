"""The policy document is read whole, or refused by the path of its field with the remedy."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.config.policy import FIELDS, parse
from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.model import BareHosts, SchemeVariants
from chalicelib.domain.policy.duration import plan_for
from chalicelib.domain.policy.model import Approvals, Caps, Category, Policy, SourceRules, Verification
from chalicelib.domain.policy.statement import EEA, Notice, SourceStatement

PAGE = Path(__file__).parents[3] / "docs" / "policy.md"
SMALLEST: dict[str, Any] = {"version": 1, "accounts": {"main": {"managed_domains": ["*.example.com"]}}}


def policy_of(**fields: Any) -> Policy:
    return parse({**SMALLEST, **fields})


def test_the_smallest_document_is_a_safe_policy() -> None:
    policy = parse(SMALLEST)
    assert policy.accounts["main"].covers("www.example.com")
    assert (policy.bare_hosts, policy.scheme_variants, policy.dry_run) == ("hold", "apart", False)
    assert policy.default == Category(plan_for(7), 1)
    assert (policy.caps, policy.approvals) == (Caps(), Approvals())
    assert all(policy.caps)
    assert (policy.cool_down_days, policy.renew_before_hours) == (7, 24)
    assert policy.verification == Verification(0, frozenset({403}), 5)
    assert not policy.forced_hosts
    assert not policy.dry_accounts


def test_a_hold_is_overdue_after_hours_or_minutes() -> None:
    assert policy_of(approvals={"alarm_after_hours": 2}).approvals.alarm_after == timedelta(hours=2)
    assert policy_of(approvals={"alarm_after_minutes": 15}).approvals.alarm_after == timedelta(minutes=15)


def test_the_documents_of_the_documentation_are_valid() -> None:
    smallest, everything = re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    parse(json.loads(smallest))
    document = json.loads(everything)
    assert set(document) == FIELDS - {"ban_days"}
    policy = parse(document)
    assert policy.caps == Caps()
    assert policy.approvals == Approvals()
    assert policy.dry_accounts == {"huawei-asia"}
    assert policy.default.plan == (7, timedelta(days=7))
    assert policy.categories["phishing"].plan == (30, timedelta(days=90))
    assert policy.categories["malware"].plan == (30, None)
    assert policy.categories["spam"] == Category(plan_for(3), 2)
    of_desk = SourceStatement(Notice.ARTICLE_16, automated_detection=False)
    assert policy.sources["desk"] == SourceRules(max_per_hour=500, bare_hosts=BareHosts.BAN, statement=of_desk)
    assert policy.statement
    assert policy.statement.territorial_scope == EEA
    assert policy.categories["phishing"].statement
    assert policy.categories["malware"].statement is None
    assert policy.sources["public-form"].review
    assert policy.sources["new-feed"].dry_run
    assert policy.forced_hosts.covers("a.pages.example.net")
    assert policy.scheme_variants is SchemeVariants.TOGETHER
    found = policy.protected.find("https://x.bank.pages.example.net/", "x.bank.pages.example.net", None)
    assert found
    assert found.expires == datetime(2027, 1, 1, tzinfo=UTC)


def test_the_documentation_names_every_field_and_every_default() -> None:
    page = PAGE.read_text()
    for name in [*FIELDS, *Caps._fields, *Approvals._fields, *Verification._fields]:
        assert re.search(rf"^\| `{name}` \|", page, re.MULTILINE), name
    verification = {**Verification()._asdict(), "expect": r"\[403\]"}
    for name, default in [*Caps()._asdict().items(), *Approvals()._asdict().items(), *verification.items()]:
        assert re.search(rf"^\| `{name}` \| {default} \|", page, re.MULTILINE), name


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "the document is []"),
        (None, "the document is missing or null"),
        ({"accounts": SMALLEST["accounts"]}, "version is missing or null: write 1"),
        ({**SMALLEST, "version": 2}, "version is 2: write 1"),
        ({**SMALLEST, "version": True}, "version is true: write 1"),
        ({**SMALLEST, "cap": {}}, "cap is not a field: known are accounts, approvals,"),
        (dict[object, object]({7: {}, "version": 1}), "7 is not a field"),
        ({"version": 1}, "accounts is empty: name at least one vendor account"),
        ({"version": 1, "accounts": None}, "accounts is missing or null: write an object"),
        ({"version": 1, "accounts": {}}, "accounts is empty: name at least one vendor account"),
        (
            {"version": 1, "accounts": {"a b": {}}},
            'accounts holds the name "a b" that cannot be one: use letters, digits',
        ),
        ({"version": 1, "accounts": {"main": []}}, "accounts.main is []: write an object"),
        ({"version": 1, "accounts": {"main": {}}}, "accounts.main.managed_domains is missing: list the hosts"),
        ({"version": 1, "accounts": {"main": {"managed_domain": []}}}, "accounts.main.managed_domain is not a field"),
    ],
)
def test_a_document_of_the_wrong_shape_is_refused(document: object, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(document)
    assert str(refused.value).startswith(f"policy: {said}")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"accounts": {"m": {"managed_domains": "a.com"}}}, 'accounts.m.managed_domains is "a.com": write a list'),
        ({"accounts": {"m": {"managed_domains": [7]}}}, "accounts.m.managed_domains[0] is 7: write a string"),
        ({"accounts": {"m": {"managed_domains": ["a b"]}}}, 'accounts.m.managed_domains[0] is "a b", which is no host'),
        ({"accounts": {"m": {"managed_domains": ["*.com"]}}}, 'accounts.m.managed_domains holds "*.com", a whole top-'),
        ({"accounts": {"m": {"managed_domains": [], "dry_run": 1}}}, "accounts.m.dry_run is 1: write true or false"),
        ({"dry_run": "yes"}, 'dry_run is "yes": write true or false'),
        ({"ban_days": 31}, "ban_days is 31: give a whole number from 1 to 30"),
        ({"ban_days": True}, "ban_days is true: give a whole number from 1 to 30"),
        ({"ban_days": 7.0}, "ban_days is 7.0: give a whole number"),
        ({"ban_days": None}, "ban_days is missing or null: give a whole number"),
        ({"cool_down_days": 366}, "cool_down_days is 366: give a whole number from 0 to 365"),
        ({"renew_before_hours": 0}, "renew_before_hours is 0: give a whole number from 1 to 168"),
        ({"bare_hosts": "drop"}, 'bare_hosts is "drop": write "ban" or "hold" or "reject"'),
        ({"bare_hosts": ["ban"]}, 'bare_hosts is ["ban"]: write "ban"'),
        (
            {"bare_hosts": {"rule": "ban"}},
            'bare_hosts is an object: write the rule, such as "hold", and the hosts in for',
        ),
        ({"forced_hosts": ["a.com", "*"]}, 'forced_hosts[1] is "*", which is no host name'),
        ({"forced_hosts": "a.com"}, 'forced_hosts is "a.com": write a list of strings'),
        ({"scheme_variants": "both"}, 'scheme_variants is "both": write "apart" or "together"'),
        ({"twins": "both"}, 'twins is not a field any more: write "scheme_variants"'),
        ({"caps": 5}, "caps is 5: write an object"),
        ({"caps": {"per_hour": 5}}, "caps.per_hour is not a field: known are lifts_per_source_per_hour,"),
        ({"caps": {"per_host_per_hour": -1}}, "caps.per_host_per_hour is -1: give a whole number from 0 to"),
        ({"caps": {"share_of_live": 1.5}}, "caps.share_of_live is 1.5: give a number from 0"),
        ({"caps": {"share_of_live": float("nan")}}, "caps.share_of_live is NaN: give a number"),
        ({"caps": {"share_of_live": True}}, "caps.share_of_live is true: give a number"),
        ({"caps": {"share_of_live": "1"}}, 'caps.share_of_live is "1": give a number'),
        ({"approvals": {"two_above": "x"}}, 'approvals.two_above is "x": give a whole number'),
        ({"approvals": {"alarm_after_hours": 0}}, "approvals.alarm_after_hours is 0: give a whole number from 1 to"),
        ({"approvals": {"alarm_after_minutes": -1}}, "approvals.alarm_after_minutes is -1: give a whole number from 0"),
        ({"approvals": {"by": 2}}, "approvals.by is not a field"),
        ({"sources": {"desk": {"trust": "full"}}}, 'sources.desk.trust is "full": write "auto" or "review"'),
        ({"sources": {"desk": {"dry_run": None}}}, "sources.desk.dry_run is missing or null: write true or false"),
        ({"sources": {"desk": {"max_per_hour": -1}}}, "sources.desk.max_per_hour is -1: give a whole number from 0"),
        ({"sources": {"desk": {"max_per_hour": None}}}, "sources.desk.max_per_hour is missing or null: give"),
        ({"sources": {"desk": {"bare_hosts": ""}}}, 'sources.desk.bare_hosts is "": write "ban"'),
        ({"sources": {"desk": {"secrets": []}}}, "sources.desk.secrets is not a field"),
        ({"sources": {" desk": {}}}, 'sources holds the name " desk" that cannot be one: use 1 to 100'),
        (
            {"categories": {"a": {"ban_days": 31}}},
            "categories.a.ban_days is 31: give a whole number from 1 to 30; for l",
        ),
        (
            {"categories": {"a": {"ban_for_days": 1096}}},
            "categories.a.ban_for_days is 1096: give a whole number from 1",
        ),
        ({"categories": {"a": {"until": "2027"}}}, 'categories.a.until is "2027": write "unbanned"'),
        ({"categories": {"a": {"ban_days": 1, "until": "unbanned"}}}, "categories.a has ban_days and until: keep one"),
        ({"categories": {"a": {"min_reporters": 0}}}, "categories.a.min_reporters is 0: give a whole number from 1 to"),
        ({"categories": {"a": {}, "A": {}}}, "categories.A is there twice: upper and lower case do not count"),
        ({"categories": {"a": {"days": 1}}}, "categories.a.days is not a field: known are ban_days, ban"),
        ({"ban_days": 3, "categories": {"default": {"until": "unbanned"}}}, "ban_days is there beside a duration in"),
        ({"protected": {}}, "protected is {}: write a list of"),
        ({"protected": ["a.com"]}, 'protected[0] is "a.com": write an object'),
        ({"protected": [{"comment": "c"}]}, "protected[0] has nothing to protect: give one of"),
        ({"protected": [{"host": "a.com", "url": "x", "comment": "c"}]}, "protected[0] has host and url: give one of"),
        ({"protected": [{"host": "a.com"}]}, "protected[0].comment is missing or empty: say who asked"),
        ({"protected": [{"host": "a.com", "comment": " "}]}, "protected[0].comment is missing or empty"),
        ({"protected": [{"host": "a.com", "comment": "c", "expiry": ""}]}, "protected[0].expiry is not a field"),
        ({"protected": [{"host": "a.com/b", "comment": "c"}]}, 'protected[0].host is "a.com/b", which is no host'),
        ({"protected": [{"url": "a.com/b", "comment": "c"}]}, 'protected[0].url is "a.com/b": the URL does not begin'),
        ({"protected": [{"prefix": 7, "comment": "c"}]}, "protected[0].prefix is 7: write a string"),
        ({"verification": True}, "verification is true: write an object"),
        ({"verification": {"samples": 3}}, "verification.samples is not a field"),
        ({"verification": {"sample": 21}}, "verification.sample is 21: give a whole number from 0 to 20"),
        ({"verification": {"expect": 403}}, "verification.expect is 403: list the statuses"),
        ({"verification": {"expect": []}}, "verification.expect is []: list the statuses"),
        ({"verification": {"expect": ["403"]}}, 'verification.expect is ["403"]: list the statuses'),
        ({"verification": {"expect": [True]}}, "verification.expect is [true]: list the statuses"),
        ({"verification": {"expect": [100]}}, "verification.expect is [100]: list the statuses"),
        ({"verification": {"after_minutes": 0}}, "verification.after_minutes is 0: give a whole number from 1"),
        ({"protected_hosts": ["a.com"]}, "protected_hosts is not a field any more: list the hosts in protected, as"),
    ],
)
def test_a_wrong_field_is_refused_by_its_path_with_what_to_write(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        policy_of(**fields)
    assert str(refused.value).startswith(f"policy: {said}")


@pytest.mark.parametrize(
    "expires",
    [
        "",
        "2026",
        "2026-02-30",
        "20260101",
        "2026-W01-1",
        "01/02/2026",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01T25:00:00Z",
        "2026-01-01T00:00:00+99:00",
        "2026-01-01T00:00Z",
        "9999-12-31",
        1767225600,
        None,
        "２０２６-01-01",
    ],
)
def test_an_end_that_is_no_date_and_no_time_with_a_zone_is_refused(expires: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^policy: protected\[0\]\.expires is .*: write 2026-12-31"):
        policy_of(protected=[{"host": "a.example.com", "comment": "c", "expires": expires}])


@pytest.mark.parametrize(
    ("expires", "end"),
    [
        ("2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12-31T18:00:00Z", datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31t18:00:00.5z", datetime(2026, 12, 31, 18, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-12-31T18:00:00+08:00", datetime(2026, 12, 31, 10, tzinfo=UTC)),
    ],
)
def test_an_end_is_a_date_or_a_time_of_rfc_3339(expires: str, end: datetime) -> None:
    policy = policy_of(protected=[{"host": "a.example.com", "comment": "c", "expires": expires}])
    assert policy.protected.hosts["a.example.com"].expires == end


def test_what_a_category_leaves_out_is_the_defaults() -> None:
    policy = policy_of(ban_days=5, categories={"Default": {"min_reporters": 2}, "Spam": {}, "scam": {"ban_days": 9}})
    assert policy.default == policy.categories["spam"] == Category(plan_for(5), 2)
    assert policy.categories["scam"] == Category(plan_for(9), 2)


def test_protections_are_compared_wide() -> None:
    policy = policy_of(
        protected=[
            {"host": "BÜCHER.example.com", "comment": "c"},
            {"host": "*.Shop.Example.com", "comment": "c"},
            {"url": "HTTPS://User@A.Example.com:443/b/../c?#d", "comment": "c"},
            {"prefix": "https://B.example.com", "comment": "c"},
            {"host": "[2001:DB8::0]", "comment": "c"},
        ]
    ).protected
    assert list(policy.hosts) == ["xn--bcher-kva.example.com", "[2001:db8::]"]
    assert list(policy.below) == ["shop.example.com"]
    assert list(policy.urls) == [("a.example.com", "/c", "")]
    assert [(host, [each[0] for each in found]) for host, found in policy.prefixes.items()] == [
        ("b.example.com", [("b.example.com", "/", "")])
    ]


def test_a_verification_is_read_whole() -> None:
    policy = policy_of(verification={"sample": 4, "expect": [403, 451], "after_minutes": 30})
    assert policy.verification == Verification(4, frozenset({403, 451}), 30)


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(ConfigurationError) as refused:
        policy_of(scheme_variants="x" * 5_000)
    assert len(str(refused.value)) < 200


def test_an_account_without_hosts_is_sent_nothing() -> None:
    policy = parse({"version": 1, "accounts": {"main": {"managed_domains": []}}})
    assert not policy.accounts["main"].covers("www.example.com")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(FIELDS)), values)
def test_any_value_is_taken_or_refused_with_its_field(field: str, value: object) -> None:
    said = ""
    try:
        policy_of(**{field: value})
    except ConfigurationError as error:
        said = str(error)
    assert not said or said.startswith(f"policy: {field}")


@pytest.mark.parametrize(
    ("account", "message"),
    [
        ({"edge_host": "*.example.net"}, "edge_host"),
        ({"edge_host": ""}, "edge_host"),
        ({"edge_expect": []}, "edge_expect"),
        ({"edge_expect": [99]}, "edge_expect"),
    ],
)
def test_a_wrong_edge_of_an_account_is_refused(account: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse({"version": 1, "accounts": {"a": {"managed_domains": ["example.com"], **account}}})
