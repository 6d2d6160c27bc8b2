"""Has every reported URL come to an end? Read from the ledger itself, by what was sent and not by what was counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import UrlState
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.rules import accounts_for, standing
from chalicelib.domain.urls import canonical_url, host_of, url_key
from chalicelib.ledger import claims
from chalicelib.pipeline.answers.url_status import TERMINAL
from chalicelib.pipeline.lifecycle.explaining import Explainer
from chalicelib.ports import Rows


@dataclass(slots=True)
class Checked:
    """What became of the URLs. ``states`` counts each URL at each account once."""

    states: Counter[str] = field(default_factory=Counter)
    unfinished: list[str] = field(default_factory=list)
    """URLs that were accepted and have no end yet; all that are lost are among them."""
    in_two_tasks: list[str] = field(default_factory=list)
    """URLs that more than one first task carried: a ban asked for twice."""
    seconds: list[float] = field(default_factory=list)
    """From the first report of a URL to its ban, sorted."""
    banned: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Return whether every URL came to one end."""
        return not self.unfinished and not self.in_two_tasks

    def percentile(self, percent: int) -> float:
        """Seconds within which ``percent`` of the banned URLs were banned."""
        return self.seconds[(len(self.seconds) - 1) * percent // 100] if self.seconds else 0.0


def check(
    urls: Iterable[str], *, rows: Rows, policy: Policy, now: datetime, sent_at: Mapping[str, datetime] | None = None
) -> Checked:
    """Look up every URL that was reported. ``sent_at`` says when each spelling of a URL was first sent."""
    checked = Checked()
    urls_by_key: dict[str, str] = {}
    first_sent: dict[str, datetime] = {}
    refused: set[str] = set()
    for raw in urls:
        try:
            url = canonical_url(raw)
        except UnusableUrl:
            refused.add(raw)
            continue
        accounts = accounts_for(host_of(url), policy)
        if not accounts or standing(url, policy):
            refused.add(url)
            continue
        for account in accounts:
            key = url_key(account, url)
            urls_by_key[key] = url
            if sent_at and raw in sent_at:
                first_sent[key] = min(sent_at[raw], first_sent.get(key, sent_at[raw]))
    checked.states[UrlState.REJECTED.value] += len(refused)
    claims_by_key = claims.read(rows, list(urls_by_key), consistent=True, whole=True)
    explained = Explainer(rows, now=now).explain(claims_by_key.values())
    for claim, status in zip(claims_by_key.values(), explained, strict=True):
        checked.states[status.state.value] += 1
        if status.state not in TERMINAL:
            checked.unfinished.append(status.url)
        if len({task.root for task in status.tasks}) > 1:
            checked.in_two_tasks.append(status.url)
        if status.state is UrlState.BANNED:
            checked.banned.append(status.url)
            finished_at = status.tasks[-1].finished_at
            if finished_at and claim.key in first_sent:
                checked.seconds.append((finished_at - first_sent[claim.key]).total_seconds())
    for key in urls_by_key.keys() - claims_by_key.keys():
        checked.states["unknown"] += 1
        checked.unfinished.append(urls_by_key[key])
    checked.seconds.sort()
    return checked
