"""The vendor's own SDK and our client make the same calls of the same server, and see the same answers.

If both work with the simulator, neither the client nor the simulator is only our reading of a page.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from chalicelib.domain.errors import VendorError
from chalicelib.domain.model import VendorAccount
from chalicelib.vendors.alibaba.client import CALENDAR, AlibabaExports, connect
from dev.simulators.alibaba import AlibabaSimulator
from dev.simulators.alibaba_state import Settings

ROOT = Path(__file__).parents[2]
SDK_PYTHON = ROOT / ".venv-sdk" / "bin" / "python"
TOKEN = "STS+token/=="


class Moving:
    """A clock that stands until a test moves it. Our client uses it; the SDK uses the real one."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Caller(Protocol):
    """A client of the vendor, ours or the SDK. An error comes back as ``{"error": code}``."""

    def create(self, name: str, moment: datetime) -> dict[str, Any]: ...

    def describe(self, task_id: str) -> dict[str, Any]: ...


class Ours:
    def __init__(self, simulator: AlibabaSimulator, **credentials: str) -> None:
        self.client: AlibabaExports = connect(
            VendorAccount("alibaba", "alibaba", simulator.url, credentials), clock=lambda: datetime.now(UTC)
        )

    def create(self, name: str, moment: datetime) -> dict[str, Any]:
        try:
            return {"task_id": self.client.create_export(name, moment)}
        except VendorError as exc:
            return {"error": exc.code}

    def describe(self, task_id: str) -> dict[str, Any]:
        try:
            status = self.client.describe_export(task_id)
        except VendorError as exc:
            return {"error": exc.code}
        return {"status": status.status, "download_url": status.download_url or None}


class Sdk:
    def __init__(self, process: subprocess.Popen[str], simulator: AlibabaSimulator, **credentials: str) -> None:
        self.process = process
        self.ask(do="connect", endpoint=simulator.host, **credentials)

    def ask(self, **given: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(given) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return {name: value for name, value in answer.items() if name not in ("kind", "request_id")}

    def create(self, name: str, moment: datetime) -> dict[str, Any]:
        return self.ask(do="create", task_name=name, time_point=moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))

    def describe(self, task_id: str) -> dict[str, Any]:
        return self.ask(do="describe", task_id=task_id)


@pytest.fixture(scope="module")
def sdk_process() -> Iterator[subprocess.Popen[str]]:
    if not SDK_PYTHON.exists():
        pytest.skip(
            "no official SDK: python3.11 -m venv .venv-sdk && .venv-sdk/bin/pip install -r requirements-sdk.txt"
        )
    driver = str(Path(__file__).with_name("alibaba_sdk_driver.py"))
    with subprocess.Popen([SDK_PYTHON, driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


@contextlib.contextmanager
def simulator(**settings: Any) -> Iterator[AlibabaSimulator]:
    given: dict[str, Any] = {"calls_per_second": 0, "complete_after": 60}
    with AlibabaSimulator(Settings(**(given | settings))) as started:
        yield started


@pytest.fixture(params=["ours-acs3", "ours-rpc", "sdk-acs3", "sdk-rpc"])
def who(request: pytest.FixtureRequest) -> Any:
    """Return a function that makes a client of a simulator: ours and the SDK, with both signatures."""
    name, signature = request.param.split("-")
    process = request.getfixturevalue("sdk_process") if name == "sdk" else None

    def make(server: AlibabaSimulator, **credentials: str) -> Caller:
        given = {"access_key": "testid", "secret_key": "testsecret", "signature": signature} | credentials
        return Sdk(process, server, **given) if process else Ours(server, **given)

    return make


def yesterday() -> datetime:
    return CALENDAR.start_of(CALENDAR.finished_days(datetime.now(UTC))[-1])


def test_an_export_is_created_waited_for_and_described_with_its_url(who: Any) -> None:
    clock = Moving()
    with simulator(clock=clock, complete_after=300) as server:
        client = who(server)
        # The simulator's clock runs ahead within the 15 minutes that a signature may be off.
        task_id = client.create("edgeban 任务 *~+1", yesterday())["task_id"]
        assert task_id.startswith("tu_")
        assert client.describe(task_id) == {"status": "processing", "download_url": None}
        clock.ahead = timedelta(seconds=301)
        done = client.describe(task_id)
        assert done["status"] == "complete"
        assert done["download_url"].startswith(f"{server.host}/export/{task_id}.csv?")  # without a scheme
        assert server.state.tasks[task_id].name == "edgeban 任务 *~+1"
        assert CALENDAR.start_of(server.state.tasks[task_id].day) == yesterday()


def test_temporary_keys_are_accepted_with_their_token_and_refused_without(who: Any) -> None:
    with simulator(secrets={"STS.testid": "testsecret"}, tokens={"STS.testid": TOKEN}) as server:
        assert "task_id" in who(server, access_key="STS.testid", security_token=TOKEN).create("t", yesterday())
        refused = who(server, access_key="STS.testid").create("t", yesterday())
        assert refused == {"error": "InvalidSecurityToken.Malformed"}


def test_a_wrong_secret_is_refused_by_its_signature(who: Any) -> None:
    with simulator() as server:
        assert who(server, secret_key="wrong").create("t", yesterday()) == {"error": "SignatureDoesNotMatch"}


def test_an_unknown_key_is_refused(who: Any) -> None:
    with simulator() as server:
        assert who(server, access_key="nobody").create("t", yesterday()) == {"error": "InvalidAccessKeyId.NotFound"}


def test_a_clock_that_is_off_is_refused(who: Any) -> None:
    clock = Moving()
    clock.ahead = timedelta(minutes=16)
    with simulator(clock=clock) as server:
        assert who(server).create("t", yesterday()) == {"error": "InvalidTimeStamp.Expired"}


def test_a_second_call_within_a_second_is_throttled_and_a_later_one_is_not(who: Any) -> None:
    with simulator(calls_per_second=4) as server:
        client = who(server)
        first = client.create("t", yesterday())
        assert client.create("t", yesterday()) == {"error": "Throttling.User"}
        assert "status" in client.describe(first["task_id"])  # Each call has a limit of its own.
        server.state.last.clear()
        assert "task_id" in client.create("t", yesterday())


def test_a_day_outside_the_window_is_refused(who: Any) -> None:
    with simulator() as server:
        client = who(server)
        oldest = CALENDAR.start_of(CALENDAR.finished_days(datetime.now(UTC))[0])
        assert "task_id" in client.create("t", oldest)
        assert client.create("t", oldest - timedelta(days=1)) == {"error": "InvalidParameter"}
        assert client.create("t", datetime.now(UTC) + timedelta(days=1)) == {"error": "InvalidParameter"}


def test_a_task_that_is_not_known_is_refused(who: Any) -> None:
    with simulator() as server:
        assert who(server).describe("tu_nothing") == {"error": "InvalidParameter"}


def test_an_action_that_is_gone_is_named_as_such(who: Any) -> None:
    with simulator() as server:
        server.fault("api_gone")
        assert who(server).create("t", yesterday()) == {"error": "InvalidApi.NotFound"}


def test_every_call_carries_a_nonce_of_its_own_and_the_signature_that_was_asked_for(
    who: Any, request: pytest.FixtureRequest
) -> None:
    with simulator() as server:
        client = who(server)
        for _ in range(3):
            assert "task_id" in client.create("t", yesterday())
        assert len({call["nonce"] for call in server.state.calls}) == 3
        assert {call["method"] for call in server.state.calls} == {"POST"}
        assert {call["form"] for call in server.state.calls} == {request.node.callspec.params["who"].split("-")[1]}
