"""The pipeline's own functions ban reports at this vendor, with our client and the simulator over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chalicelib.domain.model import VendorAccount
from chalicelib.ledger import unban_jobs
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.decisions.unban import carry_out
from chalicelib.pipeline.submission.submit import submit_tasks
from chalicelib.pipeline.submission.track import track_tasks
from chalicelib.vendors.http import VendorHttp
from chalicelib.vendors.volcengine.client import connect
from dev.fakes.world import ACCOUNT, World, pages
from dev.simulators.volcengine import VolcengineSimulator

TASK_SECONDS = 20.0


class Place:
    """A world whose one account is at the simulated vendor; both have the world's clock."""

    def __init__(self) -> None:
        self.world = World()
        clock = self.world.clock
        self.simulator = VolcengineSimulator(task_seconds=TASK_SECONDS, clock=lambda: clock().timestamp())
        self.http = VendorHttp()
        account = VendorAccount(ACCOUNT, "volcengine", self.simulator.url, self.simulator.credentials)
        self.vendor = connect(account, clock=clock, http=self.http)

    def minutes(self, count: int) -> None:
        """Let that many minutes pass, with everything that runs every minute."""
        for _ in range(count):
            self.world.clock.advance(minutes=1)
            if self.world.queued:
                self.world.intake()
            self.world.sweep()
            if self.world.wakes:
                self.world.wakes.clear()
                submit_tasks(self.world.run(seconds=140).at(ACCOUNT), self.vendor, workers=0)
            track_tasks(self.world.run(seconds=40).at(ACCOUNT), self.vendor)

    def report(self, urls: list[str]) -> None:
        self.world.queue({"urls": urls})

    def unban(self, url: str) -> None:
        now = self.world.clock()
        job = Job(unban_jobs.new_id(now), "ana", "a mistake", 7, now, urls=(url,))
        unban_jobs.record(self.world.rows, job)
        assert carry_out(self.world.run(), job) == 1

    def open_at_the_edge(self, urls: list[str]) -> list[str]:
        return [url for url in urls if self.simulator.edge_status(url) != 403]


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    place.simulator.start()
    yield place
    place.simulator.stop()
    place.http.close()


def test_a_report_goes_out_in_full_tasks_and_none_is_sent_twice(place: Place) -> None:
    urls = pages(950)
    place.report(urls)

    place.minutes(3)

    stats = place.simulator.stats()
    assert place.world.states(urls) == {"banned": 950}
    assert place.open_at_the_edge(urls) == []
    assert (stats["calls"]["create"], stats["urls_created"], stats["doubles"], stats["throttled"]) == (10, 950, 0, 0)


@pytest.mark.parametrize("kind", ["reset_after", "500_after_effect", "truncate"])
def test_a_task_whose_answer_was_lost_is_adopted_and_not_sent_again(place: Place, kind: str) -> None:
    urls = pages(300)
    place.simulator.add_faults({"match": "create", "kind": kind})
    place.report(urls)

    place.minutes(3)

    assert place.world.states(urls) == {"banned": 300}
    assert [len(task["statuses"]) for task in place.simulator.tasks()] == [100, 100, 100]
    assert len(place.world.events("task_adopted")) == 1


def test_a_call_that_was_lost_on_its_way_is_repeated(place: Place) -> None:
    urls = pages(100)
    place.simulator.add_faults({"match": "create", "kind": "reset_before"})
    place.report(urls)

    place.minutes(5)

    assert place.world.states(urls) == {"banned": 100}
    assert place.simulator.stats()["doubles"] == 0
    assert place.world.events("task_adopted") == []


def test_one_url_that_the_vendor_cannot_block_keeps_no_other_open(place: Place) -> None:
    urls = pages(100)
    place.simulator.poison("page/42", "fail_url")
    place.report(urls)

    place.minutes(20)

    assert place.world.states(urls) == {"banned": 99, "failed": 1}
    assert place.open_at_the_edge(urls) == [urls[42]]


def test_one_url_that_the_vendor_refuses_keeps_no_other_open(place: Place) -> None:
    urls = pages(100)
    place.simulator.poison("page/42", "refuse", "NotFound.Domain")
    place.report(urls)

    place.minutes(5)

    assert place.world.states(urls) == {"banned": 99, "rejected": 1}
    assert place.simulator.stats()["doubles"] == 0


def test_urls_beyond_the_days_quota_wait_for_the_next_day_and_are_not_rejected(place: Place) -> None:
    urls = pages(3_100)
    place.report(urls)
    place.minutes(3)
    assert place.world.states(urls) == {"banned": 3_000, "pending": 100}
    assert place.world.events("submission_blocked")
    assert place.open_at_the_edge(urls[:1]) == []
    place.unban(urls[0])  # The vendor counts unbans separately.
    place.minutes(2)
    assert place.open_at_the_edge(urls[:1]) == urls[:1]

    place.world.clock.advance(days=1)
    place.minutes(5)

    assert place.world.states(urls) == {"banned": 3_099, "unbanned": 1}
    assert place.simulator.stats()["doubles"] == 0


def test_an_unban_opens_the_url_again(place: Place) -> None:
    urls = pages(3)
    place.report(urls)
    place.minutes(3)
    assert place.open_at_the_edge(urls) == []

    place.unban(urls[0])
    place.minutes(3)

    assert place.open_at_the_edge(urls) == [urls[0]]
    assert place.world.state(urls[0]) == "unbanned"
