"""Keys and ids that outlive a release: keys are in the customer's namespace, ids in the ledger.

And answers to a write that no simulator gives.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.errors import AccessRefused, AnswerUnknown
from chalicelib.domain.model import Action, Sent, TaskState, VendorAccount
from chalicelib.vendors.http import VendorHttp, VendorResponse
from chalicelib.vendors.workerskv.client import connect, key_of

ANSWERED = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
TASK_ID = "1768465800-0123456789abcdef0123456789abcdef"


def state(task_id: str, now: datetime) -> TaskState | None:
    credentials = {"api_token": "x" * 40, "account_id": "0" * 32, "namespace_id": "1" * 32}
    vendor = connect(VendorAccount("main", "workerskv", "https://api.example/v4", credentials), clock=lambda: now)
    ((task,),) = vendor.follow([Sent(task_id, ANSWERED, ANSWERED)])
    assert task.created_at == ANSWERED
    return task.state


def test_a_url_of_512_bytes_is_its_own_key() -> None:
    longest = "https://www.example.com/" + "a" * 488
    assert len(longest) == 512
    assert key_of(longest) == longest


def test_the_key_of_a_longer_url_is_what_sha256sum_prints() -> None:
    url = "https://www.example.com/" + "a" * 489
    assert key_of(url) == "sha256:8da3b96f07ff925f3b61ae158a5bc41c66c5bf55fe4eabf8ca83e10dceaa806b"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, TaskState.PROCESSING), (59, TaskState.PROCESSING), (60, TaskState.SUCCEEDED), (86_400, TaskState.SUCCEEDED)],
)
def test_a_task_ends_sixty_seconds_after_its_answer(seconds: int, expected: TaskState) -> None:
    assert state(TASK_ID, ANSWERED + timedelta(seconds=seconds)) is expected


def test_a_task_with_keys_that_were_not_written_has_failed_once_its_other_keys_have_settled() -> None:
    assert state(f"{TASK_ID}-failed", ANSWERED + timedelta(seconds=59)) is TaskState.PROCESSING
    assert state(f"{TASK_ID}-failed", ANSWERED + timedelta(seconds=60)) is TaskState.FAILED


@pytest.mark.parametrize("task_id", ["", "0123", f"{TASK_ID}-other", "99999999999999-0123456789abcdef0123456789abcdef"])
def test_an_id_that_is_not_ours_stays_open(task_id: str) -> None:
    assert state(task_id, ANSWERED + timedelta(days=1)) is None


# --- answers to a write ----------------------------------------------------------------------------------------------

URLS = ["https://www.example.com/1", "https://www.example.com/2"]
WRITTEN: dict[str, object] = {"success": True, "errors": [], "messages": []}


class Canned(VendorHttp):
    """A vendor that gives one answer to every call."""

    def __init__(self, status: int, document: object) -> None:
        super().__init__()
        self.answer = VendorResponse(status, {}, json.dumps(document).encode())

    def request(self, *_: object, **__: object) -> VendorResponse:
        return self.answer


def write(document: object, *, status: int = 200) -> str:
    credentials = {"api_token": "x" * 40, "account_id": "0" * 32, "namespace_id": "1" * 32}
    account = VendorAccount("main", "workerskv", "https://api.example/v4", credentials)
    vendor = connect(account, clock=lambda: ANSWERED, http=Canned(status, document))
    return vendor.create_task(Action.BAN, URLS, 7)


@pytest.mark.parametrize("result", [None, {}, {"successful_key_count": 2}, {"successful_key_count": "2"}])
def test_a_write_that_names_no_key_as_failed_is_done(result: object) -> None:
    assert not write(WRITTEN | {"result": result}).endswith("failed")


@pytest.mark.parametrize(
    "document",
    [
        WRITTEN | {"result": {"successful_key_count": 1, "unsuccessful_keys": []}},
        WRITTEN | {"result": {"unsuccessful_keys": [{"key": URLS[0]}]}},
        WRITTEN | {"result": {"unsuccessful_keys": ["https://www.example.com/of-others"]}},
        WRITTEN | {"result": None, "errors": [{"code": 10000, "message": "not all of it"}]},
    ],
)
def test_a_write_that_does_not_say_which_keys_it_wrote_may_have_written_any(document: object) -> None:
    with pytest.raises(AnswerUnknown):
        write(document)


def test_of_several_errors_the_one_that_we_know_decides() -> None:
    errors = [{"code": 19999, "message": "something"}, {"code": "10000", "message": "authentication error"}]
    with pytest.raises(AccessRefused, match="authentication"):
        write({"success": False, "errors": errors}, status=400)
