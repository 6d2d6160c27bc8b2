"""The policy document → ``Policy``. Every error names the field's path, its problem and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chalicelib.config.fields import an_object, choice, flag, moment, named_objects, refuse, shown, strings, text, whole
from chalicelib.domain.errors import ConfigurationError, UnusableUrl
from chalicelib.domain.policy.protection import Protected, Protection
from chalicelib.domain.policy.rules import (
    BAN_DAYS,
    BARE_HOSTS,
    PLANNED_DAYS,
    Approvals,
    Caps,
    Category,
    Plan,
    Policy,
    SourceRules,
    Verification,
    plan_for,
)
from chalicelib.domain.urls import HostPatterns, canonical_url, host_of

TWINS = {"apart", "together"}
TRUST = {"auto", "review"}
COUNT = range(1_000_000_001)
STATUS = range(200, 600)
MAX_SAMPLE = 20
"""URLs of a task that are looked at: a few show whether the ban is in force, and each is a request to the edge."""

FIELDS = {
    "version",
    "accounts",
    "protected",
    "protected_hosts",
    "categories",
    "sources",
    "bare_hosts",
    "twins",
    "ban_days",
    "caps",
    "dry_run",
    "approvals",
    "cool_down_days",
    "renew_before_hours",
    "verification",
}
DURATIONS = ("ban_days", "ban_for_days", "until")
TARGETS = ("host", "url", "prefix")


def parse(document: object) -> Policy:
    """Validate a policy document. Raises ConfigurationError."""
    if not isinstance(document, Mapping):
        refuse("the document", f"is {shown(document)}", 'write a JSON object with "version" and "accounts"')
    fields = an_object("", document, FIELDS)
    if fields.get("version") != 1 or isinstance(fields["version"], bool):
        refuse("version", f"is {shown(fields.get('version'))}", "write 1, the only version there is")
    accounts = named_objects("accounts", fields.get("accounts"), {"managed_domains", "dry_run"})
    if not accounts:
        refuse("accounts", "is empty", "name at least one vendor account and its managed_domains")
    rule, forced = _bare_hosts(fields)
    default, categories = _categories(fields)
    return Policy(
        accounts={name: _managed(f"accounts.{name}.managed_domains", each) for name, each in accounts.items()},
        dry_accounts=frozenset(name for name, each in accounts.items() if flag(f"accounts.{name}.", each, "dry_run")),
        dry_run=flag("", fields, "dry_run"),
        protected=_protected(fields.get("protected", []), fields.get("protected_hosts", [])),
        categories=categories,
        default=default,
        sources=_sources(fields.get("sources", {})),
        bare_hosts=rule,
        forced_hosts=forced,
        twins=choice("", fields, "twins", "apart", TWINS),
        caps=_caps(fields.get("caps", {})),
        approvals=_approvals(fields.get("approvals", {})),
        cool_down_days=whole("", fields, "cool_down_days", 7, range(366)),
        renew_before_hours=whole("", fields, "renew_before_hours", 24, range(1, 7 * 24 + 1)),
        verification=_verification(fields.get("verification", {})),
    )


# --- parts ------------------------------------------------------------------------------------------------------


def _managed(path: str, fields: Mapping[str, Any]) -> HostPatterns:
    if "managed_domains" not in fields:
        refuse(path, "is missing", "list the hosts that the account serves, or write [] to send it nothing new")
    patterns = strings(path, fields["managed_domains"])
    for pattern in patterns:
        if pattern.startswith("*.") and "." not in pattern[2:].strip("."):
            refuse(path, f"holds {shown(pattern)}, a whole top-level domain", "name domains that are yours")
    return _patterns(path, patterns)


def _bare_hosts(document: Mapping[str, Any]) -> tuple[str, HostPatterns]:
    if not isinstance(document.get("bare_hosts"), Mapping):
        return choice("", document, "bare_hosts", "hold", BARE_HOSTS), HostPatterns([])
    fields = an_object("bare_hosts", document["bare_hosts"], {"rule", "forced"})
    forced = strings("bare_hosts.forced", fields.get("forced", []))
    return choice("bare_hosts.", fields, "rule", "hold", BARE_HOSTS), _patterns("bare_hosts.forced", forced)


def _categories(fields: Mapping[str, Any]) -> tuple[Category, dict[str, Category]]:
    """Read the category that holds by default, and those that are listed: what they leave out is the default's."""
    given = an_object("categories", fields.get("categories", {}), None)
    named: dict[str, Any] = {}
    for name, each in given.items():
        if name.lower() in named:
            refuse(f"categories.{name}", "is there twice", "upper and lower case do not count: keep one of them")
        named[name.lower()] = each
    default = Category(plan_for(whole("", fields, "ban_days", 7, BAN_DAYS)))
    if "default" in named:
        entry = named.pop("default")
        if "ban_days" in fields and isinstance(entry, Mapping) and any(each in entry for each in DURATIONS):
            refuse("ban_days", "is there beside a duration in categories.default", "keep one of the two")
        default = _category("categories.default", entry, default)
    return default, {name: _category(f"categories.{name}", each, default) for name, each in named.items()}


def _category(path: str, value: Any, default: Category) -> Category:
    fields = an_object(path, value, {*DURATIONS, "min_reporters"})
    reporters = whole(f"{path}.", fields, "min_reporters", default.min_reporters, range(1, 101))
    return Category(_plan(path, fields) or default.plan, reporters)


