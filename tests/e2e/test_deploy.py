"""``make deploy`` against the local AWS, by the AWS CLI: it names all that is missing, and then deploys."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import requests

from dev.bytecode import HERE
from dev.deploy import STACK_POLICY
from dev.local_aws import LocalAws
from dev.package import ROOT, package
from dev.preflight import Preflight, stack_state
from dev.stack import ACCOUNT, MANAGED, TOKEN

VENDORS = {
    ACCOUNT: {"vendor": "huawei", "endpoint": "https://cdn.example.invalid", "access_key": "a", "secret_key": "b"}
}
OPERATORS = {"tester": {"token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "role": "operator"}}
POLICY = {"version": 1, "accounts": {ACCOUNT: {"managed_domains": MANAGED}}}


@pytest.fixture(scope="module")
def empty() -> Iterator[LocalAws]:
    aws = LocalAws(stage="prod")
    aws.start()
    try:
        aws.wait()
        yield aws
    finally:
        aws.stop()


@pytest.fixture
def environment(empty: LocalAws, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what the AWS CLI and boto3 read, and nothing of the developer's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    given = {
        "AWS_ENDPOINT_URL": empty.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
        "RUNTIME": HERE,  # The local AWS runs functions on its own Python.
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


def missing(stage: str = "prod") -> list[str]:
    return Preflight(stage, reach_vendors=False).run().missing


def test_an_empty_account_is_told_all_that_it_lacks(environment: dict[str, str]) -> None:
    lacks = missing()
    assert [each.partition(":")[0] for each in lacks] == [
        "the secret edgeban/prod/sources",
        "the secret edgeban/prod/operators",
        "the secret edgeban/prod/vendors",
        "the policy, parameter /edgeban/prod/policy",
    ]


def test_a_missing_region_is_named(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert [each for each in missing() if "AWS_DEFAULT_REGION" in each]


def test_missing_credentials_are_named(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert [each for each in missing() if each.startswith("credentials")]


def test_an_unknown_stage_is_named(environment: dict[str, str]) -> None:
    assert [each for each in missing("production") if "'production'" in each]


def test_the_stage_of_the_local_aws_is_not_for_an_account(environment: dict[str, str]) -> None:
    assert [each for each in missing("local") if "STAGE=prod" in each]


def test_deploy_touches_nothing_while_something_is_missing(empty: LocalAws, environment: dict[str, str]) -> None:
    done = run_deploy(environment)
    assert done.returncode == 1
    assert "the secret edgeban/prod/vendors" in done.stdout
    assert empty.s3.list_buckets()["Buckets"] == []
    assert empty.cloudformation.list_stacks()["StackSummaries"] == []


def test_what_cannot_be_used_is_named_without_a_word_of_it(empty: LocalAws, environment: dict[str, str]) -> None:
    empty.configure(
        sources={"desk": {"auth": "standard-webhooks", "secrets": ["whsec_hunter2"]}},
        operators={"tester": {"token_sha256": "hunter2", "role": "operator"}},
        vendors={"other": VENDORS[ACCOUNT]},
        policy={"version": 2},
    )
    lacks = missing()
    assert len(lacks) == 3
    assert not [each for each in lacks if "hunter2" in each]
    empty.configure(policy=POLICY)
    assert [each for each in missing() if f"the account {ACCOUNT!r}, which the policy names" in each]


def test_a_configured_account_is_deployed_by_the_aws_cli(empty: LocalAws, environment: dict[str, str]) -> None:
    """The stage prod, as packaged: retained, protected, logged. The package stays as it was made."""
    empty.configure(sources={}, operators=OPERATORS, vendors=VENDORS, policy=POLICY)
    assert missing() == []
    packaged = package("prod", region="us-east-1")
    files = sorted(packaged.iterdir())
    done = run_deploy(environment)
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.split(" ")[0].isalnum())
    api = f"{empty.url}/restapis/{outputs['RestAPIId']}/api/_user_request_/v1"
    health = requests.get(f"{api}/health", timeout=60)
    assert health.status_code == 200, health.text
    table = empty.dynamodb.describe_table(TableName=outputs["TableName"])["Table"]
    assert table["DeletionProtectionEnabled"] is True
    policy = json.loads(empty.cloudformation.get_stack_policy(StackName="edgeban-prod")["StackPolicyBody"])
    assert policy == STACK_POLICY
    again = run_deploy(environment)
    assert again.returncode == 0, again.stdout + again.stderr
    assert sorted(packaged.iterdir()) == files


def test_a_stack_whose_creation_failed_is_named_with_the_remedy(empty: LocalAws, environment: dict[str, str]) -> None:
    """The name of a bucket is taken, so that CloudFormation rolls the creation back."""
    empty.s3.create_bucket(Bucket="taken")
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "taken"}}
    template = json.dumps({"Resources": {"Archive": bucket}})
    empty.cloudformation.create_stack(StackName="edgeban-dev", TemplateBody=template)
    deadline = time.monotonic() + 20
    while stack_state(empty.cloudformation, "edgeban-dev").endswith("_IN_PROGRESS") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert stack_state(empty.cloudformation, "edgeban-dev") == "ROLLBACK_COMPLETE"
    (problem,) = [each for each in missing("dev") if "ROLLBACK_COMPLETE" in each]
    assert "aws cloudformation delete-stack --stack-name edgeban-dev" in problem


def run_deploy(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, "-m", "dev.deploy", "prod"]
    return subprocess.run(
        command, cwd=ROOT, env={**own, **environment}, capture_output=True, text=True, timeout=240, check=False
    )


def test_the_makefile_deploys_by_this() -> None:
    assert "-m dev.deploy $(STAGE)" in (ROOT / "Makefile").read_text()
    assert json.loads((ROOT / ".chalice" / "config.json").read_text())["stages"].keys() >= {"prod"}
