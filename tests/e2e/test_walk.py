"""The commands of docs/operating.md lead from an empty account to a removed stack, run as the page prints them.

Each command runs here, or in another test that is named, or cannot run on a local AWS for a reason that is named. A
command that is in none of the three lists fails the first test.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from dev.bytecode import HERE
from dev.local_aws import LocalAws
from dev.package import ROOT
from dev.simulators.huawei import HuaweiSimulator
from dev.stack import ACCOUNT, MANAGED, TOKEN

PAGE = (ROOT / "docs" / "operating.md").read_text()

HERE_IN_ORDER = (
    'aws secretsmanager create-secret --name "edgeban/$STAGE/sources"',
    'python -c "import hashlib, secrets;',
    'aws ssm put-parameter --name "/edgeban/$STAGE/policy"',
    "make preflight STAGE=prod",
    "make deploy STAGE=prod ALARM_MAIL=",
    "make take-over STAGE=prod ACCOUNT=huawei-main",
    "make redrive STAGE=prod DRY=1",
    "make redrive STAGE=prod",
    "aws dynamodb delete-item",
    'echo \'{"version"',
    "aws cloudformation delete-stack",
)
"""How the commands begin that are run here, in the order of the walk."""

ELSEWHERE = {
    'aws secretsmanager get-secret-value --secret-id "edgeban/$STAGE/sources"': "test_operating.py",
    'aws secretsmanager put-secret-value --secret-id "edgeban/$STAGE/sources"': "test_operating.py",
    'aws secretsmanager get-secret-value --secret-id "edgeban/$STAGE/operators"': "test_operating.py",
    'aws secretsmanager put-secret-value --secret-id "edgeban/$STAGE/operators"': "test_operating.py",
    'curl -sS -X POST "$API/v1/pause"': "test_operating.py",
    'curl -sS -X POST "$API/v1/resume"': "test_operating.py",
    'curl -sS -X POST "$API/v1/unbans"': "test_operating.py",
}
"""How other commands begin, and the file of the end-to-end test that runs them."""

NOWHERE = {
    "aws dynamodb restore-table-to-point-in-time": "the local AWS keeps no past of a table to restore",
    "make deploy STAGE=prod": "it is the deployment of the walk, from a later version",
    "make deploy STAGE=dev": "it is the deployment of the walk, in another account or region",
    "make deploy HOLD_MAIL=": "it is the deployment of the walk, with a parameter more",
}
"""How the commands begin that no local AWS can run, and why."""


def printed() -> list[str]:
    """Return the commands that the page prints, in blocks and in the lines of its text."""
    blocks = [
        re.sub(r"^ {0,3}(\$ )?", "", block, flags=re.MULTILINE)
        for block in re.findall(r"^ *```(?:bash|console)\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    ]
    inline = re.findall(r"`((?:make|aws|curl) [^`\n]*(?:[A-Z]=|--)[^`\n]*)`", PAGE)
    return [*blocks, *inline]


def command(beginning: str) -> str:
    """Return the command of the page that begins so, the shortest of several."""
    return min((each for each in printed() if each.startswith(beginning)), key=len)


def test_every_command_of_the_page_is_run_or_cannot_run_for_a_reason() -> None:
    for listed in (*HERE_IN_ORDER, *ELSEWHERE, *NOWHERE):
        assert [each for each in printed() if each.startswith(listed)], f"the page has no such command: {listed}"
    known = (*HERE_IN_ORDER, *ELSEWHERE, *NOWHERE)
    assert [each for each in printed() if not each.startswith(known)] == []
    for file in ELSEWHERE.values():
        assert (Path(__file__).parent / file).exists()


class Walk:
    """An empty account, and a shell in which the page is followed."""

    def __init__(self, aws: LocalAws, vendor: HuaweiSimulator, directory: Path) -> None:
        self.aws, self.vendor, self.directory = aws, vendor, directory
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.environment = {
            **own,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "STAGE": "prod",
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_DEFAULT_REGION": aws.region,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "RUNTIME": HERE,  # The local AWS runs functions on its own Python.
        }

    def run(self, beginning: str) -> str:
        """Run a command as the page prints it. ``make`` uses the environments that are there."""
        make = f'make() {{ command make --no-print-directory -C "{ROOT}" -o .venv/.ready -o .venv-aws/.ready "$@"; }}\n'
        done = subprocess.run(
            ["bash", "-euc", make + command(beginning)],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
        assert done.returncode == 0, f"{command(beginning)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    aws = LocalAws(stage="prod")
    with HuaweiSimulator(task_seconds=1) as vendor:
        aws.start()
        try:
            aws.wait()
            yield Walk(aws, vendor, tmp_path)
        finally:
            aws.stop()


def test_the_page_leads_from_an_empty_account_to_a_removed_stack(walk: Walk) -> None:
    steps = iter(HERE_IN_ORDER)
    documents = {
        "sources": {"queue-demo": {"auth": "none", "format": "native"}},
        "operators": {"tester": {"token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "role": "operator"}},
        "vendors": {ACCOUNT: {"vendor": "huawei", "endpoint": walk.vendor.url, **walk.vendor.credentials}},
        "policy": {"version": 1, "accounts": {ACCOUNT: {"managed_domains": MANAGED}}},
    }
    for name, document in documents.items():
        (walk.directory / f"{name}.json").write_text(json.dumps(document))
    walk.run(next(steps))  # the three secrets
    plain, digest = walk.run(next(steps)).split()
    assert hashlib.sha256(plain.encode()).hexdigest() == digest
    walk.run(next(steps))  # the policy
    walk.run(next(steps))  # the preflight
    outputs = dict(
        line.split(maxsplit=1) for line in walk.run(next(steps)).splitlines() if line.split(" ")[0].isalnum()
    )
    api = f"{walk.aws.url}/restapis/{outputs['RestAPIId']}/api/_user_request_"
    assert requests.get(f"{api}/v1/health", timeout=60).status_code == 200
    walk.environment |= {"API": api, "TABLE": outputs["TableName"]}
    assert json.loads(walk.run(next(steps)).splitlines()[-1])["complete"] is True  # taking over
    walk.aws.sqs.send_message(QueueUrl=outputs["ReportsDeadLettersUrl"], MessageBody='{"urls": ["https://a.example/"]}')
    assert "0 moved, 1 left" in walk.run(next(steps))
    assert "1 moved, 0 left" in walk.run(next(steps))
    walk.run(next(steps))  # the seal key
    invoked = walk.run(next(steps))
    assert "FunctionError" not in invoked
    assert ACCOUNT in invoked, "the function's answer is shown"
    walk.run(next(steps))  # removing
    states = [each["StackStatus"] for each in walk.aws.cloudformation.list_stacks()["StackSummaries"]]
    assert states == ["DELETE_COMPLETE"]
    assert outputs["TableName"] in walk.aws.dynamodb.list_tables()["TableNames"], "the ledger stays, by intent"
    assert list(steps) == []
