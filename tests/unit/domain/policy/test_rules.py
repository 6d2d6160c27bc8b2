"""Each situation of a URL has one verdict, which names the rule; and the policy says how long a ban lasts."""

from __future__ import annotations

import string
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.config.policy import parse
from chalicelib.config.sources import Source
from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import BareHosts, ReportedUrl, Rule, Verdict, VerdictKind
from chalicelib.domain.policy.duration import plan_for, planned
from chalicelib.domain.policy.forbidden import forbidden
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.rules import Situation, accounts_for, category_of, standing, verdict
from chalicelib.domain.policy.usage import HOST_COUNTERS, Usage, counter_of
from chalicelib.domain.policy.wide import is_root
from chalicelib.domain.urls import HostPatterns, canonical_url, host_of
from chalicelib.pipeline.intake.corroboration import reporter_of

NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
PAGE = "https://www.example.com/login"
ROOT = "https://www.example.com/"
REPORTED = ReportedUrl(PAGE)


def policy_of(**fields: Any) -> Policy:
    return parse(
        {
            "version": 1,
            "accounts": {"main": {"managed_domains": ["*.example.com"]}, "other": {"managed_domains": ["*.test.org"]}},
            **fields,
        }
    )


def used(count: int, source: str = "desk", host: str = "www", live: int = 0) -> Usage:
    usage = Usage(live=live)
    for _ in range(count):
        usage.add(source, f"{host}.example.com")
    return usage


def judged(url: str, reported: ReportedUrl, policy: Policy, **facts: Any) -> Verdict:
    """Decide about a URL by facts about its source, its situation and the usage."""
    name, category, ban_days = (facts.pop(key, None) for key in ("source", "category", "source_days"))
    source = Source(name or "", category=category or "", ban_days=ban_days)
    usage = facts.pop("usage", None)
    return verdict(url, reported, policy, source, Situation(**facts), usage=usage)


PLAIN = policy_of()
EVERYTHING = policy_of(
    protected=[
        {"host": "pay.example.com", "comment": "payments"},
        {"host": "*.bank.example.com", "comment": "a customer", "expires": "2026-02-01"},
        {"url": "https://www.example.com/terms", "comment": "legal"},
        {"prefix": "https://www.example.com/old/", "comment": "the old shop", "expires": "2026-01-14"},
        {"prefix": "https://www.example.com/help/", "comment": "support"},
        {"host": "status.example.com", "comment": "status page"},
    ],
    categories={
        "default": {"ban_for_days": 90},
        "malware": {"until": "unbanned"},
        "spam": {"ban_days": 3, "min_reporters": 3},
    },
    sources={
        "desk": {},
        "blog": {"trust": "review"},
        "trial": {"dry_run": True},
        "slow": {"max_per_hour": 5},
        "free": {"max_per_hour": 0, "bare_hosts": "ban"},
    },
    bare_hosts="hold",
    forced_hosts=["tenant.example.com"],
    caps={
        "per_source_per_hour": 10,
        "per_host_per_hour": 20,
        "per_account_per_hour": 40,
        "share_of_live": 0.1,
        "share_floor": 30,
    },
)

