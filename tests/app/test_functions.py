"""A function that a queue or a schedule starts serves every account, whatever happens at one of them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from chalice.app import CloudWatchEvent

from chalicelib.aws.sqs import OutcomesQueue, WakeQueue
from chalicelib.bootstrap import now
from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.errors import ConfigurationError, LedgerUnavailable, NotQueued
from chalicelib.handlers import outcomes, queues, schedules
from chalicelib.handlers.queues import SUBMIT_MARGIN
from chalicelib.ledger import callbacks, control, remaining
from chalicelib.pipeline.run import Run, each_account
from chalicelib.ports import Put
from dev import take_over
from dev.fakes.api import Api, fixed
from dev.fakes.limits import check_fifo_id, refusal
from dev.fakes.objects import MemoryObjects
from dev.fakes.vendor import FakeBan
from dev.fakes.world import ACCOUNT, POLICY, World, pages
from dev.fakes.wrappers import Meanwhile

OTHERS = {name: {"managed_domains": [f"{name}.example.org"]} for name in ("aaa", "zzz")}


class Context:
    """A function's invocation with so many seconds left."""

    def __init__(self, seconds: float) -> None:
        self.end = now() + timedelta(seconds=seconds)

    def get_remaining_time_in_millis(self) -> int:
        return round((self.end - now()) / timedelta(milliseconds=1))


@pytest.fixture
def three(api: Api) -> Api:
    """Three accounts, of which only the one in the middle has its vendor's credentials."""
    accounts = {"aaa": OTHERS["aaa"], **POLICY["accounts"], "zzz": OTHERS["zzz"]}
    api.services._policy = fixed(parse_policy({**POLICY, "accounts": accounts}))
    api.services.objects = MemoryObjects()
    return api


def failed(api: Api) -> list[tuple[Any, Any]]:
    return [(each["account"], each["kind"]) for each in api.world.events("account_failed")]


def test_an_account_that_fails_stops_no_other_and_counts_as_an_error_of_the_function(three: Api) -> None:
    three.post({"urls": pages(3)})
    three.world.intake()
    three.world.drain()
    for function in (schedules.track_every_account, schedules.compare_every_account):
        three.world.emitted.clear()
        with pytest.raises(ConfigurationError, match="no account 'aaa'"):
            function(three.services, Context(600))
        assert failed(three) == [("aaa", "ConfigurationError"), ("zzz", "ConfigurationError")]
        assert len(three.world.events("tasks_tracked") + three.world.events("drift_detected")) == 1
    assert three.world.states(pages(3)) == {"banned": 3}


def wake_up(api: Api, account: str = ACCOUNT) -> dict[str, Any]:
    """Wake an account; return the message that SQS delivers."""
    WakeQueue(api.services.sqs, "submit.fifo")(account, mark="1")
    record = api.services.sqs.receive()
    assert record
    return dict(record)


def test_a_drain_that_fails_is_told_and_its_wake_up_comes_again_within_seconds(three: Api) -> None:
    record = wake_up(three, "aaa")
    with pytest.raises(ConfigurationError):
        queues.follow_wake_up(three.services, {"Records": [record]}, Context(180))
    assert failed(three) == [("aaa", "ConfigurationError")]
    (message,) = three.services.sqs.messages
    assert (message.visible_at - now()).total_seconds() <= 10


def test_a_drain_that_is_done_acknowledges_its_wake_up(three: Api) -> None:
    three.post({"urls": pages(3)})
    three.world.intake()
    record = wake_up(three)
    answer = queues.follow_wake_up(three.services, {"Records": [record]}, Context(180))
    three.services.sqs.answered(record, answer)
    assert not three.services.sqs.messages
    assert three.world.states(pages(3)) == {"processing": 3}


def test_a_drain_whose_time_is_up_gives_its_wake_up_back(three: Api) -> None:
    three.post({"urls": pages(3)})
    three.world.intake()
    record = wake_up(three)
    answer = queues.follow_wake_up(three.services, {"Records": [record]}, Context(SUBMIT_MARGIN.seconds))
    three.services.sqs.answered(record, answer)
    assert three.services.sqs.receive()


def test_a_drain_that_another_one_has_overtaken_gives_its_wake_up_back(three: Api) -> None:
    """The other drain may have looked before this work was there, and this message may be the last."""
    three.post({"urls": pages(3)})
    three.world.intake()
    record = wake_up(three)

    def another_begins() -> None:
        control.begin_drain(three.world.rows, ACCOUNT, now=now())

    three.services.rows = Meanwhile(three.world.rows, "query", another_begins)
    answer = queues.follow_wake_up(three.services, {"Records": [record]}, Context(180))
    three.services.sqs.answered(record, answer)
    assert three.services.sqs.receive()
    assert not three.world.vendor.calls


