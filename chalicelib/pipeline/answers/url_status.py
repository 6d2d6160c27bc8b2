"""What is true of a URL and of the URLs of a report, and why (I7). Reads only; ``as_json`` writes the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from chalicelib.domain.model import ChunkState, Rule, TaskState, UrlState
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.domain.policy.rules import REFUSED, accounts_for
from chalicelib.domain.urls import url_key
from chalicelib.ledger import carriers, chunks, claims, remaining, tasks
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.reports import Refusal, Report
from chalicelib.ledger.row import epoch
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows

TERMINAL = frozenset(UrlState) - {UrlState.PENDING, UrlState.PROCESSING}
"""States in which edgeban has done its part (I1). ``held`` is one: the next step is a person's."""

PAGE_BYTES = 2 * 1024 * 1024
"""Most bytes of URLs in one answer: Lambda answers 6 MB at the most, and JSON writes some characters with six bytes."""

WITH_END = frozenset({UrlState.BANNED, UrlState.REJECTED, UrlState.UNBANNED})
"""States whose end a source is told, where they have one."""

LIFTING = "the ban came to its planned end, and is being lifted"

DECIDED = frozenset({Rule.REFUSED, Rule.COOL_DOWN})
"""Rules by which a person's decision suppresses a report until it ends."""

OF_TASK = {
    TaskState.SUBMITTING: UrlState.PENDING,
    TaskState.PROCESSING: UrlState.PROCESSING,
    TaskState.FAILED: UrlState.FAILED,
}


@dataclass(frozen=True, slots=True)
class UrlStatus:
    """All that is known of one URL at one account. ``tasks`` are those that carried it, oldest first."""

    url: str
    account: str
    state: UrlState
    until: datetime | None
    """When the ban ends, or what a person decided against it; ``None``: never, or the state has no end."""
    reason: str = ""
    rule: str = ""
    report: str = ""
    source: str = ""
    reporter: str = ""
    category: str = ""
    chunk: str = ""
    tasks: tuple[Task, ...] = ()
    key: str = ""
    unban: str = ""
    """The chunk that unbans the URL, or did."""
    refused: bool = False
    """Whether a person refused to ban the URL."""

    @property
    def public_reason(self) -> str:
        """The reason as sources may read it: what a person wrote, and who, is for operators alone."""
        if self.refused:
            return REFUSED.reason
        if not self.unban or self.state in {UrlState.BANNED, UrlState.EXPIRED}:
            return self.reason
        return "an unban is on its way" if self.state is UrlState.PROCESSING else "a person unbanned the URL"


@dataclass(frozen=True, slots=True)
class ReportedState:
    """What the source of a report may know of one of its URLs at one account."""

    url: str
    account: str
    """Empty while no account is known: the URL is in the queue, or was refused at once."""
    state: UrlState
    reason: str = ""
    rule: str = ""
    until: datetime | None = None
    """When the ban ends, or what a person decided against it; ``None``: never, or the state has no end."""
    reported_before: bool = False
    """Whether an earlier report is the one that the URL is banned for."""


class Explainer:
    """Explains claims, and reads each chunk and task once however many URLs they carry."""

    def __init__(self, rows: Rows, *, now: datetime) -> None:
        self._rows = rows
        self._now = now
        self._chunks: dict[str, chunks.Chunk] = {}
        self._positions: dict[str, dict[str, int]] = {}
        self._work: dict[str, Work | None] = {}
        self._links: dict[str, list[tuple[str, int, int]]] = {}
        self._tasks: dict[str, Task] = {}

    def explain(self, found: Iterable[Claim]) -> list[UrlStatus]:
        """Say what is true of the URLs of these claims."""
        all_claims = list(found)
        self._read({chunk for claim in all_claims for chunk in (claim.chunk, claim.unban) if chunk})
        return [self._explain(claim) for claim in all_claims]

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
        new = [task_id for task_id in ids if task_id not in self._tasks]
        while new:
            generation = tasks.read(self._rows, new)
            self._tasks.update(generation)
            new = [child for task in generation.values() for child in task.children if child not in self._tasks]

    def _explain(self, claim: Claim) -> UrlStatus:
        chunk = self._chunks.get(claim.chunk)
        if chunk is None:  # claimed, and the chunk's rows have expired
            return UrlStatus(
                claim.url,
                claim.account,
                UrlState(claim.outcome) if claim.outcome else UrlState.EXPIRED,
                _end(claim, [], planned=None),
                claim.reason,
                report=claim.report,
                chunk=claim.chunk,
                unban=claim.unban,
                refused=claim.refused,
            )
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
            until=None if _end_is_unknown(chunk, carried) else _end(claim, carried, planned=chunk.until),
            tasks=tuple(carried),
            key=claim.key,
            unban=claim.unban,
            refused=claim.refused,
        )

    def _carried(self, chunk: str, position: int) -> list[Task]:
        """Return the tasks that carried a position of a chunk: a first one, then those that carried it on."""
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
            # An unban that left its chunk before a task had it undid a ban that was never sent. So did one that failed,
            # since the failure of any other unban takes the mark off the claim.
            has_ended = carried[-1].ended if carried else work is None or position in work.excluded
            if not has_ended and claim.outcome == UrlState.EXPIRED:
                return UrlState.BANNED, LIFTING
            if not has_ended:
                return UrlState.PROCESSING, f"an unban is on its way: {claim.reason}"
        return (UrlState.EXPIRED if claim.outcome == UrlState.EXPIRED else UrlState.UNBANNED), claim.reason

    def _position(self, claim: Claim) -> int:
        return self._positions[claim.chunk].get(claim.key, -1)

    def _state(self, claim: Claim, carried: list[Task]) -> tuple[UrlState, str]:
        if claim.outcome:
            return UrlState(claim.outcome), claim.reason
        work = self._work.get(claim.chunk)
        if not carried and self._chunks[claim.chunk].rule == Rule.TAKEN_OVER:
            return UrlState.BANNED, self._chunks[claim.chunk].reason
        if not carried:
            return self._not_carried(claim, work)
        last = carried[-1]
        if last.withheld:
            return last.withheld, last.reason
        if last.state is not TaskState.SUCCEEDED:
            return OF_TASK[last.state], last.reason
        ends = expiry.of_task(last)  # later than planned, if the ban had to wait
        in_force = last.lasts or claim.until > epoch(self._now) or (ends is not None and ends > self._now)
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


