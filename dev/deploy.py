"""Deploy a stage to AWS: ``python -m dev.deploy [stage]``. Nothing is touched before the preflight has passed.

Options come from the environment: ALARM_MAIL, HOLD_MAIL, ARCHIVE_LOCK_DAYS, TRACING (Active or PassThrough),
DEPLOY_BUCKET.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.exceptions import ClientError

from dev.preflight import AWS_CLI, NOT_CREATED, Found, Preflight, in_words, stack_state

PROTECTED = ("Ledger", "Archive", "Intake")
"""Resources with data. ``UpdateReplacePolicy: Retain`` alone lets an update replace one by a new, empty one."""

STACK_POLICY: dict[str, list[dict[str, Any]]] = {
    "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["Update:Replace", "Update:Delete"],
            "Resource": [f"LogicalResourceId/{name}" for name in PROTECTED],
        },
    ]
}


OPTIONS = {
    "AlarmMail": "ALARM_MAIL",
    "HoldMail": "HOLD_MAIL",
    "ArchiveLockDays": "ARCHIVE_LOCK_DAYS",
    "Tracing": "TRACING",
}
"""Parameters of the template that the environment sets, and the variable of each. One that is unset stays as it was."""


class DeploymentError(Exception):
    """A step of the deployment failed; the AWS CLI has said why."""


def deploy(stage: str, found: Found) -> dict[str, str]:
    """Upload the package and bring the stack to its template; return the stack's outputs.

    A stack is created with its ledger unprotected, because CloudFormation could not roll back a failed creation
    otherwise. The second step, which every later deployment is too, protects it. Raises DeploymentError.
    """
    session = boto3.Session()
    bucket = _bucket(session)
    stack = f"edgeban-{stage}"
    # Beside the package, which stays as it was made.
    template = found.packaged.with_name(f"deployed-{found.packaged.name}.json")
    place = ["--s3-bucket", bucket, "--s3-prefix", stack]
    _aws(
        "cloudformation",
        "package",
        "--template-file",
        str(found.packaged / "sam.json"),
        *place,
        "--output-template-file",
        str(template),
        "--use-json",
    )
    parameters = {"Stage": stage, "ApiLogging": _api_logging(session, stack)}
    for name, variable in OPTIONS.items():
        if os.environ.get(variable):
            parameters[name] = os.environ[variable]
    cloudformation = session.client("cloudformation")

    def bring(protection: str) -> None:
        overrides = {**parameters, "LedgerProtection": protection}
        _aws(
            *("cloudformation", "deploy", "--template-file", str(template), "--stack-name", stack, *place),
            *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--no-fail-on-empty-changeset"),
            *("--parameter-overrides", *(f"{name}={value}" for name, value in overrides.items())),
        )

    if stack_state(cloudformation, stack) in NOT_CREATED:
        bring("off")
    cloudformation.set_stack_policy(StackName=stack, StackPolicyBody=json.dumps(STACK_POLICY))
    bring("on")
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}


def _bucket(session: boto3.Session) -> str:
    """Return the bucket that packages are uploaded to; made if it is not there. A new bucket is private by itself."""
    account = session.client("sts").get_caller_identity()["Account"]
    name = os.environ.get("DEPLOY_BUCKET") or f"edgeban-deploy-{account}-{session.region_name}"
    try:
        session.client("s3").head_bucket(Bucket=name)
    except ClientError:
        _aws("s3", "mb", f"s3://{name}")
    return name


def _api_logging(session: boto3.Session, stack: str) -> str:
    """Return whether the stack makes API Gateway's role for logs, or keeps one that others made in this region."""
    role: Any = session.client("apigateway").get_account().get("cloudwatchRoleArn") or ""
    return "make" if not role or f"/{stack}-ApiLogRole" in role else "keep"


def _aws(*arguments: str) -> None:
    done = subprocess.run([str(AWS_CLI), *arguments], check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise DeploymentError(f"aws {' '.join(arguments[:2])} ended with {done.returncode}")


def main(arguments: Sequence[str]) -> int:
    stage = arguments[0] if arguments else "prod"
    found = Preflight(stage).run()
    sys.stdout.write(in_words(stage, found) + "\n")
    sys.stdout.flush()
    if found.missing:
        return 1
    try:
        outputs = deploy(stage, found)
    except DeploymentError as error:
        sys.stderr.write(f"make deploy: {error}\n")
        return 2
    for name, value in sorted(outputs.items()):
        sys.stdout.write(f"{name:24} {value}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
