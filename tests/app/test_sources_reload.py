"""Sources change without a deployment: a new one is known within a minute, and a wrong document changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.aws.documents import MAX_AGE, UNREAD_FOR, Cached, emit_unread, policy_text
from chalicelib.config.fields import load
from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.policy.model import Policy
from dev.fakes.api import BEARER, SOURCES, Api
from dev.fakes.limits import refusal
from dev.fakes.objects import MemoryObjects
from dev.fakes.world import POLICY, pages
from dev.package import ROOT


@dataclass
class Secret:
    """A secret, with a clock to turn."""

    text: str = json.dumps(SOURCES)
    seconds: float = 0
    reads: int = 0
    error: Exception | None = None
    parsed: list[str] = field(default_factory=list)

    def read(self) -> tuple[str, Any]:
        self.reads += 1
        if self.error:
            raise self.error
        return self.text, lambda: self._parse(self.text)

    def _parse(self, text: str) -> Any:
        self.parsed.append(text)
        return parse_sources(load("sources", text))


@pytest.fixture
def secret(api: Api) -> Secret:
    made = Secret()
    api.services._sources = Cached(
        made.read,
        on_error=partial(emit_unread, api.services.emit, "sources_secret"),
        clock=lambda: made.seconds,
        spread=lambda: 0.0,
    )
    return made


def report_as(api: Api, source: str) -> int:
    body = json.dumps({"urls": pages(1)}).encode()
    answer = api.post(body, source=source, headers={"Authorization": f"Bearer {BEARER}"})
    return int(answer.status_code)


def test_a_new_source_is_known_within_a_minute_and_a_removed_one_forgotten(api: Api, secret: Secret) -> None:
    assert report_as(api, "new") == 401
    secret.text = json.dumps({"new": {"auth": "bearer", "secrets": [BEARER]}})
    secret.seconds += MAX_AGE - 1
    assert report_as(api, "new") == 401
    assert report_as(api, "bearer") == 202
    secret.seconds += 1
    assert report_as(api, "new") == 202
    assert report_as(api, "bearer") == 401
    assert MAX_AGE <= 60


def test_the_secret_is_read_once_in_half_a_minute_and_parsed_only_when_it_changed(api: Api, secret: Secret) -> None:
    for _ in range(10):
        report_as(api, "bearer")
    assert secret.reads == 1
    secret.seconds += MAX_AGE
    report_as(api, "bearer")
    assert secret.reads == 2
    assert len(secret.parsed) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{ not json, secret-of-somebody }", "sources: it is not JSON (line 1)"),
        (
            '{"desk": {"auth": "basic", "secrets": ["secret-of-somebody"]}}',
            'sources: desk.auth is a string: write "bearer"',
        ),
        ('{"desk": {"auth": "bearer", "secrets": ["secret-of-s"]}}', "sources: desk.secrets[0]: the secret"),
        (
            '{"desk": {"auth": "none", "colour": "secret-of-somebody"}}',
            "sources: desk.colour is not a field: known are",
        ),
    ],
)
def test_a_wrong_document_is_told_and_the_last_good_one_stays(
    api: Api, secret: Secret, text: str, problem: str
) -> None:
    assert report_as(api, "bearer") == 202
    secret.text = text
    secret.seconds += MAX_AGE
    assert report_as(api, "bearer") == 202
    (event,) = api.world.events("configuration_refused")
    assert event["kind"] == "sources_secret"
    assert problem in event["problem"]
    assert "secret-of-s" not in json.dumps(api.world.emitted)
    secret.text = json.dumps({"new": {"auth": "bearer", "secrets": [BEARER]}})
    secret.seconds += MAX_AGE
    assert report_as(api, "new") == 202


def test_a_secret_that_cannot_be_read_leaves_the_last_good_one(api: Api, secret: Secret) -> None:
    assert report_as(api, "bearer") == 202
    secret.error = ConnectionError("Secrets Manager is away")
    secret.seconds += MAX_AGE
    assert report_as(api, "bearer") == 202
    assert api.world.events("configuration_refused") == [], "nobody changed it: the next read may succeed"
    assert api.world.events("configuration_unread")[0]["problem"] == "ConnectionError"


def test_a_secret_that_stays_unread_is_a_persons_to_mend(api: Api, secret: Secret) -> None:
    assert report_as(api, "bearer") == 202
    secret.error = ConnectionError("the right to read it is gone")
    secret.seconds += 7200  # The process was idle and frozen until now.
    report_as(api, "bearer")
    assert api.world.events("configuration_refused") == []
    secret.seconds += UNREAD_FOR
    assert report_as(api, "bearer") == 202
    (event,) = api.world.events("configuration_refused")
    assert event["problem"] == "not read for 10 minutes: ConnectionError"
    secret.error = None
    secret.seconds += MAX_AGE
    report_as(api, "bearer")
    secret.error = ConnectionError("away for a moment")
    secret.seconds += MAX_AGE
    report_as(api, "bearer")
    assert len(api.world.events("configuration_refused")) == 1


def test_documents_grow_old_while_lambda_freezes_the_process() -> None:
    """Lambda stops the monotonic clock of a frozen process: by it, a revoked token would live for too long."""
    script = """
