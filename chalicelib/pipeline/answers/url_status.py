"""What is true of a URL, and of the URLs of a report, and why (I7). Reads only. ``as_json`` writes the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from chalicelib.domain.model import Rule, UrlState
from chalicelib.domain.policy.model import NO_RULES, Policy
from chalicelib.domain.policy.rules import accounts_for
from chalicelib.domain.urls import host_of, url_key
from chalicelib.ledger import claim_words, claims
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import spoken_by
from chalicelib.ledger.reports import Refusal, Report
from chalicelib.pipeline.lifecycle.explaining import Explainer, UrlStatus
from chalicelib.pipeline.run import Run

TERMINAL = frozenset(UrlState) - {UrlState.PENDING, UrlState.PROCESSING}
"""States in which edgeban has done its part (I1). ``held`` is one: the next step is a person's."""

PAGE_BYTES = 2 * 1024 * 1024
"""Most bytes of URLs in one answer: Lambda answers 6 MB at most, and JSON writes some characters with six bytes."""

WITH_END = frozenset({UrlState.BANNED, UrlState.REJECTED, UrlState.UNBANNED, UrlState.SUPPRESSED})
"""A source is told the end of these states, if they have one."""


DECIDED = frozenset({Rule.REFUSED, Rule.COOL_DOWN})
"""Rules by which a person's decision suppresses reports until the decision ends."""


class ReviewedState(StrEnum):
    """All that a source under review is told of a URL. It must not learn about rules, other sources or people."""

    RECEIVED = "received"
    BANNED = "banned"
    NOT_BANNED = "not_banned"


@dataclass(frozen=True, slots=True)
class ReportedState:
    """What the source of a report may know of one of its URLs at one account."""

    url: str
    account: str
    """Empty while no account is known: the URL is in the queue, or was refused at once."""
    state: UrlState | ReviewedState
    reason: str = ""
    rule: str = ""
    until: datetime | None = None
    """When the ban ends, or the person's decision against it; ``None``: never, or the state has no end."""
    reported_before: bool = False
    """Whether the URL is banned for an earlier report."""
    sent_again: bool = False
    """Whether edgeban sends the URL again by itself, so that its state is not final."""


def of_url(run: Run, url: str) -> list[UrlStatus]:
    """Explain a canonical URL at each account, even one that no longer serves its host; empty if it has no claim."""
    keys = [url_key(account, url) for account in run.policy.accounts]
    claims_by_key = claims.read(run.rows, keys, consistent=True, whole=True)
    return Explainer(run.rows, now=run.clock()).explain(claims_by_key[key] for key in keys if key in claims_by_key)


def of_report(run: Run, report: Report, urls: Sequence[str] | None = None) -> list[ReportedState]:
    """Return the state of each URL of a report, or of some of them: why it was refused, or what its claim says.

    A URL that is not claimed yet is ``pending``: its message is still in the queue.
    """
    return of_reports(run, [(report, urls_of(report) if urls is None else urls)])[0]


def of_reports(run: Run, reports: Sequence[tuple[Report, Sequence[str]]]) -> list[list[ReportedState]]:
    """Return the states of some URLs of each report. Each claim, chunk and task is read once for all of them."""
    places = [_places(run.policy, report, urls) for report, urls in reports]
    keys = dict.fromkeys(place.key for of_one in places for place in of_one)
    claims_by_key = claims.read(run.rows, list(keys), consistent=True, whole=True)
    statuses = Explainer(run.rows, now=run.clock()).explain(claims_by_key.values())
    found = {key: (claim, status) for (key, claim), status in zip(claims_by_key.items(), statuses, strict=True)}
    return [_states(report, urls, of_one, found) for (report, urls), of_one in zip(reports, places, strict=True)]


@dataclass(frozen=True, slots=True)
class _Place:
    """A URL of a report at an account. ``wanted`` says whether the account was to ban it, and still serves its host."""

    url: str
    account: str
    key: str
    wanted: bool


def _places(policy: Policy, report: Report, urls: Sequence[str]) -> list[_Place]:
    serving = {url: accounts_for(host_of(url), policy) for url in set(report.urls).intersection(urls)}
    return [
        _Place(url, account, url_key(account, url), account in accounts and account in report.accounts)
        for url, accounts in serving.items()
        for account in dict.fromkeys((*report.accounts, *policy.accounts))  # also those that its host has left since
    ]