TRIAL = {"live": True, "source": "trial"}
# The report, what is known, and the verdict. If several rules apply, the first one of this order wins.
TABLE: list[tuple[str, dict[str, Any], str, str]] = [
    ("no URL", {"url": "www.example.com"}, "rejected", "unusable_url"),
    ("another scheme", {"url": "ftp://www.example.com/"}, "rejected", "unusable_url"),
    ("nothing", {"url": ""}, "rejected", "unusable_url"),
    ("a host of nobody's", {"url": "https://www.example.net/a"}, "rejected", "not_managed"),
    ("a host that looks like ours", {"url": "https://example.com.evil.net/a"}, "rejected", "not_managed"),
    ("a host of another account", {"url": "https://www.test.org/a"}, "rejected", "not_managed"),
    ("an account that is not there", {"account": "old"}, "rejected", "not_managed"),
    ("a host of nobody's, live", {"url": "https://evil.net/a", "live": True}, "rejected", "not_managed"),
    ("a protected host", {"url": "https://pay.example.com/a"}, "suppressed", "protected"),
    ("a host of the older list", {"url": "https://status.example.com/a"}, "suppressed", "protected"),
    ("below a protected name", {"url": "https://a.b.bank.example.com/a"}, "suppressed", "protected"),
    ("a protected URL", {"url": "https://www.example.com/terms"}, "suppressed", "protected"),
    ("its scheme variant", {"url": "http://www.example.com/terms"}, "suppressed", "protected"),
    ("under every query", {"url": "https://www.example.com/terms?a"}, "suppressed", "protected"),
    ("below a protected prefix", {"url": "http://www.example.com/help/a?b"}, "suppressed", "protected"),
    ("beside a protected prefix", {"url": "https://www.example.com/help"}, "ban", "default"),
    ("on every port", {"url": "https://www.example.com:81/help/a"}, "suppressed", "protected"),
    ("a protection that expired", {"url": "https://www.example.com/old/a"}, "ban", "default"),
    ("protected, live, on trial", {"url": "https://pay.example.com/", **TRIAL}, "suppressed", "protected"),
    ("a source on trial", {"source": "trial"}, "suppressed", "dry_run"),
    ("on trial, cooling and live", {"cooling": True, **TRIAL}, "suppressed", "dry_run"),
    ("cooling", {"cooling": True}, "suppressed", "cool_down"),
    ("cooling and live", {"cooling": True, "live": True}, "suppressed", "cool_down"),
    ("cooling, a source to review", {"cooling": True, "source": "blog"}, "suppressed", "cool_down"),
    ("live", {"live": True}, "duplicate", "live"),
    ("live, too few reporters", {"live": True, "category": "spam"}, "duplicate", "live"),
    ("live, over the cap", {"live": True, "usage": used(99)}, "duplicate", "live"),
    ("live, the root of its host", {"live": True, "url": ROOT}, "duplicate", "live"),
    ("one reporter of three", {"category": "spam"}, "suppressed", "corroboration"),
    ("two reporters of three", {"category": "Spam", "reporters": 2}, "suppressed", "corroboration"),
    ("three reporters of three", {"category": "spam", "reporters": 3}, "ban", "default"),
    ("one reporter of three, to review", {"category": "spam", "source": "blog"}, "suppressed", "corroboration"),
    ("a source to review", {"source": "blog"}, "hold", "review"),
    ("a source to review, a root", {"source": "blog", "url": ROOT}, "hold", "review"),
    ("the root of a host", {"url": ROOT}, "hold", "bare_host"),
    ("the root with an empty query", {"url": ROOT + "?"}, "hold", "bare_host"),
    ("the root of another port", {"url": "http://www.example.com:81/"}, "hold", "bare_host"),
    ("the root, over the cap", {"url": ROOT, "usage": used(99)}, "hold", "bare_host"),
    ("the root of a forced host", {"url": "http://tenant.example.com/"}, "ban", "default"),
    ("the root, by a source that may", {"url": ROOT, "source": "free"}, "ban", "default"),
    ("the last below a source's cap", {"usage": used(9)}, "ban", "default"),
    ("the first above it", {"usage": used(10)}, "hold", "source_cap"),
    ("above a source's own cap", {"usage": used(5, "slow"), "source": "slow"}, "hold", "source_cap"),
    ("a source without a cap", {"usage": used(19, "free"), "source": "free"}, "ban", "default"),
    ("above the host's cap", {"usage": used(20, "free"), "source": "free"}, "hold", "host_cap"),
    ("above it for another host", {"usage": used(29, "x", "a")}, "ban", "default"),
    ("above the account's cap", {"usage": used(40, "x", "a", 10_000)}, "hold", "account_cap"),
    ("above the share and its floor", {"usage": used(30, "x", "a", 300)}, "hold", "share_cap"),
    ("above the floor, below the share", {"usage": used(30, "x", "a", 310)}, "ban", "default"),
    ("nothing against it", {}, "ban", "default"),
]