def _end_is_unknown(chunk: chunks.Chunk, carried: Sequence[Task]) -> bool:
    """Return whether the ban is one that the vendor had before edgeban, and that edgeban has not renewed yet."""
    return chunk.rule == Rule.TAKEN_OVER and not carried


def _end(claim: Claim, carried: Sequence[Task], *, planned: datetime | None) -> datetime | None:
    """Return when the state of a URL ends; ``None`` if it does not.

    What a person decided ends with the cool-down. A ban that began late, because it had to wait, ends later than
    planned. ``planned`` is the end that its chunk was made with: one that was moved in since is what will be.
    """
    if claim.outcome and claim.outcome != UrlState.EXPIRED:
        return datetime.fromtimestamp(claim.cool_until, tz=UTC) if claim.cool_until else None
    if claim.until >= epoch(FOREVER):
        return None
    until = datetime.fromtimestamp(claim.until, tz=UTC)
    if planned and claim.until < epoch(planned):
        return until
    ends = expiry.of_task(carried[-1]) if carried and claim.lifted_at != claim.until else None
    return max(until, ends) if ends else until


def of_url(run: Run, url: str) -> list[UrlStatus]:
    """Explain a canonical URL at each account, also one that serves its host no more; empty if nobody asked for it."""
    keys = [url_key(account, url) for account in run.policy.accounts]
    claims_by_key = claims.read(run.rows, keys, consistent=True, whole=True)
    return Explainer(run.rows, now=run.clock()).explain(claims_by_key[key] for key in keys if key in claims_by_key)


def of_report(run: Run, report: Report, urls: Sequence[str] | None = None) -> list[ReportedState]:
    """Return the state of each URL of a report, or of some of them: why it was refused, or what its claim says.

    A URL that is not claimed yet is ``pending``: its message is still in the queue.
    """
    policy, chosen = run.policy, urls_of(report) if urls is None else urls
    refusals: dict[tuple[str, str], Refusal] = {}
    for refusal in report.refusals:
        refusals.setdefault((refusal.url, refusal.account), refusal)
    serving = {url: accounts_for(url, policy) for url in set(report.urls).intersection(chosen)}
    places = [
        (url, account, url_key(account, url))
        for url in serving
        for account in dict.fromkeys((*report.accounts, *policy.accounts))  # also those that its host has left since
    ]
    claims_by_key = claims.read(run.rows, [key for _, _, key in places], consistent=True, whole=True)
    explained = dict(
        zip(claims_by_key, Explainer(run.rows, now=run.clock()).explain(claims_by_key.values()), strict=True)
    )
    states: dict[str, list[ReportedState]] = {url: [] for url in chosen}
    for url, account, key in places:
        refused = refusals.get((url, account)) or refusals.get((url, ""))
        if key in explained and (refused is None or _stands(claims_by_key[key], refused, report)):
            states[url].append(_of_claim(explained[key], report))
            refusals.pop((url, account), None)
        elif key in explained and refused and refused.rule in DECIDED:
            decided_until = claims_by_key[key].cool_until
            until = datetime.fromtimestamp(decided_until, tz=UTC) if decided_until else None
            states[url].append(_of_refusal(refused, until=until))
            refusals.pop((url, account), None)
        elif refused is None and account in serving[url] and account in report.accounts:
            states[url].append(ReportedState(url, account, UrlState.PENDING))
    for (url, _), refusal in refusals.items():
        if url in states:
            states[url].append(_of_refusal(refusal))
    for url in serving:
        if not states[url]:
            states[url].append(ReportedState(url, "", UrlState.PENDING))
    return [state for url in chosen for state in states[url]]


def _stands(claim: Claim, refusal: Refusal, report: Report) -> bool:
    """Return whether a claim says more of a report's URL than what was refused of it.

    The report may have come again. A refusal for want of other reporters does not last: once enough have reported the
    URL, its claim says what became of it.
    """
    return claim.report == report.id or refusal.rule == Rule.CORROBORATION


def urls_of(report: Report) -> list[str]:
    """Return the URLs of a report, each once and always in the same order: the accepted, then those refused at once."""
    return list(dict.fromkeys((*report.urls, *(refusal.url for refusal in report.refusals))))


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
    )


def counts(states: Iterable[ReportedState]) -> dict[str, int]:
    """Count the URLs in each state."""
    return dict(sorted(Counter(status.state.value for status in states).items()))


def terminal(states: Iterable[ReportedState]) -> bool:
    """Return whether every URL has come to an end."""
    return all(status.state in TERMINAL for status in states)