def _states(
    report: Report, urls: Sequence[str], places: Sequence[_Place], found: Mapping[str, tuple[Claim, UrlStatus]]
) -> list[ReportedState]:
    refusals: dict[tuple[str, str], Refusal] = {}
    for refusal in report.refusals:
        refusals.setdefault((refusal.url, refusal.account), refusal)
    states: dict[str, list[ReportedState]] = {url: [] for url in urls}
    for place in places:
        refused = refusals.get((place.url, place.account)) or refusals.get((place.url, ""))
        claim, status = found.get(place.key, (None, None))
        if claim and status and (refused is None or _stands(claim, refused, report)):
            states[place.url].append(_of_claim(status, report))
            refusals.pop((place.url, place.account), None)
        elif claim and refused and refused.rule in DECIDED:
            bound_until = max(claim.cool_until, spoken_by(claim.words, report.source).up_to)
            until = datetime.fromtimestamp(bound_until, tz=UTC) if bound_until else None
            states[place.url].append(_of_refusal(refused, until=until))
            refusals.pop((place.url, place.account), None)
        elif refused is None and place.wanted:
            states[place.url].append(ReportedState(place.url, place.account, UrlState.PENDING))
    for (url, _), refusal in refusals.items():
        if url in states:
            states[url].append(_of_refusal(refusal))
    for url in set(report.urls).intersection(states):
        if not states[url]:
            states[url].append(ReportedState(url, "", UrlState.PENDING))
    return [state for url in urls for state in states[url]]


def _stands(claim: Claim, refusal: Refusal, report: Report) -> bool:
    """Return whether the state of a report's URL is that of its claim, and not the refusal on record.

    The report may have come again. A refusal because of too few reporters does not last: once enough have reported the
    URL, or once a person has lifted it, its claim says its state.
    """
    is_marker = claim.chunk == claim_words.NO_CHUNK and not claim.unban  # of another source: not for this one to know
    return claim.report == report.id or (refusal.rule == Rule.CORROBORATION and not is_marker)


def urls_of(report: Report) -> list[str]:
    """Return the URLs of a report, each once and always in the same order: the accepted, then those refused at once."""
    return list(dict.fromkeys((*report.urls, *(refusal.url for refusal in report.refusals))))


def page(urls: Sequence[str], start: int, limit: int) -> list[str]:
    """Take at most ``limit`` URLs from a place on, and no more than one answer has room for."""
    taken: list[str] = []
    size = 0
    for url in urls[start : start + limit]:
        size += len(url)
        if taken and size > PAGE_BYTES:
            break
        taken.append(url)
    return taken


def _of_refusal(refusal: Refusal, *, until: datetime | None = None) -> ReportedState:
    state = UrlState(refusal.verdict)
    return ReportedState(refusal.url, refusal.account, state, reason=refusal.reason, rule=refusal.rule, until=until)


def _of_claim(status: UrlStatus, report: Report) -> ReportedState:
    return ReportedState(
        status.url,
        status.account,
        status.state,
        reason=status.public_reason,
        rule=Rule.REFUSED if status.refused else status.rule,
        until=status.until if status.state in WITH_END else None,
        reported_before=status.report != report.id,
        sent_again=status.sent_again,
    )


def told_to(policy: Policy, source: str, states: Iterable[ReportedState]) -> list[ReportedState]:
    """Return what a source may know of the states of its report, by how far it is trusted.

    Only a source that is trusted to ban learns whether others reported a URL before.
    """
    rules = policy.sources.get(source, NO_RULES)
    if rules.review:
        return [ReportedState(status.url, status.account, _reviewed(status)) for status in states]
    return [replace(status, reported_before=False) for status in states] if rules.dry_run else list(states)


def _reviewed(status: ReportedState) -> ReviewedState:
    if status.state is UrlState.BANNED:
        return ReviewedState.BANNED
    undecided = status.state in {UrlState.PENDING, UrlState.PROCESSING, UrlState.HELD} or status.sent_again
    return ReviewedState.RECEIVED if undecided or status.rule == Rule.CORROBORATION else ReviewedState.NOT_BANNED


def counts(states: Iterable[ReportedState]) -> dict[str, int]:
    """Count the URLs in each state."""
    return dict(sorted(Counter(status.state.value for status in states).items()))


def terminal(states: Iterable[ReportedState]) -> bool:
    """Return whether every URL has come to an end."""
    return all(status.state in TERMINAL for status in states)
