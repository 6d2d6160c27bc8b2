"""Count the independent reporters of a URL, if its category wants several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from chalicelib.domain.model import ReportedUrl
from chalicelib.domain.policy.forbidden import forbidden
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.rules import category_of
from chalicelib.domain.urls import host_of
from chalicelib.ledger import reporters, undone
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.reporters import Ignores, Reporter
from chalicelib.pipeline.intake.collect import BatchUrl, plan_of
from chalicelib.pipeline.intake.on_record import binds_everybody, repeats, said_at, taken_back
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows


def count_reporters(
    run: Run, policy: Policy, urls: Iterable[BatchUrl], claims_by_key: Mapping[str, Claim]
) -> dict[str, int]:
    """Count the reporters of the URLs that need several: one write for each report, until there are enough.

    No reporter is counted for a URL that cannot be banned now, or if a person has undone the reporter's word since.
    Where all sources repeat what is on record of them, no reporter is looked up.
    """
    if not policy.needs_corroboration():
        return {}
    now = run.clock()
    countable = [
        url
        for url in urls
        if _wants_several(url, policy)
        and not _only_repeats(url, claims_by_key.get(url.key), policy, now)
        and _may_be_banned(url, claims_by_key.get(url.key), policy, now)
    ]
    reporters_by_key = needing_reporters(policy, countable, claims_by_key)
    if not reporters_by_key:
        return {}
    ignores = those_undone(run.rows, {url.key: url.url for url in countable})
    return reporters.note(run.rows, reporters_by_key, now=now, ignores=ignores)


def those_undone(rows: Rows, urls_by_key: Mapping[str, str]) -> Ignores:
    """Return what tells which mentions of these URLs a person undid."""
    all_undone = undone.read(rows)
    return lambda key, mention: undone.holds_any(all_undone, mention, host_of(urls_by_key[key]))


def needing_reporters(
    policy: Policy, urls: Iterable[BatchUrl], claims_by_key: Mapping[str, Claim]
) -> dict[str, list[Reporter]]:
    """Return who reported the URLs whose category wants several independent reporters, by their keys."""
    return {
        url.key: list(_reporters(url, policy, claims_by_key.get(url.key)))
        for url in urls
        if _wants_several(url, policy)
    }


def _wants_several(url: BatchUrl, policy: Policy) -> bool:
    """Return whether a category that the URL is reported for wants several independent reporters."""
    return any(category_of(category, policy).min_reporters > 1 for _, category, _ in url.candidates())


def _may_be_banned(url: BatchUrl, claim: Claim | None, policy: Policy, now: datetime) -> bool:
    """Return whether a URL may be banned now. It may not if it is protected, cooling for all, or in a dry run."""
    cooling = claim is not None and binds_everybody(claim, now)
    dry = policy.dry_run or url.account in policy.dry_accounts
    return not (cooling or dry or forbidden(url.url, url.account, policy, now))


def _only_repeats(url: BatchUrl, claim: Claim | None, policy: Policy, now: datetime) -> bool:
    """Return whether the batch says nothing of a URL in force that is not on record of each source already."""
    if claim is None or claim.needs_new_ban(now):
        return False
    return all(
        repeats(claim, message.source.name, plan_of(message, reported, policy).end(now))
        for message, reported in url.candidates().values()
    )


def _reporters(url: BatchUrl, policy: Policy, claim: Claim | None) -> Iterator[Reporter]:
    """Yield who reported a URL in its batch. Neither a source on trial counts nor what was taken back."""
    for message, reported in url.mentions():
        rules = policy.sources.get(message.source.name)
        if not (rules and rules.dry_run) and not (claim and taken_back(claim, message, reported)):
            name = reporter_of(reported, message.source.name, relay=bool(rules and rules.relay))
            yield Reporter(name, message.source.name, said_at(message, reported), message.report_id)


def reporter_of(reported: ReportedUrl, source: str, *, relay: bool) -> str:
    """Name the reporter that counts: the source itself or, for a relay, the reporter whom its report names.

    A source that could write its own names into reports could make up as many reporters as are needed.
    """
    named = " ".join(reported.reporter.casefold().split()) if relay else ""
    return named or f"source {source}"
