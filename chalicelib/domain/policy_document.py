"""The policy document → ``Policy``. Every error names the field's path, its problem and the remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn

from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.policy import (
    BAN_DAYS,
    BARE_HOSTS,
    PLANNED_DAYS,
    Approvals,
    Caps,
    Category,
    Plan,
    Policy,
    SourceRules,
    plan_for,
)
from chalicelib.domain.protection import Protected, Protection
from chalicelib.domain.urls import HostPatterns, UnusableUrl, canonical_url, host_of

TWINS = {"apart", "together"}
TRUST = {"auto", "review"}
COUNT = range(1_000_000_001)
FIELDS = {
    "version", "accounts", "protected", "protected_hosts", "categories", "sources", "bare_hosts", "twins",
    "ban_days", "caps", "dry_run", "approvals", "cool_down_days", "renew_before_hours",
}  # fmt: skip
DURATIONS = ("ban_days", "ban_for_days", "until")
TARGETS = ("host", "url", "prefix")

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse(document: object) -> Policy:
    """Validate a policy document. Raises ConfigurationError."""
    if not isinstance(document, Mapping):
        _refuse("the document", f"is {_shown(document)}", 'write a JSON object with "version" and "accounts"')
    fields = _object("", document, FIELDS)
    if fields.get("version") != 1 or isinstance(fields["version"], bool):
        _refuse("version", f"is {_shown(fields.get('version'))}", "write 1, the only version there is")
    accounts = _named("accounts", fields.get("accounts"), {"managed_domains", "dry_run"})
    if not accounts:
        _refuse("accounts", "is empty", "name at least one vendor account and its managed_domains")
    rule, forced = _bare_hosts(fields)
    default, categories = _categories(fields)
    return Policy(
        accounts={name: _managed(f"accounts.{name}.managed_domains", each) for name, each in accounts.items()},
        dry_accounts=frozenset(name for name, each in accounts.items() if _flag(f"accounts.{name}.", each, "dry_run")),
        dry_run=_flag("", fields, "dry_run"),
        protected=_protected(fields.get("protected", []), fields.get("protected_hosts", [])),
        categories=categories,
        default=default,
        sources=_sources(fields.get("sources", {})),
        bare_hosts=rule,
        forced_hosts=forced,
        twins=_choice("", fields, "twins", "apart", TWINS),
        caps=_caps(fields.get("caps", {})),
        approvals=_approvals(fields.get("approvals", {})),
        cool_down_days=_whole("", fields, "cool_down_days", 7, range(366)),
        renew_before_hours=_whole("", fields, "renew_before_hours", 24, range(1, 7 * 24 + 1)),
    )


# --- parts ------------------------------------------------------------------------------------------------------


def _managed(path: str, fields: Mapping[str, Any]) -> HostPatterns:
    if "managed_domains" not in fields:
        _refuse(path, "is missing", "list the hosts that the account serves, or write [] to send it nothing new")
    patterns = _strings(path, fields["managed_domains"])
    for pattern in patterns:
        if pattern.startswith("*.") and "." not in pattern[2:].strip("."):
            _refuse(path, f"holds {_shown(pattern)}, a whole top-level domain", "name domains that are yours")
    return _patterns(path, patterns)


def _bare_hosts(document: Mapping[str, Any]) -> tuple[str, HostPatterns]:
    if not isinstance(document.get("bare_hosts"), Mapping):
        return _choice("", document, "bare_hosts", "hold", BARE_HOSTS), HostPatterns([])
    fields = _object("bare_hosts", document["bare_hosts"], {"rule", "forced"})
    forced = _strings("bare_hosts.forced", fields.get("forced", []))
    return _choice("bare_hosts.", fields, "rule", "hold", BARE_HOSTS), _patterns("bare_hosts.forced", forced)


def _categories(fields: Mapping[str, Any]) -> tuple[Category, dict[str, Category]]:
    """Read the category that holds by default, and those that are listed: what they leave out is the default's."""
    given = _object("categories", fields.get("categories", {}), None)
    named: dict[str, Any] = {}
    for name, each in given.items():
        if name.lower() in named:
            _refuse(f"categories.{name}", "is there twice", "upper and lower case do not count: keep one of them")
        named[name.lower()] = each
    default = Category(plan_for(_whole("", fields, "ban_days", 7, BAN_DAYS)))
    if "default" in named:
        entry = named.pop("default")
        if "ban_days" in fields and isinstance(entry, Mapping) and any(each in entry for each in DURATIONS):
            _refuse("ban_days", "is there beside a duration in categories.default", "keep one of the two")
        default = _category("categories.default", entry, default)
    return default, {name: _category(f"categories.{name}", each, default) for name, each in named.items()}


