"""The whole pipeline with the client of Workers KV at its simulator; the tests ask the edge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from chalicelib.domain.model import VendorAccount
from chalicelib.pipeline.submission.submit import Drained, submit_tasks
from chalicelib.pipeline.submission.track import Tracked, track_tasks
from chalicelib.vendors.http import VendorHttp
from chalicelib.vendors.workerskv.client import LIMITS, connect
from dev.fakes.operations import undo
from dev.fakes.world import ACCOUNT, World, pages
from dev.simulators.workerskv import WorkersKvSimulator

URLS = [*pages(119), "https://www.example.com/" + "a" * 600]
SETTLES = LIMITS.settles.total_seconds()


class KvWorld(World):
    """A world whose one account is a namespace of the simulator, which has the world's clock."""

    def connect(self, http: VendorHttp) -> None:
        """Start at the simulator."""
        self.simulator = WorkersKvSimulator(settle_seconds=SETTLES, clock=lambda: self.clock().timestamp())
        account = VendorAccount(ACCOUNT, "workerskv", self.simulator.url, self.simulator.credentials)
        self.kv = connect(account, clock=self.clock, http=http)

    def drain(self, *, seconds: float = 140) -> Drained:
        return submit_tasks(self.run(seconds=seconds).at(ACCOUNT), self.kv, workers=self.workers)

    def track(self) -> Tracked:
        return track_tasks(self.run(seconds=40).at(ACCOUNT), self.kv)

    def at_edge(self) -> set[str]:
        """Return the URLs that the edge refuses."""
        return {url for url in URLS if self.simulator.edge_status(url) == 403}

    def calls(self) -> Counter[str]:
        return Counter(call["endpoint"] for call in self.simulator.calls())


@pytest.fixture
def world() -> Iterator[KvWorld]:
    world = KvWorld()
    http = VendorHttp()
    world.connect(http)
    with world.simulator:
        yield world
        http.close()


def test_a_report_is_one_call_and_is_banned_when_the_edge_is(world: KvWorld) -> None:
    world.queue({"urls": URLS})
    world.minutes()
    assert world.states(URLS) == {"processing": len(URLS)}
    assert world.at_edge() == set()

    world.minutes(2)

    assert world.states(URLS) == {"banned": len(URLS)}
    assert world.at_edge() == set(URLS)
    assert world.calls() == {"write": 1}


def test_a_url_is_never_called_banned_before_the_edge_refuses_it(world: KvWorld) -> None:
    world.queue({"urls": URLS})
    world.minutes()
    for _ in range(12):
        world.clock.advance(seconds=10)
        world.track()
        if world.states(URLS)["banned"]:
            break
        assert world.simulator.banned().keys() == set(URLS)
    assert world.states(URLS) == {"banned": len(URLS)}
    assert world.at_edge() == set(URLS)


@pytest.mark.parametrize("kind", ["reset_after", "reset_before", "error_after", "truncate"])
def test_a_lost_answer_is_a_call_repeated_within_seconds(world: KvWorld, kind: str) -> None:
    world.simulator.add_faults({"match": "write", "kind": kind})
    world.queue({"urls": URLS})
    world.minutes(5)

    assert world.states(URLS) == {"banned": len(URLS)}
    assert world.at_edge() == set(URLS)
    assert world.calls() == {"write": 2}
    first, second = (call["time"] for call in world.simulator.calls())
    assert second - first < 10


def test_bans_end_by_themselves_in_the_ledger_and_at_the_edge(world: KvWorld) -> None:
    world.queue({"urls": URLS})
    world.minutes(3)
    world.clock.advance(days=7, minutes=5)
    world.minutes(1)

    assert world.states(URLS) == {"expired": len(URLS)}
    assert world.at_edge() == set()
    assert world.calls() == {"write": 1}


def test_an_unban_is_one_call_and_done_when_the_edge_serves_the_page(world: KvWorld) -> None:
    world.queue({"urls": URLS})
    world.minutes(3)
    undo(world, urls=tuple(URLS[:20]) + tuple(URLS[-1:]))
    world.minutes(1)
    assert world.states(URLS[:20]) == {"processing": 20}
    world.minutes(2)

    assert world.states(URLS[:20]) == {"unbanned": 20}
    assert world.at_edge() == set(URLS[20:-1])
    assert world.calls() == {"write": 1, "delete": 1}


def test_a_key_that_is_never_written_fails_alone(world: KvWorld) -> None:
    bad = URLS[57]
    world.simulator.fail_keys("/page/57")
    world.queue({"urls": URLS})
    world.minutes(2)
    assert world.states(URLS)["banned"] == len(URLS) - 1
    world.minutes(6)

    assert world.states([bad]) == {"failed": 1}
    assert world.states(URLS) == {"banned": len(URLS) - 1, "failed": 1}
    assert world.at_edge() == set(URLS) - {bad}
    assert world.calls() == {"write": 1 + 1}  # One task, and one repetition for the URL.


def test_a_key_that_is_written_at_the_second_attempt_is_banned_with_its_neighbours(world: KvWorld) -> None:
    world.simulator.fail_keys("/page/57")
    world.queue({"urls": URLS})
    world.minutes(1)
    world.simulator.fail_keys("")
    world.minutes(5)

    assert world.states(URLS) == {"banned": len(URLS)}
    assert world.at_edge() == set(URLS)
    assert world.calls() == {"write": 1 + 1}


def test_a_throttled_call_waits_as_long_as_the_vendor_says(world: KvWorld) -> None:
    fault = {"match": "write", "kind": "error", "status": 429, "code": 971, "retry_after": "40"}
    world.simulator.add_faults(fault)
    world.queue({"urls": URLS})
    world.minutes(5)

    first, second = (call["time"] for call in world.simulator.calls())
    assert second - first >= 40
    assert world.states(URLS) == {"banned": len(URLS)}


def test_a_refused_token_blocks_the_account_and_loses_nothing(world: KvWorld) -> None:
    world.simulator.add_faults({"match": "write", "kind": "error", "status": 403, "code": 10000})
    world.queue({"urls": URLS})
    world.minutes(2)
    assert world.states(URLS) == {"pending": len(URLS)}
    assert world.calls() == {"write": 1}

    world.minutes(30)
    assert world.states(URLS) == {"banned": len(URLS)}
