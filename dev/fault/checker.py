"""An independent judge of a run: the vendor's log and the raw rows of the table, read by its own understanding.

Nothing of ``chalicelib`` is used here, so that a mistake there is not made twice. What must hold:

I1  every URL that was accepted has an end, and the end that the ledger tells is the one that is true at the vendor
I2  no URL was asked for in two ban tasks that did not fail, unless the vendor itself lost sight of the first
I3  in no second more calls than the vendor allows, by its own log; see ``JITTER``
I4  what was sent is the WHATWG form of a reported URL without fragment and userinfo, to the letter
I11 what a person unbanned stays unbanned, whatever was under way; what was given an end is lifted at its end
I10 no state outlives its time without an alarm (``dev.fault.silence`` watches that)
I5  nothing was sent whose host is not ours, and nothing that only a forged report named
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ada_url import URL

from dev.fault.plan import ENDING, FAILING, FORGED, REFUSED

LIFTED = {"unbanned", "expired"}
"""What the ledger says of a ban that was lifted at the end that a person gave it."""

ENDS = {"banned", "rejected", "held", "suppressed", "failed"}
ASKED_AGAIN = "decided_before"
"""The one rule that may hold what a person unbanned. A source that is not on record when the person decides reports the
URL, or its report waits in the queue until then: a person is asked once more, and nothing is banned."""

JITTER = 0.25
"""Seconds that a call may be on its way for longer than the next on a machine where a dozen processes share two cores.
The log has only the arrivals: eleven that arrive within 0.9 s were sent within more than a second, eleven within 0.7 s
were not. How many calls the vendor refused for their rate is counted beside it."""

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What a vendor allows: URLs a call, calls a second by the endpoints of its log."""

    urls: int
    calls: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is left at one account when all is over. ``rows`` are plain values by attribute name."""

    rows: Sequence[Mapping[str, Any]]
    tasks: Sequence[Mapping[str, Any]]
    """The vendor's tasks with their URLs, the forgotten ones among them. ``taken``: those that did not fail."""
    calls: Sequence[Mapping[str, Any]]
    """The vendor's log of every call."""
    banned: frozenset[str]
    """What the vendor blocks."""
    limits: Limits
    forgotten: frozenset[str] = frozenset()
    """Ids of tasks that the vendor's list does not show any more."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What was asked for. ``hosts`` are ours, exact or ``*.``; ``offered`` are all URLs that anybody sent."""

    accepted: Sequence[str]
    offered: Sequence[str]
    hosts: Sequence[str]
    account: str
    unbanned: Sequence[str] = ()
    """URLs that a person unbanned at any moment."""
    ended: Sequence[str] = ()
    """URLs whose bans a person gave an end that has passed."""
    honours: frozenset[str] = frozenset({REFUSED, FAILING})
    """The marks that the vendor heeds. It bans a URL with any other mark."""


@dataclass(slots=True)
class Judgement:
    """``problems`` is empty if all holds; ``states`` counts the ends."""

    states: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    crossings: list[str] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    """URLs of which the ledger and the vendor say different things."""
    reversed: list[str] = field(default_factory=list)
    """URLs that a person unbanned, and that are banned or not on record as unbanned."""
    overstayed: list[str] = field(default_factory=list)
    """URLs that are banned past the end that a person gave their bans."""
    left: list[str] = field(default_factory=list)
    """Work that nobody has finished."""
    tasks: int = 0
    refused: int = 0
    """Calls that the vendor refused because the second was full."""

    @property
    def problems(self) -> list[str]:
        """Whatever does not hold, a line a kind."""
        kinds = {
            "losses": self.losses,
            "doubles": self.doubles,
            "limit crossings": self.crossings,
            "inexact or foreign": self.inexact,
            "untrue": self.untrue,
            "reversed unbans": self.reversed,
            "banned past their end": self.overstayed,
            "unfinished": self.left,
        }
        return [f"{len(found)} {kind}: {'; '.join(found[:SHOWN])}" for kind, found in kinds.items() if found]


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """Turn an item of DynamoDB's JSON into plain values."""
    return {name: _plain(value) for name, value in item.items()}


