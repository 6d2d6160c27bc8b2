"""What a source's bodies mean to us: which of its URLs count, how it writes them, what it takes back; and silence."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from chalicelib.config.sources import Source
from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import ParsedReport, Withdrawal
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.rules import accounts_for
from chalicelib.domain.urls import HostPatterns, canonical_url, host_of
from chalicelib.pipeline.run import Run
from chalicelib.reports import ParserOptions


def tell_silence(run: Run, source: str, report_id: str, *, skipped: int, usual: bool) -> None:
    """Tell of a report that names nothing. It is trouble unless it is ``usual`` of its source."""
    run.emit("report_names_nothing", source=source, report_id=report_id, skipped=skipped, unusual=int(not usual))


def options_of(source: Source, policy: Policy, now: datetime) -> ParserOptions:
    """Return how to read the bodies of a source."""

    def is_ours(url: str) -> bool:
        try:
            return may_report(source, canonical_url(url), policy)
        except UnusableUrl:
            return False

    return ParserOptions(
        defanged=source.defanged,
        html_escaped=source.html_escaped,
        unwrap_links=source.unwrap_links,
        now=now,
        is_ours=is_ours,
    )


def may_report(source: Source, url: str, policy: Policy) -> bool:
    """Tell whether a canonical URL is on a host that the source may report."""
    return bool(accounts_at(policy, host_of(url), source.hosts))


def accounts_at(policy: Policy, host: str, hosts_of_source: HostPatterns | None) -> list[str]:
    """Return the accounts that serve a host, if the source may report the host."""
    return accounts_for(host, policy) if hosts_of_source is None or hosts_of_source.covers(host) else []


def withdrawals_of(parsed: ParsedReport, source: Source, policy: Policy) -> list[Withdrawal]:
    """Return the withdrawals of URLs that the source may report. A withdrawal of any other URL has no effect."""
    withdrawals = []
    for withdrawal in parsed.withdrawals:
        with suppress(UnusableUrl):
            url = canonical_url(withdrawal.url)
            if may_report(source, url, policy):
                withdrawals.append(replace(withdrawal, url=url))
    return withdrawals