def _category(path: str, value: Any, default: Category) -> Category:
    fields = _object(path, value, {*DURATIONS, "min_reporters"})
    reporters = _whole(f"{path}.", fields, "min_reporters", default.min_reporters, range(1, 101))
    return Category(_plan(path, fields) or default.plan, reporters)


def _plan(path: str, fields: Mapping[str, Any]) -> Plan | None:
    given = [name for name in DURATIONS if name in fields]
    if len(given) > 1:
        _refuse(path, f"has {' and '.join(given)}", "keep one of them")
    if "until" in fields:
        _choice(f"{path}.", fields, "until", "", {"unbanned"})
        return plan_for(None)
    if "ban_days" in fields:
        longer = '; for longer write "ban_for_days" or "until": "unbanned"'
        return plan_for(_whole(f"{path}.", fields, "ban_days", 0, BAN_DAYS, more=longer))
    return plan_for(_whole(f"{path}.", fields, "ban_for_days", 0, PLANNED_DAYS)) if given else None


def _sources(value: Any) -> dict[str, SourceRules]:
    rules: dict[str, SourceRules] = {}
    for name, fields in _named("sources", value, {"trust", "dry_run", "max_per_hour", "bare_hosts"}).items():
        path = f"sources.{name}."
        rules[name] = SourceRules(
            review=_choice(path, fields, "trust", "auto", TRUST) == "review",
            dry_run=_flag(path, fields, "dry_run"),
            max_per_hour=_whole(path, fields, "max_per_hour", 0, COUNT) if "max_per_hour" in fields else None,
            bare_hosts=_choice(path, fields, "bare_hosts", "", BARE_HOSTS) if "bare_hosts" in fields else "",
        )
    return rules


def _caps(value: Any) -> Caps:
    fields = _object("caps", value, set(Caps._fields))
    share = fields.get("share_of_live", Caps().share_of_live)
    if type(share) not in (int, float) or not 0 <= share <= 1:
        _refuse("caps.share_of_live", f"is {_shown(share)}", "give a number from 0 (no cap) to 1 (all that is live)")
    counts = {name: _whole("caps.", fields, name, 0, COUNT) for name in fields if name != "share_of_live"}
    return Caps(**counts)._replace(share_of_live=float(share))


def _approvals(value: Any) -> Approvals:
    fields, default = _object("approvals", value, set(Approvals._fields)), Approvals()
    return Approvals(
        _whole("approvals.", fields, "two_above", default.two_above, COUNT),
        _whole("approvals.", fields, "alarm_after_hours", default.alarm_after_hours, range(1, 8761)),
    )


def _protected(entries: Any, hosts: Any) -> Protected:
    exact: dict[str, Protection] = {}
    below: dict[str, Protection] = {}
    urls: dict[str, Protection] = {}
    prefixes: dict[str, list[tuple[str, Protection]]] = {}
    if not isinstance(entries, list):
        _refuse("protected", f"is {_shown(entries)}", 'write a list of {"host" or "url" or "prefix": …, "comment": …}')
    older = [{"host": each, "comment": "protected_hosts"} for each in _strings("protected_hosts", hosts)]
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
            _refuse(f"{path}.{target}", f"is {_shown(value)}", error.reason)
        rest = url.partition("://")[2]
        if target == "url":
            _keep(urls, rest, protection)
        else:
            prefixes.setdefault(host_of(url), []).append((rest, protection))
    return Protected(exact, below, urls, {host: tuple(each) for host, each in prefixes.items()})