def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "N":
        return int(content)
    if kind == "B":
        return content if isinstance(content, bytes) else base64.b64decode(content)
    if kind == "L":
        return [_plain(each) for each in content]
    if kind == "M":
        return plain(content)
    return content


def exact(raw: str) -> str:
    """Return the form in which a URL is blocked; empty if it cannot be blocked."""
    text = raw.strip(" \t\n\f\r")
    if any(sign in text for sign in "\t\r\n\0"):
        return ""
    try:
        url = URL(text)
    except ValueError:
        return ""
    if url.protocol not in ("http:", "https:"):
        return ""
    url.hash, url.username, url.password = "", "", ""
    return str(url.href).removesuffix("#")


def marks(url: str) -> list[str]:
    """Return the marks in a URL by which one knows how it must end."""
    return [mark for mark in (REFUSED, FAILING, FORGED, ENDING) if mark in url]


def is_ours(url: str, hosts: Iterable[str]) -> bool:
    """Whether a canonical URL's host is one of ``hosts``; a wildcard covers what is below it, not itself."""
    name = URL(url).hostname
    return any(name.endswith(host[1:]) if host.startswith("*.") else name == host for host in hosts)


def judge(evidence: Evidence, demand: Demand) -> Judgement:
    """Compare what is left with what was asked for."""
    judgement = Judgement(tasks=len(evidence.tasks))
    offered = {url for url in map(exact, demand.offered) if url and is_ours(url, demand.hosts)}
    wanted = {url for url in map(exact, demand.accepted) if url and is_ours(url, demand.hosts)}
    _judge_vendor(evidence, offered, judgement)
    ledger = _Ledger(evidence.rows, demand.account)
    unbanned = {exact(url) for url in demand.unbanned}
    for url in sorted(unbanned):
        state = ledger.state(url)
        if state == "held":
            rule = ledger.rule_of_hold(url)
            stays, state_in_words = rule == ASKED_AGAIN, f"held by {rule or 'no rule'}"
        else:
            stays, state_in_words = state == "unbanned", state or "unknown"
        if not stays or url in evidence.banned:
            judgement.reversed.append(f"{url} is {state_in_words} in the ledger, {_at_vendor(url, evidence)}")
        judgement.states[state] += url in wanted
    ended = {exact(url) for url in demand.ended}
    for url in sorted(ended):
        state = ledger.state(url)
        judgement.states[state] += 1
        if url in evidence.banned or state not in LIFTED:
            judgement.overstayed.append(f"{url} is {state or 'lost'} in the ledger, {_at_vendor(url, evidence)}")
    for url in sorted(wanted - unbanned - ended):
        state = ledger.state(url)
        judgement.states[state or "lost"] += 1
        if state not in ENDS:
            judgement.losses.append(f"{url} is {state or 'nowhere in the ledger'}")
        elif (state == "banned") != (url in evidence.banned):
            judgement.untrue.append(f"{url} is {state} in the ledger, {_at_vendor(url, evidence)}")
        elif (_has(REFUSED, url, demand), _has(FAILING, url, demand)) != (state == "rejected", state == "failed"):
            judgement.untrue.append(f"{url} is {state}, which is not what the vendor meant")
    for url in sorted(evidence.banned - wanted - offered):
        judgement.untrue.append(f"{url} is banned, and nobody reported it")
    judgement.left = ledger.unfinished()
    return judgement


def _has(mark: str, url: str, demand: Demand) -> bool:
    return mark in url and mark in demand.honours


def _at_vendor(url: str, evidence: Evidence) -> str:
    return "banned at the vendor" if url in evidence.banned else "not banned at the vendor"