def test_a_drain_wakes_the_tracker_whose_wake_up_comes_again_until_the_task_has_ended(three: Api) -> None:
    three.post({"urls": pages(3)})
    three.world.intake()
    three.services.wake = WakeQueue(three.services.sqs, "submit.fifo", hops=lambda: three.services.hops)
    queues.follow_wake_up(three.services, {"Records": [wake_up(three)]}, Context(180))
    record = three.services.sqs.receive()
    assert json.loads(record["body"]) == {"account": f"{ACCOUNT}#track", "hops": 2}
    answer = queues.follow_wake_up(three.services, {"Records": [record]}, Context(180))
    three.services.sqs.answered(record, answer)
    (message,) = [each for each in three.services.sqs.messages if each.group.endswith("#track")]
    assert 1 < (message.visible_at - now()).total_seconds() <= 2
    assert control.last_tracker(three.world.rows, ACCOUNT) == 1


def test_wake_ups_that_lead_to_each_other_leave_the_rest_to_the_schedules(three: Api) -> None:
    """Lambda stops a chain of 16."""
    queue = WakeQueue(three.services.sqs, "submit.fifo", hops=lambda: 10)
    queue(ACCOUNT, mark="1")
    assert not three.services.sqs.messages


def test_the_time_that_is_left_is_shared_among_the_accounts_to_come(three: Api) -> None:
    ends: dict[str, float] = {}
    begun = now()

    def work(run: Run) -> None:
        ends[run.account] = (run.deadline - begun).total_seconds()

    each_account(three.services.run(Context(100), timedelta(seconds=10)), list(three.services.policy.accounts), work)
    assert ends == {"aaa": pytest.approx(30, abs=1), ACCOUNT: pytest.approx(45, abs=1), "zzz": pytest.approx(90, abs=1)}


@pytest.mark.parametrize("error", [LedgerUnavailable("DynamoDB left 3 keys unread"), NotQueued("SQS refused 1 of 2")])
def test_whoever_is_on_call_reads_what_aws_did_not_do(three: Api, error: Exception) -> None:
    def work(_: Run) -> None:
        raise error

    with pytest.raises(type(error)):
        each_account(three.services.run(Context(100)), ["aaa"], work)
    (event,) = three.world.events("account_failed")
    assert (event["kind"], event["problem"]) == (type(error).__name__, str(error))


def test_an_account_whose_rows_cannot_be_read_keeps_no_other_from_being_swept(three: Api) -> None:
    three.post({"urls": pages(3)})
    three.world.intake()
    three.world.wakes.clear()
    rows = three.services.rows

    class Torn:
        def __getattr__(self, name: str) -> Any:
            return getattr(rows, name)

        def query(self, pk: str, **asked: Any) -> Any:
            if pk == "account#aaa":
                raise OSError("this partition is away")
            return rows.query(pk, **asked)

    three.services.rows = Torn()
    with pytest.raises(OSError, match="away"):
        schedules.sweep_every_account(three.services, Context(100))
    assert failed(three) == [("aaa", "OSError")]
    assert [each["account"] for each in three.world.events("account_swept")] == [ACCOUNT, "zzz"]
    assert three.world.wakes == [ACCOUNT]
    assert len(remaining.of_account(rows, ACCOUNT)) == 1


def test_a_person_takes_bans_over_by_invoking_the_function_that_compares(three: Api) -> None:
    now = three.world.clock()
    three.world.vendor.bans = {url: FakeBan(now, now, now + timedelta(days=3)) for url in pages(60)}
    invoked = CloudWatchEvent(take_over.event(ACCOUNT, days=30, actor="ana", reason="we begin"), None)
    answer = schedules.compare_or_take_over(three.services, invoked.detail, Context(600))
    assert (answer["taken"], answer["complete"]) == (60, True)
    assert three.world.states(pages(60)) == {"banned": 60}


def reports_message(api: Api, document: Any, number: int = 0) -> dict[str, Any]:
    """Put a report into the reports queue; return the message that SQS delivers."""
    body = document if isinstance(document, str) else json.dumps(document)
    group = f"message-{number}"
    api.services.sqs.send_message(MessageGroupId=group, MessageDeduplicationId=group, MessageBody=body)
    return delivered(api)


def delivered(api: Api) -> dict[str, Any]:
    record = api.services.sqs.receive()
    assert record
    return {**record, "messageAttributes": {"source": {"stringValue": "queue", "dataType": "String"}}}


def take(api: Api, *records: dict[str, Any]) -> None:
    answer = queues.take_queued_reports(api.services, {"Records": list(records)}, Context(60))
    for record in records:
        api.services.sqs.answered(record, answer)


