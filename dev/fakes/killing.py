"""Kill a step before and after each of its calls: after healing, the world is as if nothing had been killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import Conflict, NotFound
from chalicelib.domain.model import Action, ChunkState
from chalicelib.ledger import claims, remaining, tasks, unban_jobs
from chalicelib.ledger.packed_words import unpack
from chalicelib.pipeline.lifecycle.explaining import Explainer
from dev.fakes.operations import carry_on_all, renew
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, SECRET, World

HEALING = 10
"""Minutes after which the sweep has finished whatever was left open, even if a sweep was killed."""

LOOKS = (timedelta(hours=31), timedelta(days=10))
"""Times of the later looks: some damage of a crash shows only when a ban is renewed or ends."""

SECOND_KILL = 13
"""The second kill of a step is at one of this many first calls."""


@dataclass(frozen=True)
class Step:
    """Something that writes more than once.

    ``does`` does it in a world that ``prepare`` returns. If ``asked_again``, the caller who sees no answer asks again.
    Otherwise the sweep carries the step on, or nothing was done at all. ``afterwards`` is done after healing.
    """

    prepare: Callable[[], World]
    does: Callable[[World], object]
    asked_again: bool = True
    afterwards: Callable[[World], object] = lambda world: None
    fewest_calls: int = 2

    def run(self, world: World) -> None:
        """Do the step, or the rest of it. A decision that is already done is refused."""
        with suppress(Conflict, NotFound):
            self.does(world)


@dataclass(frozen=True)
class Near:
    """A moment that a kill may delay by minutes."""

    at: datetime | None

    def __eq__(self, other: object) -> bool:
        """Compare with an hour's tolerance."""
        if not isinstance(other, Near) or not self.at or not other.at:
            return isinstance(other, Near) and self.at == other.at
        return abs(self.at - other.at) < timedelta(hours=1)

    def __hash__(self) -> int:
        """Give all moments one hash, since moments within an hour are equal."""
        return 0


@dataclass(frozen=True)
class Way:
    """How a step is killed: before or after its n-th call, between two rows of one write, or again while healing.

    ``waits`` is the minutes until the caller asks again.
    """

    name: str
    after: bool = False
    tears: bool = False
    twice: bool = False
    waits: int = 0


WAYS = [
    Way("before a call or a row", tears=True),
    Way("after a call", after=True, waits=8),
    Way("twice", after=True, twice=True, waits=7),
]


def judge_killed(step: Step, way: Way) -> None:
    """Kill a step at each of its calls in one way. The result must be that of a step that nobody killed."""
    done, untouched = step.prepare(), step.prepare()
    step.does(done)
    untouched.queued.clear()
    assert facts(done) != facts(untouched), "the step does nothing"
    expected, nothing = lived(step, done), lived(step, untouched)
    allowed = [expected] if step.asked_again else [expected, nothing]
    at = 1
    while True:
        world = step.prepare()
        world.crasher.tears, world.crasher.reads = way.tears, False
        with world.crash(at, after=way.after):
            step.does(world)
        killed = world.crasher.calls >= at
        world.crasher.tears = False
        if not killed:
            break
        come_back(step, way, world, at)
        result = lived(step, world)
        assert result in allowed, f"killed {way.name} {at}: {differences(result, allowed[0])}"
        at += 1
    assert at > step.fewest_calls, f"only {at - 1} calls"


def killed_at_each_call(
    prepare: Callable[[], World], act: Callable[[World], object], *, after: bool = False
) -> Iterator[tuple[int, World]]:
    """Yield a prepared world for each call of an act, with the call's number: the act was killed before or after it."""
    unharmed = prepare()
    unharmed.crasher.calls = 0
    act(unharmed)
    assert unharmed.crasher.calls, "the act makes no call"
    for at in range(1, unharmed.crasher.calls + 1):
        world = prepare()
        with world.crash(at, after=after):
            act(world)
        yield at, world


def come_back(step: Step, way: Way, world: World, at: int) -> None:
    """Let the caller who saw no answer ask again, and the sweep run; kill once more if the way says so."""
    world.clock.advance(seconds=2)
    if way.twice:
        with world.crash(1 + at * 5 % SECOND_KILL, after=bool(at % 2)):
            minutes(world, way.waits)
            if step.asked_again:
                step.run(world)
    minutes(world, way.waits)
    if step.asked_again:
        step.run(world)


