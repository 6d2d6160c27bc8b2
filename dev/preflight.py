"""Check that a deployment has all that it needs: ``python -m dev.preflight [stage]`` names all that is missing.

It only reads. The parsers of the functions check the secrets and the policy; no content of them is shown.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.config.fields import load
from chalicelib.config.operators import parse as parse_operators
from chalicelib.config.policy import object_key
from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import ConfigurationError
from chalicelib.vendors.registry import parse_accounts
from dev.package import ROOT, PackagingError, package, slow_start

UNRESERVED = 100
"""Concurrent executions of an account's limit that Lambda keeps unreserved."""

NOT_CREATED = ("", "REVIEW_IN_PROGRESS")
"""States in which the next deployment creates the stack. A change set that nobody executed leaves the second."""

REMEDIES = {
    "CREATE_FAILED": "delete-stack",
    "ROLLBACK_COMPLETE": "delete-stack",
    "ROLLBACK_FAILED": "delete-stack",
    "DELETE_FAILED": "delete-stack",
    "UPDATE_FAILED": "rollback-stack",
    "UPDATE_ROLLBACK_FAILED": "continue-update-rollback",
}
"""State in which CloudFormation refuses an update → the command of ``aws cloudformation`` that ends it."""

SECRETS = {"sources": parse_sources, "operators": parse_operators, "vendors": parse_accounts}
AWS_CLI = Path(sys.executable).with_name("aws")


@dataclass
class Found:
    """The result of a preflight: what is missing, and notes that stop no deployment."""

    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    template: dict[str, Any] = field(default_factory=dict)
    packaged: Path = Path()


