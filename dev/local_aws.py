"""A local AWS with the packaged app deployed in it: MiniStack, in a process and a virtual environment of its own.

``python -m dev.local_aws`` keeps one up until Ctrl-C. Everything listens on 127.0.0.1 and is gone afterwards.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import boto3
import botocore.session
from botocore.config import Config

from chalicelib.aws.client import pass_rows_through
from dev.local_layer import repack, services_of
from dev.package import ROOT, package

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient

PYTHON = ROOT / ".venv-aws" / "bin" / "python"
BOOT_SECONDS = 60
DEPLOY_SECONDS = 120
INTAKE_CONCURRENCY = 2
"""A worker is a process on this machine: ten that start at once keep each other from starting."""
PACKAGES_BUCKET = "packages"
POLICY_BYTES = 4096
"""What a standard SSM parameter holds; a longer policy goes to the archive bucket, the parameter names its key."""

Document = Mapping[str, Any]


class LocalAwsError(Exception):
    """The local AWS did not start, deploy or answer; the message says what happened."""


class FunctionFailed(LocalAwsError):
    """An invoked function ended with an error."""


class FunctionBusy(LocalAwsError):
    """As many of the function run already as its reserved concurrency allows."""


def free_port() -> int:
    """Return a port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Stack:
    """What the deployed stack is called."""

    api_url: str
    table: str
    bucket: str
    intake_bucket: str
    reports_queue_url: str
    submit_queue_url: str
    reports_dead_letters_url: str
    submit_dead_letters_url: str
    functions: Mapping[str, str] = field(default_factory=dict)
    """Name in ``app.py`` → name in Lambda."""


