"""The policy document → ``Policy``. docs/policy.md describes every field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from chalicelib.config import canary, statements
from chalicelib.config.fields import Fields
from chalicelib.config.public_suffixes import company_suffix, registry_suffix
from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import BareHosts, SchemeVariants
from chalicelib.domain.policy.duration import BAN_DAYS, DEFAULT_DAYS, PLANNED_DAYS, Plan, plan_for
from chalicelib.domain.policy.model import Approvals, Caps, Category, EdgeOfAccount, Policy, SourceRules, Verification
from chalicelib.domain.policy.protection import Protected, Protection
from chalicelib.domain.policy.wide import WideForm, wide
from chalicelib.domain.urls import HostPatterns, canonical_url, host_of

TRUST = {"auto", "review"}
WITHDRAWALS = {"hold", "lift"}
COUNT = range(1_000_000_001)
STATUS = range(200, 600)
MAX_SAMPLE = 20
"""How many URLs of a task are looked at: a few show whether the ban is in force, and each costs a request."""

FIELDS = {
    "version",
    "accounts",
    "protected",
    "protected_ignore_case",
    "categories",
    "sources",
    "bare_hosts",
    "forced_hosts",
    "scheme_variants",
    "ban_days",
    "caps",
    "dry_run",
    "approvals",
    "cool_down_days",
    "refusal_days",
    "renew_before_hours",
    "retry_days",
    "verification",
    "statement",
    "canary",
}
REPLACED = {
    "protected_hosts": 'list the hosts in protected, as {"host": …, "comment": …}',
    "twins": 'write "scheme_variants"',
}
"""Former fields, and what to write instead."""

DURATIONS = ("ban_days", "ban_for_days", "until")
K = TypeVar("K")

TARGETS = ("host", "url", "prefix")


def object_key(document: object) -> str:
    """Return the key of the object that holds the policy, if the parameter only points to one; else an empty text."""
    if not isinstance(document, Mapping) or "object" not in document:
        return ""
    return Fields.of("policy", document).only({"object"}).text("object")


def parse(document: object) -> Policy:
    """Validate a policy document. Raises ConfigurationError."""
    fields = Fields.of("policy", document).only(FIELDS, replaced=REPLACED)
    version = fields.values.get("version")
    if type(version) is not int or version != 1:
        fields.refuse("version", f"is {fields.shown(version)}", "write 1, the only version there is")
    accounts = fields.nested("accounts").named(plain=True)
    if not accounts:
        fields.refuse("accounts", "is empty", "name at least one vendor account and its managed_domains")
    for account in accounts.values():
        account.only({"managed_domains", "own_suffixes", "dry_run", "ignores_queries", "edge_host", "edge_expect"})
    default, categories = _categories(fields)
    hosts = {name: _managed_domains(account) for name, account in accounts.items()}
    sources = {name: _source(source) for name, source in fields.nested("sources").named().items()}
    return Policy(
        accounts=hosts,
        dry_accounts=frozenset(name for name, account in accounts.items() if account.flag("dry_run")),
        ignoring_queries=frozenset(name for name, account in accounts.items() if account.flag("ignores_queries")),
        dry_run=fields.flag("dry_run"),
        protected=_protected(fields),
        categories=categories,
        default=default,
        sources=sources,
        bare_hosts=_bare_hosts(fields),
        forced_hosts=fields.hosts("forced_hosts", []),
        scheme_variants=SchemeVariants(fields.choice("scheme_variants", SchemeVariants, SchemeVariants.APART)),
        caps=_caps(fields.nested("caps")),
        approvals=_approvals(fields.nested("approvals")),
        cool_down_days=fields.whole("cool_down_days", range(366), 7),
        refusal_days=fields.whole("refusal_days", range(366), 30),
        renew_before_hours=fields.whole("renew_before_hours", range(1, 7 * 24 + 1), 24),
        retry_days=fields.whole("retry_days", range(31), 3),
        verification=_verification(fields.nested("verification")),
        edges={name: _edge(account) for name, account in accounts.items()},
        statement=statements.of_policy(fields),
        canary=canary.of_policy(fields, hosts, sources),
    )


# --- parts ------------------------------------------------------------------------------------------------------


def _managed_domains(account: Fields) -> HostPatterns:
    if "managed_domains" not in account:
        remedy = "list the hosts that the account serves, or write [] to send it nothing new"
        account.refuse("managed_domains", "is missing", remedy)
    for pattern in account.strings("managed_domains"):
        if pattern.startswith("*.") and "." not in pattern[2:].strip("."):
            problem = f"holds {account.shown(pattern)}, a whole top-level domain"
            account.refuse("managed_domains", problem, "name domains that are yours")
    patterns = account.hosts("managed_domains")
    own = account.hosts("own_suffixes", []).names
    for name in sorted(patterns.names):
        if registry_suffix(name):
            remedy = "name domains that are yours"
        elif company_suffix(name) and name not in own:
            remedy = "name domains that are yours; if this one is, list it in own_suffixes too"
        else:
            continue
        problem = f"holds {account.shown(name)}, below which strangers register names of their own"
        account.refuse("managed_domains", problem, remedy)
    return patterns


def _bare_hosts(fields: Fields) -> BareHosts:
    if isinstance(fields.values.get("bare_hosts"), Mapping):
        fields.refuse("bare_hosts", "is an object", 'write the rule, such as "hold", and the hosts in forced_hosts')
    return BareHosts(fields.choice("bare_hosts", BareHosts, BareHosts.HOLD))


def _categories(fields: Fields) -> tuple[Category, dict[str, Category]]:
    """Read the default category and the listed ones. A field that these leave out is the default's."""
    given = fields.nested("categories")
    categories: dict[str, Fields] = {}
    for name, category in given.named().items():
        if name.lower() in categories:
            given.refuse(name, "is there twice", "upper and lower case do not count: keep one of them")
        categories[name.lower()] = category.only({*DURATIONS, "min_reporters", "statement"})
    default = Category(plan_for(fields.whole("ban_days", BAN_DAYS, DEFAULT_DAYS)))
    if "default" in categories:
        category = categories.pop("default")
        if "ban_days" in fields and any(duration in category for duration in DURATIONS):
            fields.refuse("ban_days", "is there beside a duration in categories.default", "keep one of the two")
        default = _category(category, default)
    return default, {name: _category(category, default) for name, category in categories.items()}


