"""Sources: the abuse systems that report. docs/adding-a-source.md describes every field."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from chalicelib.config.fields import Fields
from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.policy.duration import BAN_DAYS
from chalicelib.domain.urls import HostPatterns
from chalicelib.reports import PARSERS
from chalicelib.reports.reading import MAX_CATEGORY_LENGTH
from chalicelib.reports.signature import Scheme, check_secrets

REPLAY_DAYS = 40
"""For at least so many days a report is kept, and recognised if it comes again."""


@dataclass(frozen=True, slots=True)
class Source:
    """One abuse system. ``auth`` is ``None`` for a source that reports through the queue alone.

    ``hosts`` narrows what the source may report inside the managed domains; ``None`` allows all of them.
    ``reports_per_minute`` 0 means no limit. ``callback_url`` receives the outcome of each report.
    """

    name: str
    auth: Scheme | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    format: str = ""
    defanged: bool = False
    html_escaped: bool = False
    unwrap_links: bool = False
    may_name_nothing: bool = False
    """Whether reports without a URL to ban are usual: such a source reports port scans as well."""
    category: str = ""
    ban_days: int | None = None
    reports_per_minute: int = 0
    replay_days: int = REPLAY_DAYS
    """For so many days a ``hub-sha256`` body without a delivery id is the same report if it comes again."""
    hosts: HostPatterns | None = None
    callback_url: str = ""
    callback_secret: str = field(default="", repr=False)


NO_AUTH = "none"
"""The word for a source that signs nothing: it reports through the queue or the intake bucket, which AWS guards."""

MAX_SECRETS = 2
"""The most secrets of one source: the new and the old one while they are exchanged."""

MAX_REPORTS_PER_MINUTE = 1_000_000

REPORTS_PER_MINUTE = 6_000
"""What a source may send if its entry does not say: half of what API Gateway lets through for all sources."""

FIELDS = {
    "auth",
    "secrets",
    "format",
    "defanged",
    "html_escaped",
    "unwrap_links",
    "may_name_nothing",
    "category",
    "ban_days",
    "reports_per_minute",
    "replay_days",
    "hosts",
    "callback_url",
    "callback_secret",
}


def parse(document: object) -> dict[str, Source]:
    """Validate the document of all sources. Raises ConfigurationError, which never repeats a secret."""
    sources = Fields.of("sources", document, holds_secrets=True).named()
    return {name: _source(name, fields) for name, fields in sources.items()}


def _source(name: str, fields: Fields) -> Source:
    fields.only(FIELDS)
    auth = fields.choice("auth", [*Scheme, NO_AUTH])
    scheme = None if auth == NO_AUTH else Scheme(auth)
    callback_url, callback_secret = _callback(fields)
    return Source(
        name=name,
        auth=scheme,
        secrets=_secrets(fields, scheme),
        format=fields.choice("format", PARSERS) if "format" in fields else "",
        defanged=fields.flag("defanged"),
        html_escaped=fields.flag("html_escaped"),
        unwrap_links=fields.flag("unwrap_links"),
        may_name_nothing=fields.flag("may_name_nothing"),
        category=fields.text("category", "", longest=MAX_CATEGORY_LENGTH),
        ban_days=fields.whole("ban_days", BAN_DAYS) if "ban_days" in fields else None,
        reports_per_minute=fields.whole("reports_per_minute", range(MAX_REPORTS_PER_MINUTE + 1), REPORTS_PER_MINUTE),
        replay_days=fields.whole("replay_days", range(REPLAY_DAYS, 401), REPLAY_DAYS),
        hosts=fields.hosts("hosts") if "hosts" in fields else None,
        callback_url=callback_url,
        callback_secret=callback_secret,
    )


def _secrets(fields: Fields, scheme: Scheme | None) -> tuple[str, ...]:
    secrets = fields.strings("secrets", [])
    if scheme is None:
        if secrets:
            fields.refuse("secrets", f'is of no use beside "auth": "{NO_AUTH}"', "leave it out, or name how it signs")
        return ()
    if not 1 <= len(secrets) <= MAX_SECRETS:
        fields.refuse("secrets", f"holds {len(secrets)}", "give one, or two while the source changes over")
    if len(set(secrets)) < len(secrets):
        fields.refuse("secrets", "holds the same secret twice", "keep it once")
    for index, secret in enumerate(secrets):
        _check_secret(fields, f"secrets[{index}]", scheme, secret)
    return tuple(secrets)


def _callback(fields: Fields) -> tuple[str, str]:
    url, secret = fields.text("callback_url", ""), fields.text("callback_secret", "")
    if not url:
        if secret:
            fields.refuse("callback_secret", "is of no use without callback_url", "write both or neither")
        return "", ""
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and parts.hostname and parts.port in {None, 443} and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable:
        remedy = "write https://, a host name and a path, without port and user name"
        fields.refuse("callback_url", "is a URL that is not called", remedy)
    _check_secret(fields, "callback_secret", Scheme.STANDARD_WEBHOOKS, secret)
    return url, secret


def _check_secret(fields: Fields, name: str, scheme: Scheme, secret: str) -> None:
    try:
        check_secrets(scheme, [secret])
    except ConfigurationError as error:
        fields.refuse_because(name, error)