@pytest.mark.parametrize(
    ("arguments", "kind", "rule"), [row[1:] for row in TABLE], ids=[row[0].replace(" ", "-") for row in TABLE]
)
def test_each_situation_has_one_verdict_and_names_the_rule(arguments: dict[str, Any], kind: str, rule: str) -> None:
    told: dict[str, Any] = {"live": False, "cooling": False, "source": "desk", "account": "main", "now": NOW}
    told |= arguments
    url = told.pop("url", PAGE)
    decided = judged(url, ReportedUrl(url), EVERYTHING, **told)
    assert (decided.kind.value, decided.rule) == (kind, rule)
    assert decided.reason or decided.kind is VerdictKind.BAN
    assert bool(decided.ban_days) == (decided.kind in {VerdictKind.BAN, VerdictKind.HOLD})


def test_a_policy_that_says_nothing_more_bans_pages_for_a_week_and_holds_roots() -> None:
    assert judged(PAGE, REPORTED, PLAIN) == Verdict(VerdictKind.BAN, Rule.DEFAULT, ban_days=7)
    assert judged(ROOT, REPORTED, PLAIN).rule == "bare_host"


def test_a_rejected_root_is_rejected_before_anything_is_looked_up_and_alike_on_both_ways_in() -> None:
    policy = policy_of(
        bare_hosts="reject",
        forced_hosts=["tenant.example.com"],
        sources={"desk": {"bare_hosts": "hold"}, "trial": {"dry_run": True}},
    )
    for source, rule in [("", "rejected"), ("trial", "rejected"), ("desk", "hold")]:
        decided = judged(ROOT, REPORTED, policy, source=source)
        assert decided.kind.value == rule
        at_once = standing(ROOT, policy, source=source)
        assert at_once == (decided if rule == "rejected" else None)
    assert standing("https://tenant.example.com/", policy) is None


@pytest.mark.parametrize(
    ("fields", "account"),
    [
        ({"dry_run": True}, ""),
        ({"sources": {"desk": {"dry_run": True}}}, ""),
        ({"accounts": {"main": {"managed_domains": ["*.example.com"], "dry_run": True}}}, "main"),
    ],
)
def test_a_dry_run_says_what_it_would_do(fields: dict[str, Any], account: str) -> None:
    policy = policy_of(**fields)
    for url, would in [(PAGE, "ban (default)"), (ROOT, "hold (bare_host)")]:
        decided = judged(url, REPORTED, policy, source="desk", account=account)
        assert (decided.kind, decided.rule) == (VerdictKind.SUPPRESSED, "dry_run")
        assert decided.reason.endswith(would)


def test_a_dry_run_of_one_account_leaves_the_others_alone() -> None:
    policy = policy_of(
        accounts={
            "main": {"managed_domains": ["*.example.com"], "dry_run": True},
            "spare": {"managed_domains": ["*.example.com"]},
        }
    )
    assert accounts_for(host_of(PAGE), policy) == ["main", "spare"]
    assert judged(PAGE, REPORTED, policy, account="spare").kind is VerdictKind.BAN


def test_a_protection_ends_at_its_moment_and_without_a_moment_never() -> None:
    policy = policy_of(
        protected=[{"host": "www.example.com", "comment": "a sale", "expires": "2026-01-15T09:30:00+01:00"}]
    )
    assert standing(PAGE, policy, NOW - timedelta(microseconds=1))
    assert standing(PAGE, policy, NOW) is None
    assert standing(PAGE, policy)


def test_a_date_protects_to_its_end() -> None:
    policy = policy_of(protected=[{"host": "www.example.com", "comment": "a sale", "expires": "2026-01-15"}])
    assert standing(PAGE, policy, datetime(2026, 1, 15, 23, 59, 59, tzinfo=UTC))
    assert standing(PAGE, policy, datetime(2026, 1, 16, tzinfo=UTC)) is None