class LocalAws:
    """MiniStack with the app's stack in it, as a context manager.

    ``functions_endpoint`` sends the functions' own AWS calls elsewhere, for instance through a proxy that breaks
    some of them. ``enforce_iam`` makes MiniStack check every role. ``amend`` may change the packaged template before it
    is deployed. ``say`` receives a line at each step.
    """

    def __init__(
        self,
        *,
        stage: str = "local",
        port: int = 0,
        region: str = "us-east-1",
        project: Path = ROOT,
        functions_endpoint: str = "",
        enforce_iam: bool = False,
        amend: Callable[[dict[str, Any]], None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.stage = stage
        self.port = port or free_port()
        self.region = region
        self.url = f"http://127.0.0.1:{self.port}"
        self._project = project
        self._functions_endpoint = functions_endpoint
        self._enforce_iam = enforce_iam
        self._amend = amend
        self._say = say
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._directory = Path()
        self._stack: Stack | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
            self.deploy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start MiniStack; ``wait`` says when it answers."""
        if not PYTHON.exists():
            raise LocalAwsError("the local AWS is not installed: run `make .venv-aws/.ready`")
        # Each worker unpacks the layer, some thousand files: in memory, where there is such a place.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._directory = Path(tempfile.mkdtemp(prefix="edgeban-aws-", dir=memory))
        with (self._directory / "ministack.log").open("wb") as log:
            self._supervisor = subprocess.Popen(
                [
                    sys.executable,
                    str(ROOT / "dev" / "supervise.py"),
                    str(self._directory),
                    str(PYTHON),
                    "-m",
                    "ministack",
                ],
                cwd=self._directory,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C reaches us alone, and we end the rest in order
            )

    def _environment(self) -> dict[str, str]:
        """Functions inherit MiniStack's environment: nothing of ours may leak into it."""
        environment = {
            "PATH": f"{ROOT / '.venv-aws' / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._directory),
            "TMPDIR": str(self._directory),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONUNBUFFERED": "1",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "S3_DATA_DIR": str(self._directory / "s3"),
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "AUTH": str(self._enforce_iam).lower(),
        }
        if self._functions_endpoint:
            environment["AWS_ENDPOINT_URL"] = self._functions_endpoint
        return environment

    def wait(self) -> None:
        """Return once MiniStack answers. Raises LocalAwsError."""
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if self._supervisor is None or self._supervisor.poll() is not None:
                raise LocalAwsError(f"the local AWS ended while starting:\n{self._last_words()}")
            try:
                with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise LocalAwsError(f"the local AWS did not answer within {BOOT_SECONDS} s:\n{self._last_words()}")

    def _last_words(self) -> str:
        try:
            return (self._directory / "ministack.log").read_text(errors="replace")[-2000:]
        except OSError:
            return "(it left no log)"

    @property
    def supervisor_pid(self) -> int:
        """The process below which MiniStack and its workers run; 0 where there is none."""
        return self._supervisor.pid if self._supervisor else 0

    def stop(self) -> None:
        """End MiniStack, its workers and their files."""
        if self._supervisor is not None:
            assert self._supervisor.stdin is not None
            self._supervisor.stdin.close()
            self._supervisor.wait(timeout=60)
            self._supervisor = None
        if self._directory != Path():
            shutil.rmtree(self._directory, ignore_errors=True)  # still there if the supervisor never started

    # --- deployment ------------------------------------------------------------------------------------------

    def deploy(self) -> Stack:
        """Package the app and create its stack from the packaged template."""
        self._say("packaging the app (a first time takes about 15 s)")
        packaged = package(self.stage, project=self._project, region=self.region)
        self._say("starting the local AWS")
        self.wait()
        self._say("deploying the packaged template by CloudFormation")
        template = self._upload(packaged)
        self.s3.put_object(Bucket=PACKAGES_BUCKET, Key="template.json", Body=json.dumps(template).encode())
        name = f"edgeban-{self.stage}"
        self.cloudformation.create_stack(
            StackName=name,
            TemplateURL=f"{self.url}/{PACKAGES_BUCKET}/template.json",
            Parameters=[{"ParameterKey": "Stage", "ParameterValue": self.stage}],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        outputs = self._created(name)
        self._stack = Stack(
            api_url=f"{self.url}/restapis/{outputs['RestAPIId']}/api/_user_request_",
            table=outputs["TableName"],
            bucket=outputs["BucketName"],
            intake_bucket=outputs["IntakeBucketName"],
            reports_queue_url=outputs["ReportsQueueUrl"],
            submit_queue_url=outputs["SubmitQueueUrl"],
            reports_dead_letters_url=outputs["ReportsDeadLettersUrl"],
            submit_dead_letters_url=outputs["SubmitDeadLettersUrl"],
            functions=self._functions(template),
        )
        intake = self._stack.functions["intake_reports"]
        for mapping in self.lambda_.list_event_source_mappings(FunctionName=intake)["EventSourceMappings"]:
            self.lambda_.update_event_source_mapping(
                UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": INTAKE_CONCURRENCY}
            )
        # MiniStack ignores the template's TimeToLiveSpecification.
        self.dynamodb.update_time_to_live(
            TableName=self._stack.table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
        )
        return self._stack

    def _upload(self, packaged: Path) -> dict[str, Any]:
        """Put the archives into S3 and name them in the template, as ``aws cloudformation package`` does."""
        template: dict[str, Any] = json.loads((packaged / "sam.json").read_text())
        self.s3.create_bucket(Bucket=PACKAGES_BUCKET)
        keys: dict[str, str] = {}
        for resource in template["Resources"].values():
            properties = resource["Properties"]
            for attribute in {"CodeUri", "ContentUri"} & properties.keys():
                name = properties[attribute]
                if name not in keys:
                    archive = packaged / name
                    if attribute == "ContentUri":
                        archive = repack(archive, services_of(template), python=PYTHON)
                    body = archive.read_bytes()
                    keys[name] = f"{hashlib.sha256(body).hexdigest()}.zip"
                    self.s3.put_object(Bucket=PACKAGES_BUCKET, Key=keys[name], Body=body)
                properties[attribute] = f"s3://{PACKAGES_BUCKET}/{keys[name]}"
        if self._enforce_iam:
            _suit_enforcement(template)
        self._amend(template)
        return template

    def _created(self, name: str) -> dict[str, str]:
        deadline = time.monotonic() + DEPLOY_SECONDS
        while time.monotonic() < deadline:
            stack = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            status = stack["StackStatus"]
            if status == "CREATE_COMPLETE":
                return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
            if not status.endswith("_IN_PROGRESS") or "ROLLBACK" in status:
                events = self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
                reasons = [
                    f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
                    for event in events
                    if event.get("ResourceStatus", "").endswith("FAILED")
                ]
                raise LocalAwsError("\n".join([f"the stack ended as {status}", *reasons]))
            time.sleep(0.1)
        raise LocalAwsError(f"the stack was not ready within {DEPLOY_SECONDS} s")

    def _functions(self, template: dict[str, Any]) -> dict[str, str]:
        names = {}
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                deployed = resource["Properties"]["FunctionName"]["Fn::Sub"].replace("${Stage}", self.stage)
                names[deployed.removeprefix(f"edgeban-{self.stage}-")] = deployed
        return names

    def configure(
        self,
        *,
        sources: Document | None = None,
        operators: Document | None = None,
        vendors: Document | None = None,
        policy: Document | None = None,
    ) -> None:
        """Put secrets and policy, each only if given; what was there is replaced."""
        for name, document in {"sources": sources, "operators": operators, "vendors": vendors}.items():
            if document is not None:
                self._put_secret(f"edgeban/{self.stage}/{name}", json.dumps(document))
        if policy is not None:
            self._put_policy(json.dumps(policy))

    def _put_secret(self, name: str, value: str) -> None:
        try:
            self.secrets.create_secret(Name=name, SecretString=value)
        except self.secrets.exceptions.ResourceExistsException:
            self.secrets.put_secret_value(SecretId=name, SecretString=value)

    def _put_policy(self, value: str) -> None:
        if len(value.encode()) > POLICY_BYTES:
            key = f"policy/{hashlib.sha256(value.encode()).hexdigest()}.json"
            self.s3.put_object(Bucket=self.stack.bucket, Key=key, Body=value.encode(), ContentType="application/json")
            value = json.dumps({"object": key})
        self.ssm.put_parameter(Name=f"/edgeban/{self.stage}/policy", Value=value, Type="String", Overwrite=True)

    # --- use -------------------------------------------------------------------------------------------------

    @property
    def stack(self) -> Stack:
        """The deployed stack."""
        if self._stack is None:
            raise LocalAwsError("nothing is deployed yet")
        return self._stack

    def invoke(self, function: str, payload: object | None = None) -> Any:
        """Run a function by its name in ``app.py`` and return its answer; without payload, as its schedule would.

        Raises FunctionFailed and FunctionBusy.
        """
        event = scheduled_event(self.region) if payload is None else payload
        name = self.stack.functions[function]
        try:
            answer = self.lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        except self.lambda_.exceptions.TooManyRequestsException as error:
            raise FunctionBusy(f"{function} runs already") from error
        body = answer["Payload"].read().decode()
        if answer.get("FunctionError"):
            raise FunctionFailed(f"{function}: {body[:1000]}")
        return json.loads(body) if body else None

    def logs(self, function: str, *, since: datetime | None = None) -> list[str]:
        """Read what a function has logged, oldest first."""
        pages = self.cloudwatch_logs.get_paginator("filter_log_events").paginate(
            logGroupName=f"/aws/lambda/{self.stack.functions[function]}",
            startTime=int(since.timestamp() * 1000) if since else 0,
        )
        try:
            return [event["message"].rstrip("\n") for page in pages for event in page["events"]]
        except self.cloudwatch_logs.exceptions.ResourceNotFoundException:
            return []  # it has not run yet

    def client_arguments(self) -> dict[str, Any]:
        """Arguments of ``boto3`` clients that reach this AWS and no other."""
        return {
            "endpoint_url": self.url,
            "region_name": self.region,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "config": Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=32),
        }

    @functools.cached_property
    def _session(self) -> boto3.Session:
        # A profile or file of the developer's own must not matter here, not even one that does not exist.
        apart: dict[str, Any] = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        session = botocore.session.Session(session_vars=apart)
        pass_rows_through(session)
        return boto3.Session(botocore_session=session)

    @functools.cached_property
    def cloudformation(self) -> CloudFormationClient:
        return self._session.client("cloudformation", **self.client_arguments())

    @functools.cached_property
    def dynamodb(self) -> DynamoDBClient:
        """A client for ``chalicelib.aws.dynamodb``: it passes rows through."""
        return self._session.client("dynamodb", **self.client_arguments())

    @functools.cached_property
    def lambda_(self) -> LambdaClient:
        arguments = self.client_arguments()
        # A function is run once, however long it takes.
        arguments["config"] = Config(read_timeout=300, retries={"total_max_attempts": 1})
        return self._session.client("lambda", **arguments)

    @functools.cached_property
    def cloudwatch_logs(self) -> CloudWatchLogsClient:
        return self._session.client("logs", **self.client_arguments())

    @functools.cached_property
    def s3(self) -> S3Client:
        return self._session.client("s3", **self.client_arguments())

    @functools.cached_property
    def secrets(self) -> SecretsManagerClient:
        return self._session.client("secretsmanager", **self.client_arguments())

    @functools.cached_property
    def sqs(self) -> SQSClient:
        return self._session.client("sqs", **self.client_arguments())

    @functools.cached_property
    def ssm(self) -> SSMClient:
        return self._session.client("ssm", **self.client_arguments())


def _suit_enforcement(template: dict[str, Any]) -> None:
    """Change what MiniStack's check of policies sees differently from AWS.

    It is spoken to without TLS, so the TLS-only rules go; and it asks for ``dynamodb:BatchExecuteStatement`` on no
    table in particular and for ``sqs:SendMessageBatch``, where AWS asks for the PartiQL action of each statement on
    its table and for ``sqs:SendMessage``.
    """
    for resource in template["Resources"].values():
        if resource["Type"] in {"AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"}:
            rules = resource["Properties"]["PolicyDocument"]["Statement"]
            harmless = {"Sid": "Nothing", "Effect": "Deny", "Principal": "*", "Action": "none:None", "Resource": "*"}
            rules[:] = [rule for rule in rules if rule["Sid"] != "TlsOnly"] or [harmless]
        if resource["Type"] == "AWS::IAM::Role":
            for policy in resource["Properties"].get("Policies", []):
                rules = policy["PolicyDocument"]["Statement"]
                for rule in rules:
                    if "sqs:SendMessage" in rule["Action"]:
                        rule["Action"] = [*rule["Action"], "sqs:SendMessageBatch"]
                if any(action.startswith("dynamodb:PartiQL") for rule in rules for action in rule["Action"]):
                    rules.append({"Effect": "Allow", "Action": ["dynamodb:BatchExecuteStatement"], "Resource": "*"})


def scheduled_event(region: str = "us-east-1") -> dict[str, Any]:
    """Build the event that EventBridge sends when a schedule is due."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [],
        "detail": {},
    }


def until_interrupted() -> threading.Event:
    """Return an event that Ctrl-C or SIGTERM sets."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    return ended


def main() -> None:
    ended = until_interrupted()
    with LocalAws(stage=os.environ.get("STAGE", "local"), port=int(os.environ.get("PORT", "0")), say=_print) as aws:
        policy = {"version": 1, "accounts": {"huawei-main": {"managed_domains": ["example.com", "*.example.com"]}}}
        aws.configure(sources={}, operators={}, vendors={}, policy=policy)
        _print(f"AWS           {aws.url}  (region {aws.region}, credentials test/test)")
        _print(f"API           {aws.stack.api_url}")
        _print(f"reports queue {aws.stack.reports_queue_url}")
        _print(f"table         {aws.stack.table}")
        _print(f"bucket        {aws.stack.bucket}")
        _print(f"functions     {', '.join(sorted(aws.stack.functions.values()))}")
        _print("Ctrl-C ends it all")
        ended.wait()


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
