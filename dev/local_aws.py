"""A local AWS with the packaged app deployed in it: MiniStack, in a process and a virtual environment of its own.

``python -m dev.local`` keeps one up until Ctrl-C. Everything listens on 127.0.0.1 and is gone afterwards.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dev.local_clients import REGION
from dev.local_iam import suit_enforcement
from dev.local_layer import repacked
from dev.ministack import LocalAwsError, MiniStack
from dev.package import ROOT, package

DEPLOY_SECONDS = 120
INTAKE_CONCURRENCY = 2
"""Each worker is a process on this machine: ten that start at once slow each other down too much."""
PACKAGES_BUCKET = "packages"
POLICY_BYTES = 4096
"""Bytes of a standard SSM parameter. A longer policy goes to the archive bucket, and the parameter names its key."""

Document = Mapping[str, Any]


class FunctionFailed(LocalAwsError):
    """An invoked function ended with an error."""


class FunctionBusy(LocalAwsError):
    """The function already runs as often as its reserved concurrency allows."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What the deployed stack is called."""

    api_url: str
    table: str
    bucket: str
    intake_bucket: str
    views_bucket: str
    reports_queue_url: str
    submit_queue_url: str
    reports_dead_letters_url: str
    submit_dead_letters_url: str
    holds_topic: str
    functions: Mapping[str, str] = field(default_factory=dict)
    """Name in ``app.py`` → name in Lambda."""


def _as_it_is(template: dict[str, Any]) -> None:
    """Leave a template unchanged."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How a stack differs from the one that ``make deploy`` makes.

    ``functions_endpoint`` is where the functions send their own AWS calls, for instance a proxy that breaks some of
    them. ``enforce_iam`` makes MiniStack check every role. ``amend`` may change the packaged template.
    """

    functions_endpoint: str = ""
    enforce_iam: bool = False
    amend: Callable[[dict[str, Any]], None] = _as_it_is


class LocalAws(MiniStack):
    """MiniStack with the app's stack in it, as a context manager. ``say`` receives a line at each step."""

    def __init__(
        self,
        *,
        stage: str = "local",
        port: int = 0,
        project: Path = ROOT,
        changes: Changes = Changes(),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(port=port, functions_endpoint=changes.functions_endpoint, enforce_iam=changes.enforce_iam)
        self.stage = stage
        self._project = project
        self._changes = changes
        self._say = say
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

    # --- deployment ------------------------------------------------------------------------------------------

    def deploy(self) -> Stack:
        """Package the app and create its stack from the packaged template."""
        self._say("packaging the app (a first time takes about 15 s)")
        packaged = package(self.stage, project=self._project, region=REGION)
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
            views_bucket=outputs["ViewsBucketName"],
            reports_queue_url=outputs["ReportsQueueUrl"],
            submit_queue_url=outputs["SubmitQueueUrl"],
            reports_dead_letters_url=outputs["ReportsDeadLettersUrl"],
            submit_dead_letters_url=outputs["SubmitDeadLettersUrl"],
            holds_topic=outputs["HoldsTopic"],
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
                    body = repacked(archive) if attribute == "ContentUri" else archive.read_bytes()
                    keys[name] = f"{hashlib.sha256(body).hexdigest()}.zip"
                    self.s3.put_object(Bucket=PACKAGES_BUCKET, Key=keys[name], Body=body)
                properties[attribute] = f"s3://{PACKAGES_BUCKET}/{keys[name]}"
        api = template["Resources"]["RestAPI"]["Properties"]  # MiniStack reads this property, AWS the document
        api["BinaryMediaTypes"] = api["DefinitionBody"]["x-amazon-apigateway-binary-media-types"]
        if self._changes.enforce_iam:
            suit_enforcement(template)
        self._changes.amend(template)
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
        """Replace the secrets and the policy, each only if it is given."""
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
        event = scheduled_event(REGION) if payload is None else payload
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


def scheduled_event(region: str = REGION) -> dict[str, Any]:
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