def test_the_longest_of_several_protections_counts() -> None:
    short, long = [
        {"host": "www.example.com", "comment": "a", "expires": each} for each in ("2026-01-01", "2026-03-01")
    ]
    for entries in ([short, long], [long, short]):
        policy = policy_of(protected=[*entries, {"host": "*.example.com", "comment": "all", "expires": "2026-02-01"}])
        assert standing(PAGE, policy, datetime(2026, 2, 15, tzinfo=UTC))
        assert standing("https://a.example.com/b", policy, datetime(2026, 1, 15, tzinfo=UTC))
        assert standing("https://a.example.com/b", policy, datetime(2026, 2, 15, tzinfo=UTC)) is None


def test_a_protection_is_found_with_its_comment() -> None:
    found = EVERYTHING.protected.find("https://www.example.com/help/a", "www.example.com", NOW)
    assert found
    assert (found.entry, found.comment) == ("https://www.example.com/help/", "support")


# --- how long ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "asked", "source_days", "ban_days", "lasts"),
    [
        ("spam", None, None, 3, 3),
        ("SPAM", None, None, 3, 3),
        ("malware", None, None, 30, None),
        ("unheard of", None, None, 30, 90),
        ("", None, None, 30, 90),
        ("malware", 5, 9, 5, 5),
        ("malware", None, 9, 9, 9),
        ("spam", 30, None, 30, 30),
    ],
)
def test_what_stands_closest_to_the_report_says_how_long(
    category: str, asked: int | None, source_days: int | None, ban_days: int, lasts: int | None
) -> None:
    reported = REPORTED._replace(category=category, ban_days=asked)
    plan = planned(asked, source_days, category_of(category, EVERYTHING).plan, None)
    assert plan == (ban_days, None if lasts is None else timedelta(days=lasts))
    decided = judged(PAGE, reported, EVERYTHING, reporters=3, source_days=source_days)
    assert decided.ban_days == ban_days


def test_a_report_without_a_category_has_that_of_its_source() -> None:
    decided = [
        judged(PAGE, REPORTED._replace(category=own), EVERYTHING, category="spam").rule for own in ("", "malware")
    ]
    assert decided == ["corroboration", "default"]


@given(st.none() | st.integers())
def test_a_vendor_is_asked_for_1_to_30_days_whatever_is_planned(days: int | None) -> None:
    plan = plan_for(days)
    assert 1 <= plan.ban_days <= 30
    assert plan.length is None or timedelta(days=plan.ban_days) <= plan.length <= timedelta(days=1095)


def test_a_reporter_counts_once_whatever_source_relays_it() -> None:
    jo, again = REPORTED._replace(reporter=" Jo  Doe "), REPORTED._replace(reporter="jo doe")
    assert reporter_of(jo, "a", relay=True) == reporter_of(again, "b", relay=True)
    assert reporter_of(REPORTED, "a", relay=True) != reporter_of(REPORTED, "b", relay=True)


def test_a_source_that_is_no_relay_counts_once_whomever_it_names() -> None:
    jo, max_ = REPORTED._replace(reporter="jo"), REPORTED._replace(reporter="max")
    assert reporter_of(jo, "a", relay=False) == reporter_of(max_, "a", relay=False)


# --- a CDN that ignores queries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "ignored", "rule"),
    [
        ("https://www.example.com/?x=1", False, "default"),
        ("https://www.example.com/?x=1", True, "bare_host"),
        ("https://www.example.com/pay?step=2", False, "default"),
        ("https://www.example.com/pay?step=2", True, "protected"),
        ("https://www.example.com/pay?step=1", False, "protected"),
        ("https://www.example.com/start?a=2", False, "default"),
        ("https://www.example.com/start?a=2", True, "protected"),
        ("https://www.example.com/other?step=1", True, "default"),
    ],
)
def test_what_a_cdn_bans_with_every_query_is_compared_without(url: str, ignored: bool, rule: str) -> None:
    policy = parse(
        {
            "version": 1,
            "accounts": {"main": {"managed_domains": ["*.example.com"], "ignores_queries": ignored}},
            "protected": [
                {"url": "https://www.example.com/pay?step=1", "comment": "clean"},
                {"prefix": "https://www.example.com/start?a=1", "comment": "clean"},
            ],
        }
    )
    decided = verdict(url, ReportedUrl(url), policy, Source("s"), Situation("main", now=NOW))
    assert decided.rule == rule
    assert bool(forbidden(url, "main", policy, NOW)) == (rule == "protected")


