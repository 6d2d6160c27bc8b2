"""What is true of a URL, a report or a task, and why (I7). Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chalicelib.domain.model import ChunkState, Rule, TaskState, UrlState
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.rules import Policy, accounts_for
from chalicelib.domain.urls import url_key
from chalicelib.ledger import carriers, chunks, claims, remaining, tasks
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.reports import Refusal, Report
from chalicelib.ledger.row import epoch
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.ports import Rows

TERMINAL = frozenset(UrlState) - {UrlState.PENDING, UrlState.PROCESSING}
"""``held`` waits for a person, and is an end as far as the machine goes (I1)."""

PAGE_BYTES = 2 * 1024 * 1024
"""Bytes of URLs in one answer: Lambda gives back 6 MB at the most, and some characters take six in JSON."""

OF_TASK = {
    TaskState.SUBMITTING: UrlState.PENDING,
    TaskState.PROCESSING: UrlState.PROCESSING,
    TaskState.FAILED: UrlState.FAILED,
}


@dataclass(frozen=True, slots=True)
class UrlStatus:
    """One URL at one account. ``tasks`` are those that carried it, oldest first."""

    url: str
    account: str
    state: UrlState
    reason: str = ""
    rule: str = ""
    report: str = ""
    source: str = ""
    reporter: str = ""
    category: str = ""
    chunk: str = ""
    until: int = 0
    tasks: tuple[Task, ...] = field(default=())
    key: str = ""
    unban: str = ""


class Explainer:
    """Answers about many URLs with each chunk and task read once."""

    def __init__(self, rows: Rows, *, now: datetime) -> None:
        self._rows = rows
        self._now = now
        self._chunks: dict[str, chunks.Chunk] = {}
        self._positions: dict[str, dict[str, int]] = {}
        self._work: dict[str, Work | None] = {}
        self._links: dict[str, list[tuple[str, int, int]]] = {}
        self._tasks: dict[str, Task] = {}

    def claims(self, found: Iterable[Claim]) -> list[UrlStatus]:
        """Explain claims."""
        wanted = list(found)
        self._read({name for each in wanted for name in (each.chunk, each.unban) if name})
        return [self._explain(each) for each in wanted]

    def _read(self, ids: set[str]) -> None:
        new = ids - self._chunks.keys()
        self._chunks.update(chunks.read(self._rows, sorted(new)))
        for chunk_id in new & self._chunks.keys():
            chunk = self._chunks[chunk_id]
            self._positions[chunk_id] = {key: position for position, key in enumerate(chunk.keys)}
            self._work[chunk_id] = remaining.of_chunk(self._rows, chunk.account, chunk_id)
            self._links[chunk_id] = carriers.links(self._rows, chunk_id)
        self._read_tasks(task_id for chunk_id in new for task_id, _, _ in self._links.get(chunk_id, ()))

    def _read_tasks(self, ids: Iterable[str]) -> None:
        new = [each for each in ids if each not in self._tasks]
        while new:
            self._tasks.update(tasks.read(self._rows, new))
            new = [
                child
                for each in new
                if each in self._tasks
                for child in self._tasks[each].children
                if child not in self._tasks
            ]

    def _explain(self, claim: Claim) -> UrlStatus:
        chunk = self._chunks.get(claim.chunk)
        if chunk is None:  # claimed, and the chunk's rows have expired
            state = UrlState(claim.outcome) if claim.outcome else UrlState.EXPIRED
            return UrlStatus(claim.url, claim.account, state, claim.reason, report=claim.report, chunk=claim.chunk)
        position = self._position(claim)
        carried = self._carried(claim.chunk, position)
        state, reason = self._unbanned(claim) if claim.unban else self._state(claim, carried)
        origin = chunk.origins[position]
        return UrlStatus(
            url=chunk.urls[position],
            account=chunk.account,
            state=state,
            reason=reason,
            rule=chunk.rule,
            report=origin.report,
            source=origin.source,
            reporter=origin.reporter,
            category=origin.category,
            chunk=chunk.id,
            until=claim.until,
            tasks=tuple(carried),
            key=claim.key,
            unban=claim.unban,
        )

    def _carried(self, chunk: str, position: int) -> list[Task]:
        """The tasks that carried a position of a chunk, each followed by the part of it that carried it on."""
        carried: list[Task] = []
        waiting = [
            self._tasks[task_id]
            for task_id, start, end in self._links[chunk]
            if start <= position < end and task_id in self._tasks
        ]
        while waiting:
            task = waiting.pop(0)
            if task.carries(chunk, position):
                carried.append(task)
                waiting += [self._tasks[child] for child in task.children if child in self._tasks]
        return carried

    def _unbanned(self, claim: Claim) -> tuple[UrlState, str]:
        if claim.unban in self._chunks:
            position = self._positions[claim.unban].get(claim.key, -1)
            carried, work = self._carried(claim.unban, position), self._work.get(claim.unban)
            # One that failed and stands nevertheless, or left its chunk before a task had it, was of a ban never sent.
            left = carried[-1].ended if carried else work is None or position in work.excluded
            if not left:
                return UrlState.PROCESSING, f"an unban is on its way: {claim.reason}"
        return UrlState.UNBANNED, claim.reason

    def _position(self, claim: Claim) -> int:
        return self._positions[claim.chunk].get(claim.key, -1)

    def _state(self, claim: Claim, carried: list[Task]) -> tuple[UrlState, str]:
        if claim.outcome:
            return UrlState(claim.outcome), claim.reason
        work = self._work.get(claim.chunk)
        if not carried:
            return self._not_carried(claim, work)
        last = carried[-1]
        if last.withheld:
            return last.withheld, last.reason
        if last.state is not TaskState.SUCCEEDED:
            return OF_TASK[last.state], last.reason
        ends = expiry.of_task(last)  # later than planned, if the ban had to wait
        in_force = claim.until > epoch(self._now) or (ends is not None and ends > self._now)
        return (UrlState.BANNED if in_force else UrlState.EXPIRED), claim.reason

    def _not_carried(self, claim: Claim, work: Work | None) -> tuple[UrlState, str]:
        if work and (work.state is ChunkState.HELD or work.then is ChunkState.HELD):
            return UrlState.HELD, f"waits for a person: {work.rule}"
        waits = work and self._position(claim) not in work.excluded
        never_to_be_sent = work is None and not self._links[claim.chunk]
        if waits or not (self._chunks[claim.chunk].renews or never_to_be_sent):
            return UrlState.PENDING, ""
        # The ban is in force already: an unban took its renewal back and was then refused by the vendor, or an earlier
        # version of edgeban took over a ban that others had made.
        return (UrlState.BANNED if claim.until > epoch(self._now) else UrlState.EXPIRED), claim.reason


def of_url(url: str, *, rows: Rows, policy: Policy, now: datetime) -> list[UrlStatus]:
    """Explain a canonical URL at each account, also one that serves its host no more; empty if nobody asked for it."""
    keys = [url_key(account, url) for account in policy.accounts]
    found = claims.read(rows, keys, consistent=True, whole=True)
    return Explainer(rows, now=now).claims(found[key] for key in keys if key in found)


def of_report(
    report: Report, *, rows: Rows, policy: Policy, now: datetime, urls: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """State of each URL of a report, or of some of them: why it was refused, or what its claim says.

    A URL that is not claimed yet is ``pending``: its message is still in the queue.
    """
    chosen = urls_of(report) if urls is None else urls
    refused: dict[tuple[str, str], Refusal] = {}
    for each in report.refusals:
        refused.setdefault((each.url, each.account), each)
    served = {url: accounts_for(url, policy) for url in set(report.urls).intersection(chosen)}
    wanted = [
        (url, account, url_key(account, url))
        for url in served
        for account in dict.fromkeys((*report.accounts, *policy.accounts))  # also those that its host has left since
    ]
    found = claims.read(rows, [key for _, _, key in wanted], consistent=True, whole=True)
    explained = {
        claim.key: status
        for claim, status in zip(found.values(), Explainer(rows, now=now).claims(found.values()), strict=True)
    }
    states: dict[str, list[dict[str, Any]]] = {url: [] for url in chosen}
    for url, account, key in wanted:
        refusal = refused.get((url, account)) or refused.get((url, ""))
        if key in explained and (refusal is None or _stands(found[key], refusal, report)):
            states[url].append(brief(explained[key], report.id))
            refused.pop((url, account), None)
        elif refusal is None and account in served[url] and account in report.accounts:
            states[url].append({"url": url, "account": account, "state": UrlState.PENDING.value})
    for (url, _), refusal in refused.items():
        if url in states:
            states[url].append(_refused(refusal))
    for url in (each for each in served if not states[each]):
        states[url].append({"url": url, "account": "", "state": UrlState.PENDING.value})
    return [state for url in chosen for state in states[url]]


def _stands(claim: Claim, refusal: Refusal, report: Report) -> bool:
    """Whether a claim says more of a report's URL than what was refused of it.

    The report may have come again. A refusal for want of other reporters does not last: once enough have reported the
    URL, its claim says what became of it.
    """
    return claim.report == report.id or refusal.rule == Rule.CORROBORATION


def urls_of(report: Report) -> list[str]:
    """The URLs of a report, each once and always in the same order: the accepted, then what was refused at once."""
    return list(dict.fromkeys((*report.urls, *(each.url for each in report.refusals))))


def page(urls: Sequence[str], start: int, limit: int) -> list[str]:
    """Take at most ``limit`` URLs from a place on, and no more than fit into one answer."""
    taken: list[str] = []
    size = 0
    for url in urls[start : start + limit]:
        size += len(url)
        if taken and size > PAGE_BYTES:
            break
        taken.append(url)
    return taken


def _refused(refusal: Refusal) -> dict[str, Any]:
    return {
        "url": refusal.url,
        "account": refusal.account,
        "state": refusal.verdict,
        "rule": refusal.rule,
        "reason": refusal.reason,
    }


def brief(status: UrlStatus, report: str) -> dict[str, Any]:
    """What a source may know of a URL: not who else reported it."""
    said: dict[str, Any] = {"url": status.url, "account": status.account, "state": status.state.value}
    if status.reason:
        said["reason"] = status.reason
    if status.rule:
        said["rule"] = status.rule
    if status.state is UrlState.BANNED:
        said["until"] = status.until
    if status.report != report:
        said["reported_before"] = True
    return said


def counts(states: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many URLs are in which state."""
    return dict(sorted(Counter(each["state"] for each in states).items()))


def terminal(states: Iterable[Mapping[str, Any]]) -> bool:
    """Whether every URL has come to an end."""
    ends = {each.value for each in TERMINAL}
    return all(each["state"] in ends for each in states)
