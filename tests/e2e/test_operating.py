"""The commands of docs/operating.md run on the local stack as the page prints them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.reports.signature import sign
from dev.package import ROOT
from dev.stack import ACCOUNT, TOKEN, Stack

PAGE = (ROOT / "docs" / "operating.md").read_text()
OLD, NEW = ("whsec_" + base64.b64encode(bytes([each]) * 32).decode() for each in (7, 8))


def commands(heading: str) -> list[str]:
    """Return the bash blocks of a section, up to the next heading."""
    section = re.split(r"^#+ ", PAGE, flags=re.MULTILINE)
    (found,) = [each for each in section if each.startswith(heading + "\n")]
    return [
        re.sub(r"^ {3}", "", each, flags=re.MULTILINE) for each in re.findall(r"```bash\n(.*?)```", found, re.DOTALL)
    ]


class Shell:
    """Runs a command of the page in a directory of its own."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        self.directory = directory
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(directory),
            "STAGE": stack.aws.stage,
            "API": stack.aws.stack.api_url,
            "TOKEN": TOKEN,
            "AWS_ENDPOINT_URL": stack.aws.url,
            "AWS_DEFAULT_REGION": stack.aws.region,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def __call__(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def edit(self, heading: str, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Read a secret and put it back changed, by the two commands of a section."""
        read, write = commands(heading)
        self(read)
        document = json.loads((self.directory / name).read_text())
        change(document)
        (self.directory / name).write_text(json.dumps(document))
        self(write)


@pytest.fixture
def shell(stack: Stack, tmp_path: Path) -> Iterator[Shell]:
    """Give a shell, and configure the stack as before after it."""
    names = [f"edgeban/{stack.aws.stage}/{each}" for each in ("sources", "operators", "vendors")]
    before = {name: stack.aws.secrets.get_secret_value(SecretId=name)["SecretString"] for name in names}
    yield Shell(stack, tmp_path)
    for name, text in before.items():
        stack.aws.secrets.put_secret_value(SecretId=name, SecretString=text)


def within_a_minute(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "not in force within a minute"
        time.sleep(1)


def reported(stack: Stack, secret: str) -> int:
    body, webhook_id, now = (
        json.dumps({"urls": ["https://www.example.com/r"], "test": True}),
        str(uuid.uuid4()),
        time.time(),
    )
    headers = {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": sign(secret, webhook_id, int(now), body.encode()),
    }
    answer = stack.http.post(f"{stack.api}/reports/rotated", data=body, headers=headers, timeout=60)
    return answer.status_code


def test_every_secret_is_changed_without_a_report_or_a_question_refused(stack: Stack, shell: Shell) -> None:
    """The secrets of a source, an operator and a vendor change together: each takes up to half a minute to apply."""
    first, second = "operator-token-the-first", "operator-token-the-second"

    def source(secrets: list[str]) -> Callable[[dict[str, Any]], None]:
        return lambda document: document.update({"rotated": {"auth": "standard-webhooks", "secrets": secrets}})

    def operators(tokens: list[str]) -> Callable[[dict[str, Any]], None]:
        def change(document: dict[str, Any]) -> None:
            for name in [each for each in document if each.startswith("anna")]:
                del document[name]
            for token in tokens:
                digest = hashlib.sha256(token.encode()).hexdigest()
                document[f"anna-{digest[:4]}"] = {"token_sha256": digest, "role": "reader"}

        return change

    def asked(token: str) -> int:
        return stack.get("tasks", token=token).status_code

    key = VendorKey(stack)
    key.dies()
    shell.edit("A source's secret", "sources.json", source([OLD]))
    shell.edit("An operator's token", "operators.json", operators([first]))
    within_a_minute(lambda: reported(stack, OLD) == 202 and asked(first) == 200)
    key.is_refused()
    key.is_replaced()

    shell.edit("A source's secret", "sources.json", source([NEW, OLD]))
    shell.edit("An operator's token", "operators.json", operators([first, second]))
    deadline = time.monotonic() + 60
    while reported(stack, NEW) != 202 or asked(second) != 200:
        assert reported(stack, OLD) == 202, "the old secret is refused while the new one is not known"
        assert asked(first) == 200
        assert time.monotonic() < deadline
        time.sleep(1)
    assert (reported(stack, OLD), asked(first)) == (202, 200)

    shell.edit("A source's secret", "sources.json", source([NEW]))
    shell.edit("An operator's token", "operators.json", operators([second]))
    within_a_minute(lambda: (reported(stack, OLD), asked(first)) == (401, 401))
    assert (reported(stack, NEW), asked(second)) == (202, 200)
    key.is_used(resume=lambda: shell(commands("Pause and resume")[1]))


class VendorKey:
    """A key that the vendor no longer knows, and the key that replaces it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._name = f"edgeban/{stack.aws.stage}/vendors"
        self._good = json.loads(stack.aws.secrets.get_secret_value(SecretId=self._name)["SecretString"])
        self._url = "https://www.example.com/e2e/operating-key"
        self._changed = 0.0

    def _put(self, document: dict[str, Any]) -> None:
        self._stack.aws.secrets.put_secret_value(SecretId=self._name, SecretString=json.dumps(document))
        self._changed = time.monotonic()

    def _in_force(self) -> None:
        time.sleep(max(0.0, self._changed + 31 - time.monotonic()))

    def dies(self) -> None:
        self._put({ACCOUNT: {**self._good[ACCOUNT], "access_key": "DEADKEY"}})

    def is_refused(self) -> None:
        """Check that the ban waits and submission is blocked: the key is not tried again and again."""
        self._in_force()
        assert self._stack.report([self._url]).status_code == 202
        self._stack.until(lambda: said(self._stack, "submit_tasks", "access_refused"), what="the key is refused")

    def is_replaced(self) -> None:
        self._put(self._good)

    def is_used(self, *, resume: Callable[[], str]) -> None:
        """Resume only when the new key is known everywhere: vendors lock an account after some refusals."""
        self._in_force()
        resume()
        self._stack.until(lambda: self._stack.vendor.edge_status(self._url) == 403, seconds=90, what="it is banned")


def said(stack: Stack, function: str, words: str) -> bool:
    return any(words in line for line in stack.aws.logs(function))


def test_a_pause_holds_bans_back_and_a_resume_lets_them_go(stack: Stack, shell: Shell) -> None:
    pause, resume = commands("Pause and resume")
    url = "https://www.example.com/e2e/operating-pause"
    assert json.loads(shell(pause))["paused"] is True
    assert stack.report([url]).status_code == 202
    stack.until(lambda: stack.get("urls", url=url).status_code == 200, what="the report is taken meanwhile")
    time.sleep(7)  # This is longer than the batching window.
    stack.tick()
    assert stack.vendor.edge_status(url) == 200
    assert json.loads(shell(resume))["paused"] is False
    stack.until(lambda: stack.vendor.edge_status(url) == 403, what="it is banned after all")


def test_a_source_gone_wrong_is_previewed_and_undone(stack: Stack, shell: Shell) -> None:
    preview, undo = (each.replace('"desk"', '"queue-demo"') for each in commands("A source gone wrong"))
    url = "https://www.example.com/e2e/operating-wrong"
    stack.queue(json.dumps({"urls": [url]}))
    stack.until(lambda: stack.vendor.edge_status(url) == 403, what="it is banned")
    assert url in shell(preview)
    assert stack.vendor.edge_status(url) == 403
    assert "unban_id" in shell(undo)
    stack.until(lambda: stack.vendor.edge_status(url) == 200, what="it is unbanned")


def test_the_commands_of_the_first_deployment_make_what_the_preflight_looks_for(stack: Stack, shell: Shell) -> None:
    """They run for a stage of their own. The operators' document takes the token that they make."""
    secrets, token, policy = commands("First deployment")
    for name in ("sources", "operators", "vendors", "policy"):
        (shell.directory / f"{name}.json").write_text("{}")
    shell("STAGE=first; " + secrets)
    shell("STAGE=first; " + policy)
    made = stack.aws.secrets.list_secrets()["SecretList"]
    assert {f"edgeban/first/{each}" for each in ("sources", "operators", "vendors")} <= {each["Name"] for each in made}
    plain, digest = shell(token).split()
    assert hashlib.sha256(plain.encode()).hexdigest() == digest