# --- every policy ----------------------------------------------------------------------------------------------------

labels = st.sampled_from(["a", "b", "www", "example", "com", "net", "org"])
hosts = st.lists(labels, min_size=2, max_size=4).map(".".join)
patterns = st.builds(lambda host, wild: f"*.{host}" if wild else host, hosts, st.booleans())
paths = st.text(st.sampled_from("ab/?.%="), max_size=6)
urls = st.builds(
    lambda scheme, host, path: f"{scheme}://{host}/{path}", st.sampled_from(["http", "https"]), hosts, paths
)
entries = st.one_of(
    st.builds(lambda each: {"host": each, "comment": "c"}, patterns),
    st.builds(lambda each: {"url": each, "comment": "c"}, urls),
    st.builds(lambda each: {"prefix": each, "comment": "c"}, urls),
)
expiries = st.sampled_from([None, "2026-01-14", "2026-01-15", "2026-01-16T00:00:00Z", "2025-12-31T23:59:59Z"])
flags = st.booleans()
roots = st.sampled_from([*BareHosts])
rules = st.fixed_dictionaries(
    {},
    optional={
        "trust": st.sampled_from(["auto", "review"]),
        "dry_run": flags,
        "max_per_hour": st.integers(0, 3),
        "bare_hosts": roots,
    },
)
documents = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "accounts": st.dictionaries(
            st.sampled_from(["main", "other"]),
            st.fixed_dictionaries({"managed_domains": st.lists(patterns, max_size=4)}, optional={"dry_run": flags}),
            min_size=1,
        ),
    },
    optional={
        "protected": st.lists(
            st.builds(lambda entry, at: entry | ({"expires": at} if at else {}), entries, expiries), max_size=5
        ),
        "categories": st.dictionaries(
            st.sampled_from(["default", "spam"]),
            st.sampled_from([{}, {"ban_days": 3}, {"until": "unbanned", "min_reporters": 2}, {"ban_for_days": 99}]),
        ),
        "sources": st.dictionaries(st.sampled_from(["desk", "blog"]), rules),
        "bare_hosts": roots,
        "forced_hosts": st.lists(patterns, max_size=2),
        "caps": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(["per_source_per_hour", "per_host_per_hour", "share_floor"], st.integers(0, 3))
        ),
        "dry_run": flags,
    },
)
known = st.fixed_dictionaries(
    {"live": st.booleans(), "cooling": st.booleans()},
    optional={
        "source": st.sampled_from(["", "desk", "blog", "none"]),
        "account": st.sampled_from(["", "main", "other", "none"]),
        "category": st.sampled_from(["", "spam", "x"]),
        "source_days": st.none() | st.integers(),
        "reporters": st.integers(0, 3),
        "usage": st.none() | st.builds(used, st.integers(0, 4)),
        "now": st.sampled_from([None, NOW]),
    },
)


def _matches(pattern: str, host: str) -> bool:
    return HostPatterns([pattern]).covers(host)


def _protects(entry: dict[str, str], url: str, now: datetime | None) -> bool:
    """Decide as the documentation says, word for word."""
    expires = entry.get("expires", "9999-01-01T00:00:00Z")
    end = (
        datetime.fromisoformat(expires)
        if "T" in expires
        else datetime.fromisoformat(expires + "T00:00:00Z") + timedelta(days=1)
    )
    if now and now >= end:
        return False
    rest = url.partition("://")[2]
    if "host" in entry:
        return _matches(entry["host"], host_of(url))
    if "url" in entry:
        return rest == canonical_url(entry["url"]).partition("://")[2]
    return rest.startswith(canonical_url(entry["prefix"]).partition("://")[2])