def minutes(world: World, count: int) -> None:
    """Let minutes pass, in which the sweep carries unbans on."""
    for _ in range(count):
        carry_on_all(world)
        world.minutes()


def lived(step: Step, world: World) -> list[dict[str, Any]]:
    """Let everything heal and days pass; return the facts at each look."""
    began = world.clock()
    seen = []
    for look in (timedelta(), *LOOKS):
        world.clock.now = max(world.clock.now, began + look)
        minutes(world, 1)
        renew(world)
        minutes(world, 2 if look else HEALING)
        if not look:
            step.afterwards(world)
            minutes(world, 3)
        seen.append(facts(world))
    return seen


def facts(world: World) -> dict[str, Any]:
    """Return the facts: of each URL, of the holds, at the vendor, and of the work under way."""
    assert isinstance(world.rows, MemoryRows)
    world.vendor.settle()
    keys = sorted(pk[4:] for pk, sk in world.rows.rows if sk == "claim")
    found = claims.read(world.rows, keys, consistent=True, whole=True).values()
    work = remaining.of_account(world.rows, ACCOUNT)
    held = Counter[str]()  # A crash may leave two holds in place of one, with the same URLs altogether.
    for chunk in work:
        if chunk.state is ChunkState.HELD:
            held[chunk.rule] += chunk.count - len(chunk.excluded)
    calls = [(action, url) for action, urls, _ in world.vendor.calls for url in urls]
    urls = {}
    for claim, status in zip(found, Explainer(world.rows, now=world.clock()).explain(found), strict=True):
        said = {word.source: (word.bans, Near(word.until)) for word in unpack(claim.words, world.sources)}
        urls[claim.url] = {
            "state": status.state.value,
            "until": Near(status.until),
            "decided until": Near(status.cool_until),
            "words": said,
            "banned": claim.url in world.vendor.bans,
            "bans": calls.count((Action.BAN, claim.url)),
        }
    return {
        **urls,
        "held": dict(sorted(held.items())),
        "under way": len([chunk for chunk in work if chunk.state is not ChunkState.HELD]),
        "tasks": len(tasks.live(world.rows, ACCOUNT)),
        "unbans": [job.subject for job in unban_jobs.unfinished(world.rows)],
    }


def differences(result: list[dict[str, Any]], expected: list[dict[str, Any]]) -> str:
    """Name the first fact that differs, and its look."""
    for look, (one, other) in enumerate(zip(result, expected, strict=True)):
        for name in sorted({*one, *other}):
            if one.get(name) != other.get(name):
                return f"look {look}, {name}:\n{one.get(name)}\nexpected\n{other.get(name)}"
    return "nothing"


# --- worlds of several sources ----------------------------------------------------------------------------------------


def world_of_sources(**fields: Any) -> World:
    """Return a world of sources of every kind, whose policy has these fields."""
    signing = {"auth": "standard-webhooks", "secrets": [SECRET]}
    policy = {
        **deepcopy(POLICY),
        "categories": {"malware": {"ban_for_days": 75}, "spam": {"ban_days": 3, "min_reporters": 2}},
        "sources": {"public": {"trust": "review"}, "lab": {"withdrawals": "lift"}, "capped": {"max_per_hour": 1}},
        **fields,
    }
    names = ("isp", "desk", "lab", "public", "capped")
    return World(policy=parse_policy(policy), sources=parse_sources(dict.fromkeys(names, signing)))


def say(world: World, source: str, urls: Sequence[str], days: int | None = None, **fields: Any) -> str:
    """Let a source report URLs; nobody has taken the report from the queue yet."""
    asked = {"ban_duration": days} if days else {}
    document = {"urls": list(urls), **asked, **fields}
    return world.post(document, webhook_id=f"{source} {world.clock()}", source=source).report_id


def said(world: World, source: str, urls: Sequence[str], days: int | None = None, **fields: Any) -> str:
    """Let a source report URLs, and let four minutes pass."""
    report = say(world, source, urls, days, **fields)
    world.minutes(4)
    return report


def take_back(world: World, source: str, urls: Sequence[str]) -> None:
    """Let a source withdraw URLs; nobody has taken the message from the queue yet."""
    document = {"withdrawn": [{"url": url} for url in urls]}
    world.post(document, webhook_id=f"{source} takes back {world.clock()}", source=source)