import time
time.monotonic = lambda: 1000.0
from chalicelib.aws.documents import Cached
texts = iter(["before", "after"])
def read():
    text = next(texts)
    return text, lambda: text
document = Cached(read, on_error=print, max_age=0.05)
assert document.get() == document.get() == "before"
time.sleep(0.06)
assert document.get() == "after"
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_wall_clock_that_is_set_back_makes_a_document_no_younger(secret: Secret, api: Api) -> None:
    assert report_as(api, "bearer") == 202
    secret.seconds -= 3600
    report_as(api, "bearer")
    assert secret.reads == 2


def test_without_any_good_document_the_answer_is_a_500_that_tells_nothing_of_it(api: Api, secret: Secret) -> None:
    secret.text = '{"desk": {"auth": "basic"}}'
    answer = api.post({"urls": pages(1)})
    assert answer.status_code == 500
    assert "misconfigured" in answer.json_body["error"]["message"]
    assert "basic" not in answer.body.decode()


def test_a_policy_in_an_object_is_used_anew_when_the_object_is_written_over(api: Api) -> None:
    shelf, seconds = MemoryObjects(), [0.0]
    api.services.objects = shelf
    shelf.objects["policy/policy.json"] = json.dumps(POLICY).encode()

    def read() -> tuple[str, Callable[[], Policy]]:
        text = policy_text('{"object": "policy/policy.json"}', lambda: shelf)
        return text, lambda: parse_policy(load("policy", text))

    policy = api.services._policy = Cached(
        read,
        on_error=partial(emit_unread, api.services.emit, "policy"),
        clock=lambda: seconds[0],
        spread=lambda: 0.0,
    )
    first = policy.get()
    assert not first.dry_run
    seconds[0] += MAX_AGE
    assert policy.get() is first
    shelf.objects["policy/policy.json"] = json.dumps({**POLICY, "dry_run": True}).encode()
    assert policy.get() is first
    seconds[0] += MAX_AGE
    assert policy.get().dry_run
    for wrong in (b"\xff", b"{"):
        shelf.objects["policy/policy.json"] = wrong
        seconds[0] += MAX_AGE
        assert policy.get().dry_run
    del shelf.objects["policy/policy.json"]
    seconds[0] += MAX_AGE
    assert policy.get().dry_run
    assert [each["kind"] for each in api.world.events("configuration_refused")] == ["policy"] * 3


@pytest.mark.parametrize("code", ["AccessDenied", "SlowDown"])
def test_a_policy_object_that_is_not_there_is_named_also_to_a_function_that_may_not_list_the_bucket(code: str) -> None:
    """S3 answers AccessDenied to a function that may not list: that would look like a right that was taken away."""

    class Denied(MemoryObjects):
        def get(self, key: str) -> bytes | None:
            raise refusal("GetObject", "no", code=code)

    expected = ConfigurationError if code == "AccessDenied" else ClientError
    with pytest.raises(expected, match="is not there" if code == "AccessDenied" else code):
        policy_text('{"object": "policy/policy.json"}', Denied)


def test_a_callback_needs_a_public_https_url_and_a_secret_of_its_own() -> None:
    good = {"auth": "none", "callback_url": "https://hooks.example.org/x", "callback_secret": "whsec_" + "c2VjcmV0" * 5}
    assert parse_sources({"desk": good})["desk"].callback_url
    for url in (
        "http://hooks.example.org/x",
        "https://hooks.example.org:8443/x",
        "https://u:p@hooks.example.org/",
        "https:///x",
        "https://[x",
        "hooks.example.org",
        "https://hooks.example.org:port/",
    ):
        with pytest.raises(Exception, match=r"sources: desk\.callback_url is a URL that is not called: write https://"):
            parse_sources({"desk": {**good, "callback_url": url}})
    with pytest.raises(Exception, match=r"sources: desk\.callback_secret: "):
        parse_sources({"desk": {**good, "callback_secret": "short"}})


def test_processes_that_began_together_do_not_read_together() -> None:
    """Parameter Store answers 40 reads a second, even if a thousand processes start at once."""
    seconds = [1_000.0]
    reads: list[int] = []

    def cached(process: int) -> Cached[int]:
        def read() -> tuple[str, Any]:
            reads.append(process)
            return "text", lambda: process

        return Cached(read, on_error=print, clock=lambda: seconds[0], spread=lambda: process / 10)

    processes = [cached(process) for process in range(10)]
    for each in processes:
        each.get()
    read_again: list[int] = []
    for _ in range(int(MAX_AGE)):
        seconds[0] += 1
        reads.clear()
        for each in processes:
            each.get()
        read_again.append(len(reads))
    assert max(read_again) <= 2
    assert sum(read_again) == 10, "each once within the age"