def _protection(path: str, value: Any) -> tuple[str, str, Protection]:
    fields = _object(path, value, {*TARGETS, "comment", "expires"})
    given = [name for name in TARGETS if name in fields]
    if len(given) != 1:
        _refuse(path, f"has {' and '.join(given) or 'nothing to protect'}", 'give one of "host", "url" and "prefix"')
    target = _text(f"{path}.{given[0]}", fields[given[0]])
    comment = _text(f"{path}.comment", fields.get("comment", "")).strip()
    if not comment:
        _refuse(f"{path}.comment", "is missing or empty", "say who asked for the protection, and why")
    expires = _moment(f"{path}.expires", fields["expires"]) if "expires" in fields else None
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


# --- values -------------------------------------------------------------------------------------------------------


def _refuse(path: str, problem: str, remedy: str) -> NoReturn:
    raise ConfigurationError(f"policy: {path} {problem}: {remedy}")


def _shown(value: object) -> str:
    """A short piece of a value, as it would stand in the document."""
    if value is None:
        return "missing or null"
    shown = json.dumps(value, ensure_ascii=False, default=repr)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _object(path: str, value: Any, known: Collection[str] | None) -> Mapping[str, Any]:
    """Take an object whose fields are all known; ``None``: its names are free."""
    if not isinstance(value, Mapping):
        _refuse(path, f"is {_shown(value)}", "write an object: {…}")
    for name in value:
        if known is None and not (isinstance(name, str) and name.strip() == name and 0 < len(name) <= 100):
            _refuse(path, f"holds the name {_shown(name)}", "use 1 to 100 characters, without a space at the ends")
        if known is not None and name not in known:
            where = f"{path}.{name}" if path else str(name)
            _refuse(where[:160], "is not a field of the policy", f"known are {', '.join(sorted(known))}")
    return value


def _named(path: str, value: Any, known: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Take an object of free names, each of an object of known fields."""
    return {name: _object(f"{path}.{name}", each, known) for name, each in _object(path, value, None).items()}


def _text(path: str, value: Any) -> str:
    if not isinstance(value, str):
        _refuse(path, f"is {_shown(value)}", "write a string")
    return value


def _strings(path: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        _refuse(path, f"is {_shown(value)}", "write a list of strings")
    return [_text(f"{path}[{index}]", each) for index, each in enumerate(value)]


def _patterns(path: str, patterns: Iterable[str]) -> HostPatterns:
    try:
        return HostPatterns(patterns)
    except ConfigurationError as error:
        raise ConfigurationError(f"policy: {path}: {error}") from error


def _choice(path: str, fields: Mapping[str, Any], name: str, default: str, known: Collection[str]) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str) or value not in known:
        _refuse(
            f"{path}{name}", f"is {_shown(value)}", f"write {' or '.join(json.dumps(each) for each in sorted(known))}"
        )
    return value


def _flag(path: str, fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        _refuse(f"{path}{name}", f"is {_shown(value)}", "write true or false")
    return value


def _whole(path: str, fields: Mapping[str, Any], name: str, default: int, allowed: range, *, more: str = "") -> int:
    value = fields.get(name, default)
    if type(value) is not int or value not in allowed:
        _refuse(
            f"{path}{name}", f"is {_shown(value)}", f"give a whole number from {allowed[0]} to {allowed[-1]:,}{more}"
        )
    return value


def _moment(path: str, value: Any) -> datetime:
    """Read a date, which protects to its end (UTC), or a time of RFC 3339."""
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC) + timedelta(days=1)
        if isinstance(value, str) and _TIME.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except (ValueError, OverflowError):
        pass
    _refuse(path, f"is {_shown(value)}", "write 2026-12-31, which counts to its end in UTC, or 2026-12-31T18:00:00Z")