def hidden_for(api: Api) -> list[int]:
    return [round((message.visible_at - now()).total_seconds()) for message in api.services.sqs.messages]


def test_a_report_whose_claim_another_intake_changed_comes_again_within_seconds(three: Api) -> None:
    three.services.sqs.visibility = 361
    take(three, reports_message(three, {"urls": pages(1)}))
    record = reports_message(three, {"urls": pages(1), "ban_duration": 30}, 1)
    rows = three.world.rows

    def another_intake() -> None:
        beside = World(rows=rows, clock=three.world.clock, policy=three.world.policy, sources=three.world.sources)
        beside.queue({"urls": pages(1), "ban_duration": 20})
        beside.intake()

    three.services.rows = Meanwhile(rows, "get", another_intake)
    take(three, record)
    assert hidden_for(three) == [2]
    three.services.rows = rows
    three.services.sqs.messages[0].visible_at = now()
    take(three, delivered(three))
    assert hidden_for(three) == []


def test_a_batch_that_fails_as_a_whole_comes_again_within_seconds_and_then_less_often(three: Api) -> None:
    three.services.sqs.visibility = 361

    class Away:
        def __getattr__(self, _: str) -> Any:
            raise LedgerUnavailable("DynamoDB is away")

    record = reports_message(three, {"urls": pages(1)})
    rows, three.services.rows = three.services.rows, Away()
    waits = []
    for _ in range(5):
        with pytest.raises(LedgerUnavailable):
            take(three, record)
        waits += hidden_for(three)
        three.services.sqs.messages[0].visible_at = now()
        record = delivered(three)
    assert waits == [2, 10, 60, 361, 361]
    three.services.rows = rows
    take(three, record)
    assert hidden_for(three) == []


def test_a_message_that_a_person_must_mend_comes_again_at_the_pace_of_the_queue(three: Api) -> None:
    three.services.sqs.visibility = 361
    take(three, reports_message(three, "{not a report"), reports_message(three, {"urls": pages(1)}, 1))
    assert hidden_for(three) == [361]


def test_messages_that_sqs_does_not_give_back_come_again_at_the_pace_of_the_queue(three: Api) -> None:
    record = reports_message(three, {"urls": pages(1)})
    three.services.sqs.messages[0].receipt = "of another delivery"
    three.services.deliver_soon([record])
    assert three.world.events("messages_not_given_back") == [
        {"messages": 1, "kind": "InvalidParameterValue", "problem": "refused by SQS"}
    ]


# --- sources are called back -------------------------------------------------------------------------------------


def test_reports_of_two_sources_are_named_in_groups_of_their_own(three: Api) -> None:
    names = ["desk", "Abteilung für Missbrauch #1"]
    queue = OutcomesQueue(three.services.sqs, "outcomes.fifo", emit=three.world.emit)
    for name in names:
        for _ in range(2):
            queue(name, [f"r-{number}" for number in range(1_500)], mark="task-1")
    messages = three.services.sqs.messages
    assert [len(json.loads(message.body)["reports"]) for message in messages] == [1_000, 500, 1_000, 500]
    assert [json.loads(message.body)["source"] for message in messages] == [name for name in names for _ in range(2)]
    assert len({message.group for message in messages}) == 2
    for message in messages:
        check_fifo_id(message.group)


def test_a_queue_that_takes_nothing_leaves_the_call_to_the_sweep(three: Api) -> None:
    class Away:
        def send_message(self, **_: Any) -> None:
            raise refusal("SendMessage", "slow down", code="ThrottlingException")

    OutcomesQueue(Away(), "outcomes.fifo", emit=three.world.emit)("desk", ["r-1"], mark="task-1")
    (event,) = three.world.events("call_back_left_to_sweep")
    assert (event["source"], event["reports"]) == ("desk", 1)


def test_a_source_that_is_not_configured_any_more_is_not_called(three: Api) -> None:
    body = json.dumps({"source": "gone", "reports": ["r-1"]})
    assert outcomes.call_source_back(three.services, {"Records": [{"body": body}]}, Context(110)) == {
        "batchItemFailures": []
    }


def test_an_unban_that_fails_keeps_no_report_from_being_named(three: Api) -> None:
    report = three.post({"urls": pages(1)}).json_body["report_id"]
    rows = three.services.rows
    rows.write([Put(callbacks.first(report, now() - timedelta(minutes=5)))])

    class Torn:
        def __getattr__(self, name: str) -> Any:
            return getattr(rows, name)

        def query(self, pk: str, **asked: Any) -> Any:
            if pk == "jobs":
                raise OSError("no unban today")
            return rows.query(pk, **asked)

    three.services.rows = Torn()
    with pytest.raises(OSError, match="no unban"):
        schedules.sweep_every_account(three.services, Context(100))
    assert three.world.ended == [("desk", [report])]