@given(documents, urls, known, st.none() | st.integers())
@settings(max_examples=200, deadline=None)
def test_no_policy_lets_an_unmanaged_or_protected_url_through(
    document: dict[str, Any], raw: str, told: dict[str, Any], asked: int | None
) -> None:
    policy, url = parse(document), canonical_url(raw)
    decided = judged(url, ReportedUrl(url, ban_days=asked), policy, **told)
    account, now = told.get("account", ""), told.get("now")
    serving = [
        name
        for name, each in document["accounts"].items()
        if any(_matches(pattern, host_of(url)) for pattern in each["managed_domains"])
    ]
    assert accounts_for(host_of(url), policy) == serving
    protected = any(_protects(each, url, now) for each in document.get("protected", []))
    if account not in serving if account else not serving:
        assert decided.rule == "not_managed"
    elif protected:
        assert decided.rule == "protected"
    else:
        assert decided.rule not in {"not_managed", "protected"}
    if decided.kind is VerdictKind.BAN:
        assert not told["live"]
        assert not told["cooling"]
        assert not document.get("dry_run")
        assert 1 <= decided.ban_days <= 30
        assert standing(url, policy, now, source=told.get("source", "")) is None
        rule = document.get("bare_hosts", "hold")
        own = document.get("sources", {}).get(told.get("source", ""), {}).get("bare_hosts", rule)
        forced = any(_matches(pattern, host_of(url)) for pattern in document.get("forced_hosts", []))
        assert own == "ban" or forced or not is_root(url)


@given(documents, st.text(max_size=40) | urls | st.builds("https://{}".format, st.text(string.printable)), known)
@settings(max_examples=100, deadline=None)
def test_a_verdict_is_given_on_everything(document: dict[str, Any], text: str, told: dict[str, Any]) -> None:
    policy = parse(document)
    decided = judged(text, ReportedUrl(text, reporter=text, category=text), policy, **told)
    assert isinstance(decided, Verdict)
    assert decided.rule
    try:
        canonical = canonical_url(text)
    except UnusableUrl:
        return
    assert judged(canonical, ReportedUrl(canonical), policy, **told).rule != "unusable_url"


# --- bans of this hour ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bans", [100, 1_500, 5_000])
def test_a_host_is_never_counted_too_low_and_on_average_too_high_by_its_share(bans: int) -> None:
    random = Random(str(bans))
    hosts = [f"h{int(random.paretovariate(0.4)) % 2000}.example.com" for _ in range(bans)]
    usage = Usage()
    for host in hosts:
        usage.add("s", host)
    true = Counter(hosts)
    assert (usage.total, usage.sources) == (bans, {"s": bans})
    assert all(usage.of_host(host) >= count for host, count in true.items())
    shared = [usage.of_host(f"never-seen-{number}.example.com") for number in range(1_000)]
    assert sum(shared) / len(shared) <= 1.3 * bans / HOST_COUNTERS
    assert {counter_of(host) for host in true} <= set(range(HOST_COUNTERS))


def test_a_source_run_wild_is_stopped_and_the_busiest_hour_of_real_feeds_is_not() -> None:
    policy = policy_of()

    def through(source: str, count: int, usage: Usage, hosts_of_source: int) -> Counter[str]:
        seen: Counter[str] = Counter()
        for number in range(count):
            url = f"https://h{number % hosts_of_source}.example.com/{number}"
            decided = judged(url, ReportedUrl(url), policy, source=source, account="main", usage=usage)
            seen[decided.rule] += 1
            if decided.kind is VerdictKind.BAN:
                usage.add(source, host_of(url))
        return seen

    usage = Usage(live=500)
    # A whole day of each feed comes in one hour: the worst day of OpenPhish, the mean day of three others.
    for source, count, per_host in [
        ("openphish", 1263, 1.47),
        ("phishing", 450, 1.35),
        ("urlhaus", 730, 1.97),
        ("tweets", 240, 2),
    ]:
        assert through(source, count, usage, round(count / per_host)) == {"default": count}
    assert through("wild", 10_000, Usage(live=100_000), 10_000) == {"default": 2_000, "source_cap": 8_000}
    assert through("one host", 1_000, Usage(), 1) == {"default": 200, "host_cap": 800}