def _category(fields: Fields, default: Category) -> Category:
    reporters = fields.whole("min_reporters", range(1, 101), default.min_reporters)
    return Category(_plan(fields) or default.plan, reporters, statements.of_category(fields, default.statement))


def _plan(fields: Fields) -> Plan | None:
    durations = [name for name in DURATIONS if name in fields]
    if len(durations) > 1:
        fields.refuse("", f"has {' and '.join(durations)}", "keep one of them")
    if "until" in fields:
        fields.choice("until", {"unbanned"})
        return plan_for(None)
    if "ban_days" in fields:
        longer = '; for longer write "ban_for_days" or "until": "unbanned"'
        return plan_for(fields.whole("ban_days", BAN_DAYS, more=longer))
    return plan_for(fields.whole("ban_for_days", PLANNED_DAYS)) if durations else None


def _source(fields: Fields) -> SourceRules:
    fields.only({"trust", "dry_run", "max_per_hour", "longest_days", "bare_hosts", "relay", "withdrawals", "statement"})
    return SourceRules(
        review=fields.choice("trust", TRUST, "auto") == "review",
        withdrawals_lift=fields.choice("withdrawals", WITHDRAWALS, "hold") == "lift",
        dry_run=fields.flag("dry_run"),
        max_per_hour=fields.whole("max_per_hour", COUNT) if "max_per_hour" in fields else None,
        longest_days=fields.whole("longest_days", PLANNED_DAYS) if "longest_days" in fields else None,
        bare_hosts=BareHosts(fields.choice("bare_hosts", BareHosts)) if "bare_hosts" in fields else None,
        relay=fields.flag("relay"),
        statement=statements.of_source(fields),
    )


def _caps(fields: Fields) -> Caps:
    fields.only(Caps._fields)
    share = fields.values.get("share_of_live", Caps().share_of_live)
    if type(share) not in (int, float) or not 0 <= share <= 1:
        remedy = "give a number from 0 (no cap) to 1 (all that is live)"
        fields.refuse("share_of_live", f"is {fields.shown(share)}", remedy)
    counts = {name: fields.whole(name, COUNT) for name in fields.values if name != "share_of_live"}
    return Caps(**counts)._replace(share_of_live=float(share))