class Preflight:
    """The checks of one stage. Endpoint, region and credentials are the environment's, as for the AWS CLI."""

    def __init__(self, stage: str, *, reach_vendors: bool = True) -> None:
        self.stage = stage
        self._reach_vendors = reach_vendors
        self._session = boto3.Session()
        self._found = Found()
        self._documents: dict[str, Any] = {}

    def run(self) -> Found:
        """Check everything. A check that depends on something missing is skipped until that is there."""
        self._tools_and_package()
        if not self._session.region_name:
            self._missing("a region: set AWS_DEFAULT_REGION, or one in the profile (aws configure)")
        elif self._credentials():
            self._stack()
            self._secrets()
            self._policy()
            self._concurrency()
        if self._reach_vendors:
            self._vendors()
        return self._found

    def _missing(self, what: str) -> None:
        self._found.missing.append(what)

    def _client(self, service: str) -> Any:
        config = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 3})
        return self._session.client(service, config=config)  # type: ignore[call-overload]

    # --- on this machine --------------------------------------------------------------------------------------

    def _tools_and_package(self) -> None:
        if not AWS_CLI.exists():
            self._missing(f"the AWS CLI at {AWS_CLI}: run `make .venv/.ready`")
        if self.stage == "local":
            self._missing("a stage of its own, such as STAGE=prod: local is for the local AWS")
        stages = json.loads((ROOT / ".chalice" / "config.json").read_text())["stages"]
        if self.stage not in stages:
            self._missing(f"the stage {self.stage!r} in .chalice/config.json; known are {', '.join(stages)}")
            return
        try:
            self._found.packaged = package(self.stage, region=self._session.region_name or "us-east-1")
        except PackagingError as error:
            self._missing(f"a package: {error}")
            return
        if note := slow_start(self._found.packaged):
            self._found.notes.append(note)
        self._found.template = json.loads((self._found.packaged / "sam.json").read_text())

    def _functions(self) -> Iterator[Mapping[str, Any]]:
        for resource in self._found.template.get("Resources", {}).values():
            if resource["Type"] == "AWS::Serverless::Function":
                yield resource["Properties"]

    # --- in the account ----------------------------------------------------------------------------------------

    def _credentials(self) -> bool:
        try:
            who = self._client("sts").get_caller_identity()
        except (BotoCoreError, ClientError) as error:
            self._missing(f"credentials that AWS accepts: {_said(error)}")
            return False
        self._found.notes.append(f"account {who['Account']}, region {self._session.region_name}, as {who['Arn']}")
        return True

    def _stack(self) -> None:
        """Note a stack whose state stops updates, with the remedy."""
        stack = f"edgeban-{self.stage}"
        try:
            state = stack_state(self._client("cloudformation"), stack)
        except (BotoCoreError, ClientError) as error:
            self._missing(f"the right to read the stack {stack}: {_said(error)}")
            return
        if problem := stack_problem(stack, state):
            self._missing(problem)
        elif state not in NOT_CREATED:
            self._found.notes.append(f"the stack {stack} is {state}")

    def _secrets(self) -> None:
        for name, parse in SECRETS.items():
            secret_id = f"edgeban/{self.stage}/{name}"
            try:
                text = self._client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"]
            except (BotoCoreError, ClientError) as error:
                self._missing(f"the secret {secret_id}: {_said(error)} (docs/operating.md says what stands in it)")
                continue
            try:
                self._documents[name] = parse(load(name, text))
            except ConfigurationError as error:
                self._missing(f"a usable secret {secret_id}: {error}")
                continue
            if not self._documents[name]:
                self._found.notes.append(f"the secret {secret_id} is empty")

    def _policy(self) -> None:
        name = f"/edgeban/{self.stage}/policy"
        try:
            text = self._client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        except (BotoCoreError, ClientError) as error:
            self._missing(f"the policy, parameter {name}: {_said(error)} (docs/policy.md)")
            return
        try:
            document = load("policy", text)
            key = object_key(document)
            policy = parse_policy(load("policy", self._policy_object(key)) if key else document)
        except ConfigurationError as error:
            self._missing(f"a usable policy in the parameter {name}: {error}")
            return
        accounts = self._documents.get("vendors", policy.accounts)
        for account in policy.accounts:
            if account not in accounts:
                self._missing(f"the account {account!r}, which the policy names, in edgeban/{self.stage}/vendors")

    def _policy_object(self, key: str) -> str:
        """Read the object that the parameter points to. Raises ConfigurationError."""
        try:
            stack = self._client("cloudformation").describe_stacks(StackName=f"edgeban-{self.stage}")["Stacks"][0]
            bucket = next(output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"] == "BucketName")
            return str(self._client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())
        except (BotoCoreError, ClientError, StopIteration, KeyError) as error:
            raise ConfigurationError(
                f"it points to the object {key!r}, which cannot be read ({_said(error)}); for a first deployment write"
                " a short policy into the parameter itself"
            ) from error

    def _concurrency(self) -> None:
        reserved = sum(function.get("ReservedConcurrentExecutions", 0) for function in self._functions())
        try:
            limits = self._client("lambda").get_account_settings()["AccountLimit"]
        except (BotoCoreError, ClientError) as error:
            self._missing(f"the right to read Lambda's limits: {_said(error)}")
            return
        free = limits["UnreservedConcurrentExecutions"] + self._reserved_already()
        if free - reserved < UNRESERVED:
            self._missing(
                f"concurrent executions: {reserved} are to be reserved and {UNRESERVED} must stay free, of {free}; ask"
                " for more in Service Quotas (Lambda, Concurrent executions)"
            )

    def _reserved_already(self) -> int:
        reserved = 0
        for function in self._functions():
            name = function["FunctionName"]["Fn::Sub"].replace("${Stage}", self.stage)
            try:
                answer = self._client("lambda").get_function_concurrency(FunctionName=name)
            except ClientError:
                continue  # it is not deployed yet
            reserved += answer.get("ReservedConcurrentExecutions", 0)
        return reserved

    # --- beyond ------------------------------------------------------------------------------------------------

    def _vendors(self) -> None:
        """Note vendors that this machine does not reach. Lambda may reach them all the same."""
        for account in (self._documents.get("vendors") or {}).values():
            place = urlsplit(account.endpoint)
            port = place.port or (443 if place.scheme == "https" else 80)
            try:
                socket.create_connection((place.hostname or "", port), timeout=5).close()
            except OSError as error:
                self._found.notes.append(f"{account.name}: {place.hostname}:{port} is not reached from here ({error})")


def stack_state(client: Any, stack: str) -> str:
    """Return the state of a stack, or "" if there is none. Raises ClientError."""
    try:
        return str(client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])
    except ClientError as error:
        if "does not exist" in str(error):
            return ""
        raise


def stack_problem(stack: str, state: str) -> str:
    """Say why CloudFormation would not update a stack in this state, with the remedy; "" if it would."""
    why = f"a stack that can be updated: {stack} is {state}"
    events = f"`aws cloudformation describe-stack-events --stack-name {stack}`"
    remedy = REMEDIES.get(state)
    if remedy == "delete-stack":
        return (
            f"{why}. See why in {events}; if it has never been in use, `aws cloudformation delete-stack --stack-name"
            f" {stack}`, then deploy again"
        )
    if remedy:
        return f"{why}. See why in {events}, mend that, then `aws cloudformation {remedy} --stack-name {stack}`"
    if state.endswith("_IN_PROGRESS") and state not in NOT_CREATED:
        return f"{why}; wait until that has ended"
    return ""


def _said(error: Exception) -> str:
    if isinstance(error, ClientError):
        return str(error.response["Error"].get("Code", "refused"))
    return f"{type(error).__name__}: {error}"[:200]


def in_words(stage: str, found: Found) -> str:
    """Return the findings in words."""
    lines = [f"  note: {note}" for note in found.notes]
    if found.missing:
        lines += [f"stage {stage} cannot be deployed; missing:", *(f"  - {problem}" for problem in found.missing)]
    else:
        lines.append(f"stage {stage} can be deployed")
    return "\n".join(lines)


def main() -> int:
    stage = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("STAGE", "prod")
    found = Preflight(stage).run()
    sys.stdout.write(in_words(stage, found) + "\n")
    return 1 if found.missing else 0


if __name__ == "__main__":
    sys.exit(main())
