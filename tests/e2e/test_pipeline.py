"""The deployed stack, from a signed report to a URL that answers 403 at the edge."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from dev.local_aws import LocalAws
from dev.ministack import free_port
from dev.package import ROOT
from dev.stack import TOKEN, Stack


def state(stack: Stack, url: str) -> str:
    answer = stack.get("urls", url=url)
    accounts: list[dict[str, Any]] = answer.json().get("accounts", [])
    return accounts[0]["state"] if accounts else ""


def test_a_signed_report_becomes_a_ban(stack: Stack) -> None:
    url = "https://www.example.com/e2e/webhook"
    answer = stack.report([url, "https://www.example.org/not-ours"], reporter="e2e", category="phishing")
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == 1
    assert [each["url"] for each in answer.json()["rejected"]] == ["https://www.example.org/not-ours"]
    stack.until(lambda: state(stack, url) == "banned", what="the URL is banned")
    assert stack.vendor.edge_status(url) == 403
    report = stack.get(f"reports/{answer.json()['report_id']}").json()
    assert report["complete"] is True


def test_a_queued_report_becomes_a_ban_and_a_poison_message_beside_it_does_no_harm(stack: Stack) -> None:
    url = "https://www.example.com/e2e/queue"
    stack.queue("{this is no report")
    stack.queue(json.dumps({"urls": [url]}))
    stack.until(lambda: state(stack, url) == "banned", what="the URL beside the poison is banned")
    assert stack.vendor.edge_status(url) == 403


def test_a_body_that_is_no_text_arrives_byte_for_byte(stack: Stack) -> None:
    """API Gateway would decode the body as UTF-8, and no signature would match."""
    urls = [f"https://www.example.com/e2e/bytes-{number}" for number in range(2)]
    packed = gzip.compress(json.dumps({"urls": urls[:1]}).encode())
    assert stack.post(packed).status_code == 202
    damaged = json.dumps({"urls": urls[1:], "note": "?"}).encode().replace(b"?", b"\xe9\xff")
    assert stack.post(damaged, headers={"Accept": ""}).json()["accepted"] == 1
    stack.until(lambda: [state(stack, url) for url in urls] == ["banned"] * 2, what="both are banned")


def test_the_same_report_again_has_no_second_effect(stack: Stack) -> None:
    url = "https://www.example.com/e2e/again"
    first = stack.report([url], webhook_id="e2e-again").json()["report_id"]
    stack.until(lambda: state(stack, url) == "banned", what="the URL is banned")
    assert stack.report([url], webhook_id="e2e-again").json()["report_id"] == first
    assert stack.report([url + "#fragment"]).status_code == 202
    stack.tick()
    time.sleep(7)  # This is longer than the batching window.
    stack.tick()
    assert stack.vendor.stats()["doubles"] == 0


def test_an_unsigned_report_gets_an_error_in_our_shape(stack: Stack) -> None:
    answer = stack.post(b'{"urls": []}', headers={"webhook-signature": "v1,AAAA"})
    assert answer.status_code == 401
    assert answer.json()["error"].keys() == {"code", "message", "request_id"}


def test_an_operator_without_a_token_is_told_nothing(stack: Stack) -> None:
    assert stack.get("urls", token="guessed", url="https://www.example.com/").status_code == 401


def test_health_says_which_version_answers(stack: Stack) -> None:
    answer = stack.get("health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


def test_reports_are_received_by_a_function_of_their_own(stack: Stack) -> None:
    assert stack.report(["https://www.example.com/e2e/own-function"]).status_code == 202
    assert any("report_received" in line for line in stack.aws.logs("receive_report"))
    assert not any("report_received" in line for line in stack.aws.logs("api_handler"))


def test_no_secret_is_logged(stack: Stack) -> None:
    secrets = [stack.vendor.identity.secret_key, "whsec_", TOKEN]
    for function in stack.aws.stack.functions:
        logged = "\n".join(stack.aws.logs(function))
        assert not [each for each in secrets if each in logged], function


@pytest.mark.parametrize("word", ["TERM", "KILL"])
def test_nothing_stays_behind_when_the_one_who_started_it_is_killed(word: str) -> None:
    """A second local AWS starts, and its parent is killed as soon as it answers."""
    port = free_port()
    code = (
        "import os, signal, time\n"
        "from dev.local_aws import LocalAws\n"
        f"aws = LocalAws(port={port})\n"
        "aws.start()\n"
        "aws.wait()\n"
        f"os.kill(os.getpid(), signal.SIG{word})\n"
        "time.sleep(60)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=90)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and answers(port):
        time.sleep(0.1)
    assert not answers(port)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_local_aws_leaves_no_files() -> None:
    aws = LocalAws()
    aws.start()
    aws.wait()
    directory = aws.directory
    assert directory.is_dir()
    aws.stop()
    assert not directory.exists()