def _judge_vendor(evidence: Evidence, offered: set[str], judgement: Judgement) -> None:
    living: Counter[str] = Counter()
    for task in evidence.tasks:
        urls = task["urls"]
        if len(urls) > evidence.limits.urls or len(urls) != len(set(urls)):
            judgement.inexact.append(f"the task {task['id']} has {len(urls)} URLs, {len(set(urls))} different ones")
        for url in urls:
            if url not in offered or FORGED in url:
                judgement.inexact.append(url)
        if task["action"] == "ban" and task["state"] != "failed" and task["id"] not in evidence.forgotten:
            living.update(set(task.get("taken", urls)))
    judgement.doubles = sorted(url for url, count in living.items() if count > 1)
    for endpoint, limit in evidence.limits.calls.items():
        times = sorted(call["time"] for call in evidence.calls if call["endpoint"] == endpoint)
        for index in range(len(times) - limit):
            if times[index + limit] - times[index] < 1.0 - JITTER:
                judgement.crossings.append(f"more than {limit} of {endpoint} in the second from {times[index]:.3f}")
    judgement.refused = sum(call["status"] == 429 and not call["fault"] for call in evidence.calls)


class _Ledger:
    """The ledger, read by the documented table of row kinds and not by the code of ``chalicelib``."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], account: str) -> None:
        self._rows = {(row["pk"], row["sk"]): row for row in rows}
        self._account = account
        self._claims = {row["url"]: row for row in rows if row["pk"].startswith("url#") and row["account"] == account}
        self._links: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            if row["pk"].startswith("chunk#") and row["sk"].startswith("task#"):
                self._links.setdefault(row["pk"][6:], []).append(row)
        self._positions: dict[str, dict[str, int]] = {}

    def state(self, url: str) -> str:
        """Return the state of a URL; empty if the ledger has no claim of it."""
        claim = self._claims.get(url)
        if claim is None:
            return ""
        if claim.get("outcome"):
            return str(claim["outcome"])
        chunk = claim["chunk"]
        position = self._position(chunk, claim["pk"][4:])
        work = self._rows.get((f"account#{self._account}", f"chunk#{chunk}"))
        last = self._last(chunk, position)
        if last is None:
            held = work and "held" in (work["state"], work.get("then"))
            return "held" if held else f"in a chunk that is {work['state'] if work else 'gone'}, and in no task"
        return {"succeeded": "banned", "failed": "failed by its task"}.get(last["state"], f"{last['state']} still")

    def rule_of_hold(self, url: str) -> str:
        """Return the rule by which the chunk of a URL is held; empty if no chunk of it is on record."""
        work = self._rows.get((f"account#{self._account}", f"chunk#{self._claims[url]['chunk']}"))
        return str(work.get("rule", "")) if work else ""

    def unfinished(self) -> list[str]:
        """Chunks and tasks that are neither over nor held for a person."""
        found = []
        for (pk, sk), row in self._rows.items():
            if pk == f"account#{self._account}":
                if sk.startswith("live#"):
                    found.append(f"task {sk[5:]}")
                if sk.startswith("chunk#") and row["state"] != "held":
                    found.append(f"chunk {sk[6:]}, {row['state']}")
        return sorted(found)

    def _position(self, chunk: str, key: str) -> int:
        if chunk not in self._positions:
            row = self._rows.get((f"chunk#{chunk}", "chunk"))
            keys = json.loads(zlib.decompress(row["body"]))["keys"] if row else []
            self._positions[chunk] = {name: index for index, name in enumerate(keys)}
        return self._positions[chunk].get(key, -1)

    def _last(self, chunk: str, position: int) -> Mapping[str, Any] | None:
        """Return the last task that carried a position of a chunk, found from the first one by its children."""
        waiting = [link["sk"][5:] for link in self._links.get(chunk, []) if link["start"] <= position < link["end"]]
        last = None
        while waiting:
            row = self._rows.get((f"task#{waiting.pop(0)}", "task"))
            if row and any(
                name == chunk and start <= position < end and position not in lost
                for name, start, end, lost in json.loads(zlib.decompress(row["slices"]))
            ):
                last = row
                waiting = list(row.get("children", []))
        return last