def _plan(path: str, fields: Mapping[str, Any]) -> Plan | None:
    given = [name for name in DURATIONS if name in fields]
    if len(given) > 1:
        refuse(path, f"has {' and '.join(given)}", "keep one of them")
    if "until" in fields:
        choice(f"{path}.", fields, "until", "", {"unbanned"})
        return plan_for(None)
    if "ban_days" in fields:
        longer = '; for longer write "ban_for_days" or "until": "unbanned"'
        return plan_for(whole(f"{path}.", fields, "ban_days", 0, BAN_DAYS, more=longer))
    return plan_for(whole(f"{path}.", fields, "ban_for_days", 0, PLANNED_DAYS)) if given else None


def _sources(value: Any) -> dict[str, SourceRules]:
    rules: dict[str, SourceRules] = {}
    for name, fields in named_objects("sources", value, {"trust", "dry_run", "max_per_hour", "bare_hosts"}).items():
        path = f"sources.{name}."
        rules[name] = SourceRules(
            review=choice(path, fields, "trust", "auto", TRUST) == "review",
            dry_run=flag(path, fields, "dry_run"),
            max_per_hour=whole(path, fields, "max_per_hour", 0, COUNT) if "max_per_hour" in fields else None,
            bare_hosts=choice(path, fields, "bare_hosts", "", BARE_HOSTS) if "bare_hosts" in fields else "",
        )
    return rules


def _caps(value: Any) -> Caps:
    fields = an_object("caps", value, set(Caps._fields))
    share = fields.get("share_of_live", Caps().share_of_live)
    if type(share) not in (int, float) or not 0 <= share <= 1:
        refuse("caps.share_of_live", f"is {shown(share)}", "give a number from 0 (no cap) to 1 (all that is live)")
    counts = {name: whole("caps.", fields, name, 0, COUNT) for name in fields if name != "share_of_live"}
    return Caps(**counts)._replace(share_of_live=float(share))


def _approvals(value: Any) -> Approvals:
    fields, default = an_object("approvals", value, set(Approvals._fields)), Approvals()
    return Approvals(
        whole("approvals.", fields, "two_above", default.two_above, COUNT),
        whole("approvals.", fields, "alarm_after_hours", default.alarm_after_hours, range(1, 8761)),
    )


def _verification(value: Any) -> Verification:
    fields, default = an_object("verification", value, set(Verification._fields)), Verification()
    expect = fields.get("expect", sorted(default.expect))
    if not isinstance(expect, list) or not expect or not all(type(each) is int and each in STATUS for each in expect):
        refuse("verification.expect", f"is {shown(expect)}", "list the statuses of a banned URL, such as [403]")
    return Verification(
        whole("verification.", fields, "sample", default.sample, range(MAX_SAMPLE + 1)),
        frozenset(expect),
        whole("verification.", fields, "after_minutes", default.after_minutes, range(1, 1441)),
    )


def _protected(entries: Any, hosts: Any) -> Protected:
    exact: dict[str, Protection] = {}
    below: dict[str, Protection] = {}
    urls: dict[str, Protection] = {}
    prefixes: dict[str, list[tuple[str, Protection]]] = {}
    if not isinstance(entries, list):
        refuse("protected", f"is {shown(entries)}", 'write a list of {"host" or "url" or "prefix": …, "comment": …}')
    older = [{"host": each, "comment": "protected_hosts"} for each in strings("protected_hosts", hosts)]
    given = [(f"protected[{index}]", each) for index, each in enumerate(entries)]
    for path, each in given + [(f"protected_hosts[{index}]", each) for index, each in enumerate(older)]:
        target, value, protection = _protection(path, each)
        if target == "host":
            host = _canonical_host(path, value)
            _keep(below if host.startswith("*.") else exact, host.removeprefix("*."), protection)
            continue
        try:
            url = canonical_url(value)
        except UnusableUrl as error:
            refuse(f"{path}.{target}", f"is {shown(value)}", error.reason)
        rest = url.partition("://")[2]
        if target == "url":
            _keep(urls, rest, protection)
        else:
            prefixes.setdefault(host_of(url), []).append((rest, protection))
    return Protected(exact, below, urls, {host: tuple(each) for host, each in prefixes.items()})


def _protection(path: str, value: Any) -> tuple[str, str, Protection]:
    fields = an_object(path, value, {*TARGETS, "comment", "expires"})
    given = [name for name in TARGETS if name in fields]
    if len(given) != 1:
        refuse(path, f"has {' and '.join(given) or 'nothing to protect'}", 'give one of "host", "url" and "prefix"')
    target = text(f"{path}.{given[0]}", fields[given[0]])
    comment = text(f"{path}.comment", fields.get("comment", "")).strip()
    if not comment:
        refuse(f"{path}.comment", "is missing or empty", "say who asked for the protection, and why")
    expires = moment(f"{path}.expires", fields["expires"]) if "expires" in fields else None
    return given[0], target, Protection(target, comment, expires)


def _keep(known: dict[str, Protection], key: str, protection: Protection) -> None:
    """Of two entries for the same, the one that protects longer counts."""
    other = known.get(key)
    if other is None or (other.expires and (protection.expires is None or other.expires < protection.expires)):
        known[key] = protection


def _canonical_host(path: str, pattern: str) -> str:
    _patterns(path, [pattern])
    if pattern.startswith("*."):
        return "*." + host_of(canonical_url(f"http://w.{pattern[2:]}/")).removeprefix("w.")
    return host_of(canonical_url(f"http://{pattern}/"))


def _patterns(path: str, patterns: Iterable[str]) -> HostPatterns:
    try:
        return HostPatterns(patterns)
    except ConfigurationError as error:
        raise ConfigurationError(f"policy: {path}: {error}") from error
