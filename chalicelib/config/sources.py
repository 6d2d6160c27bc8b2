"""Sources: the abuse systems that report, as configuration that needs no deployment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.policy.rules import BAN_DAYS
from chalicelib.domain.urls import HostPatterns
from chalicelib.reports import PARSERS
from chalicelib.reports.signature import Scheme, check_secrets


@dataclass(frozen=True, slots=True)
class Source:
    """One abuse system. ``auth`` is ``None`` for a source that reports through the queue alone.

    ``hosts`` narrows what the source may report, inside the managed domains; ``None``: all of them.
    ``reports_per_minute`` 0 means no limit. ``callback_url`` receives the outcome of each report.
    """

    name: str
    auth: Scheme | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    format: str = ""
    defanged: bool = False
    html_escaped: bool = False
    category: str = ""
    ban_days: int | None = None
    reports_per_minute: int = 0
    hosts: HostPatterns | None = None
    callback_url: str = ""
    callback_secret: str = field(default="", repr=False)


SCHEMES = tuple(scheme.value for scheme in Scheme)
FIELDS = {
    "auth",
    "secrets",
    "format",
    "defanged",
    "html_escaped",
    "category",
    "ban_days",
    "reports_per_minute",
    "hosts",
    "callback_url",
    "callback_secret",
}


def parse(document: object) -> dict[str, Source]:
    """Validate the document of all sources. Raises ConfigurationError that names source, field and remedy."""
    if not isinstance(document, Mapping):
        raise ConfigurationError("sources: must be a JSON object of source name to its settings")
    return {name: _source(name, each) for name, each in document.items()}


def _source(name: str, fields: Any) -> Source:
    where = f"sources.{name}"
    if not isinstance(fields, Mapping):
        raise ConfigurationError(f"{where} must be an object")
    for each in fields:
        if each not in FIELDS:
            raise ConfigurationError(f"{where}: unknown field {each!r}; known are {', '.join(sorted(FIELDS))}")
    auth, secrets = _credentials(where, fields)
    format_name = _typed(where, fields, "format", str, "")
    if format_name and format_name not in PARSERS:
        raise ConfigurationError(f"{where}.format is unknown; known are {', '.join(PARSERS)}")
    ban_days = fields.get("ban_days")
    if ban_days is not None and (not isinstance(ban_days, int) or ban_days not in BAN_DAYS):
        raise ConfigurationError(f"{where}.ban_days must be a whole number of days from 1 to 30")
    callback_url, callback_secret = _callback(where, fields)
    return Source(
        name=name,
        auth=auth,
        secrets=secrets,
        format=format_name,
        defanged=_typed(where, fields, "defanged", bool, default=False),
        html_escaped=_typed(where, fields, "html_escaped", bool, default=False),
        category=_typed(where, fields, "category", str, ""),
        ban_days=ban_days,
        reports_per_minute=_typed(where, fields, "reports_per_minute", int, 0),
        hosts=HostPatterns(_typed(where, fields, "hosts", list, [])) if "hosts" in fields else None,
        callback_url=callback_url,
        callback_secret=callback_secret,
    )


def _credentials(where: str, fields: Mapping[str, Any]) -> tuple[Scheme | None, tuple[str, ...]]:
    auth = _auth(where, fields.get("auth"))
    secrets = tuple(_typed(where, fields, "secrets", list, []))
    if auth is None:
        return None, secrets
    if len(secrets) > 2:
        raise ConfigurationError(f"{where}.secrets holds {len(secrets)}: two at the most, the new and the old one")
    try:
        check_secrets(auth, secrets)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}.secrets: {error}") from error
    return auth, secrets


def _callback(where: str, fields: Mapping[str, Any]) -> tuple[str, str]:
    url, secret = _typed(where, fields, "callback_url", str, ""), _typed(where, fields, "callback_secret", str, "")
    if not url:
        return "", secret
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and parts.hostname and parts.port in {None, 443} and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(f"{where}.callback_url must be https://, a host name, no port and no user name")
    try:
        check_secrets(Scheme.STANDARD_WEBHOOKS, [secret])
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}.callback_secret: {error}") from error
    return url, secret


def _auth(where: str, value: object) -> Scheme | None:
    if value == "none":
        return None
    if not isinstance(value, str) or value not in SCHEMES:
        raise ConfigurationError(f'{where}.auth must be one of {", ".join(SCHEMES)}, or "none" for a queue producer')
    return Scheme(value)


def _typed(where: str, fields: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = fields.get(name, default)
    if type(value) is not kind:
        raise ConfigurationError(f"{where}.{name} must be of type {kind.__name__}")
    if isinstance(value, list) and not all(isinstance(each, str) for each in value):
        raise ConfigurationError(f"{where}.{name} must be a list of strings")
    return value