def _approvals(fields: Fields) -> Approvals:
    default = Approvals()
    fields.only(Approvals._fields)
    return Approvals(
        fields.whole("two_above", COUNT, default.two_above),
        fields.whole("alarm_after_hours", range(1, 8761), default.alarm_after_hours),
        fields.whole("per_person_per_day", COUNT, default.per_person_per_day),
        fields.whole("longest_days", range(PLANNED_DAYS.stop), default.longest_days),
        fields.whole("alarm_after_minutes", range(365 * 24 * 60 + 1), default.alarm_after_minutes),
        fields.whole("lifts_two_above", COUNT, default.lifts_two_above),
    )


def _verification(fields: Fields) -> Verification:
    default = Verification()
    fields.only(Verification._fields)
    return Verification(
        fields.whole("sample", range(MAX_SAMPLE + 1), default.sample),
        _statuses(fields, "expect", default.expect),
        fields.whole("after_minutes", range(1, 1441), default.after_minutes),
    )


def _edge(account: Fields) -> EdgeOfAccount:
    host = account.host("edge_host") if "edge_host" in account else ""
    if host.startswith("*"):
        account.refuse("edge_host", "is a wildcard", "name the one host at which the account's edge is asked")
    return EdgeOfAccount(host, _statuses(account, "edge_expect", frozenset()))


def _statuses(fields: Fields, name: str, default: frozenset[int]) -> frozenset[int]:
    if name not in fields:
        return default
    statuses = fields.values[name]
    if (
        not isinstance(statuses, list)
        or not statuses
        or not all(type(status) is int and status in STATUS for status in statuses)
    ):
        fields.refuse(name, f"is {fields.shown(statuses)}", "list the statuses of a banned URL, such as [403]")
    return frozenset(statuses)


# --- what is protected --------------------------------------------------------------------------------------------


def _protected(fields: Fields) -> Protected:
    exact: dict[str, Protection] = {}
    below: dict[str, Protection] = {}
    urls: dict[tuple[str, str, str], Protection] = {}
    prefixes: dict[str, list[tuple[WideForm, Protection]]] = {}
    ignore_case = fields.flag("protected_ignore_case", default=True)
    for entry in fields.entries("protected"):
        target, protection = _protection(entry)
        if target == "host":
            host = _canonical_host(entry)
            _keep_longer(below if host.startswith("*.") else exact, host.removeprefix("*."), protection)
            continue
        try:
            url = canonical_url(protection.entry)
        except UnusableUrl as error:
            entry.refuse(target, f"is {entry.shown(protection.entry)}", error.reason)
        form = wide(url, ignore_case=ignore_case)
        if target == "url":
            _keep_longer(urls, (form.host, form.page, form.query), protection)
        else:
            prefixes.setdefault(form.host, []).append((form, protection))
    return Protected(
        exact,
        below,
        urls,
        {host: tuple(listed) for host, listed in prefixes.items()},
        frozenset(host for host, _, _ in urls),
        ignore_case,
    )


def _protection(entry: Fields) -> tuple[str, Protection]:
    """Return what kind of thing an entry protects, and the protection."""
    entry.only({*TARGETS, "comment", "expires"})
    targets = [name for name in TARGETS if name in entry]
    if len(targets) != 1:
        problem = f"has {' and '.join(targets) or 'nothing to protect'}"
        entry.refuse("", problem, 'give one of "host", "url" and "prefix"')
    comment = entry.text("comment", "").strip()
    if not comment:
        entry.refuse("comment", "is missing or empty", "say who asked for the protection, and why")
    expires = entry.moment("expires") if "expires" in entry else None
    return targets[0], Protection(entry.text(targets[0]), comment, expires)


def _keep_longer(protections: dict[K, Protection], key: K, protection: Protection) -> None:
    """Keep the entry that protects longer, if two protect the same."""
    other = protections.get(key)
    if other is None or (other.expires and (protection.expires is None or other.expires < protection.expires)):
        protections[key] = protection


def _canonical_host(entry: Fields) -> str:
    pattern = entry.host("host")
    if pattern.startswith("*."):
        return "*." + host_of(canonical_url(f"http://w.{pattern[2:]}/")).removeprefix("w.")
    return host_of(canonical_url(f"http://{pattern}/"))
