"""The packaged template after SAM's transform: strangers reach nothing that SAM adds."""

from __future__ import annotations

import json
import subprocess
import zipfile
from typing import Any

import pytest

from dev.deploy import PROTECTED, STACK_POLICY
from dev.package import ROOT, package

Resource = dict[str, Any]


@pytest.fixture(scope="module")
def resources() -> dict[str, Resource]:
    python = ROOT / ".venv-aws" / "bin" / "python"
    done = subprocess.run(
        [python, "dev/sam_transform.py", package("prod") / "sam.json"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    transformed: dict[str, Resource] = json.loads(done.stdout)["Resources"]
    return transformed


def of_type(resources: dict[str, Resource], kind: str) -> dict[str, Resource]:
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def test_there_is_one_stage_with_throttle_and_access_log(resources: dict[str, Resource]) -> None:
    """Without ``OpenApiVersion`` SAM makes a second public stage, named Stage, that has neither."""
    (stage,) = of_type(resources, "AWS::ApiGateway::Stage").values()
    assert stage["Properties"]["StageName"] == "api"
    assert stage["Properties"]["AccessLogSetting"]["DestinationArn"]
    operators, reports = stage["Properties"]["MethodSettings"]
    assert (operators["ResourcePath"], operators["ThrottlingRateLimit"]) == ("/*", 100)
    assert (reports["ResourcePath"], reports["ThrottlingRateLimit"]) == ("/~1v1~1reports~1{source}", 200)
    assert not operators["MetricsEnabled"]
    assert not reports["MetricsEnabled"], "metrics by method are billed one by one, and nothing reads them"
    for deployment in of_type(resources, "AWS::ApiGateway::Deployment").values():
        assert "StageName" not in deployment["Properties"]


def test_the_stage_waits_for_the_role_that_the_region_logs_by(resources: dict[str, Resource]) -> None:
    """A variable makes it wait, since DependsOn may not name a resource whose condition is false."""
    assert "ApiLogAccount" in needed(resources, "RestAPIapiStage")


def needed(resources: dict[str, Resource], name: str) -> set[str]:
    """Return all resources that CloudFormation makes before ``name``, since it needs them directly or indirectly."""
    before: set[str] = set()
    waiting = [name]
    while waiting:
        text = json.dumps(resources[waiting.pop()])
        for other in resources.keys() - before:
            if f'"{other}"' in text or f"${{{other}}}" in text or f"${{{other}." in text:
                before.add(other)
                waiting.append(other)
    return before


def test_nothing_is_called_by_everybody(resources: dict[str, Resource]) -> None:
    for name, permission in of_type(resources, "AWS::Lambda::Permission").items():
        assert permission["Properties"]["Principal"] in {"apigateway.amazonaws.com", "events.amazonaws.com"}, name
        assert "SourceArn" in permission["Properties"], name
    assert of_type(resources, "AWS::Lambda::Url") == {}


def test_every_function_has_its_own_role_and_log_group(resources: dict[str, Resource]) -> None:
    functions = of_type(resources, "AWS::Lambda::Function")
    roles = [json.dumps(function["Properties"]["Role"]) for function in functions.values()]
    assert len(set(roles)) == len(functions) == 13
    assert len(of_type(resources, "AWS::Logs::LogGroup")) == len(functions) + 1, "and the API's access log"


def test_the_functions_are_traced_if_the_stack_says_so_and_may_send_traces_only_then(
    resources: dict[str, Resource],
) -> None:
    for function in of_type(resources, "AWS::Lambda::Function").values():
        assert function["Properties"]["TracingConfig"] == {"Mode": {"Ref": "Tracing"}}
        role = resources[function["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
        granted = {"Fn::If": ["TracesCalls", [{"Ref": "Traces"}], {"Ref": "AWS::NoValue"}]}
        assert role["ManagedPolicyArns"] == granted
    assert resources["Traces"]["Condition"] == "TracesCalls"


def test_the_stack_policy_protects_all_that_holds_data(resources: dict[str, Resource]) -> None:
    kinds = {"AWS::DynamoDB::Table", "AWS::S3::Bucket"}
    views = {"Views"}  # CloudFormation makes these again if they are gone.
    assert {name for name, each in resources.items() if each["Type"] in kinds} - views == set(PROTECTED)
    denied = [each for each in STACK_POLICY["Statement"] if each["Effect"] == "Deny"]
    assert {action for each in denied for action in each["Action"]} == {"Update:Replace", "Update:Delete"}


def test_what_holds_data_is_kept_but_a_failed_creation_can_be_rolled_back(resources: dict[str, Resource]) -> None:
    for name in PROTECTED:
        assert resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resources[name]["UpdateReplacePolicy"] == "Retain"
    assert resources["Ledger"]["Properties"]["DeletionProtectionEnabled"] == {"Fn::If": ["ProtectsLedger", True, False]}


def test_every_queue_and_schedule_starts_its_function_as_the_packaged_template_says(
    resources: dict[str, Resource],
) -> None:
    mappings = [each["Properties"] for each in of_type(resources, "AWS::Lambda::EventSourceMapping").values()]
    assert len(mappings) == 3
    for mapping in mappings:
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["BatchSize"] <= 10 or mapping["MaximumBatchingWindowInSeconds"] >= 1
    rules = [each["Properties"] for each in of_type(resources, "AWS::Events::Rule").values()]
    asynchronous = of_type(resources, "AWS::Lambda::EventInvokeConfig").values()
    started = {target["Arn"]["Fn::GetAtt"][0] for rule in rules for target in rule["Targets"]}
    assert {each["Properties"]["FunctionName"]["Ref"] for each in asynchronous} == started
    assert len(started) == len(rules) == 8
    assert {each["Properties"]["MaximumRetryAttempts"] for each in asynchronous} == {0}


def test_the_template_stays_within_the_quotas_of_cloudformation_iam_and_lambda(
    resources: dict[str, Resource],
) -> None:
    """Nothing of this is noticed before a deployment fails: https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html."""
    packaged = package("prod")
    assert (packaged / "sam.json").stat().st_size <= 1_000_000 // 2, "AWS takes 1 MB; names of the upload are longer"
    assert len(resources) <= 500
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        inline = sum(len("".join(json.dumps(each).split())) for each in role["Properties"].get("Policies", []))
        assert inline <= 10_240 * 3 // 4, f"{name}: its inline policies; references become names that are longer"
    for name, function in of_type(resources, "AWS::Lambda::Function").items():
        variables = function["Properties"]["Environment"]["Variables"]
        assert len(json.dumps(variables)) <= 4_096 // 2, name
        assert function["Properties"]["Timeout"] <= 900, name
    for name, alarm in of_type(resources, "AWS::CloudWatch::Alarm").items():
        assert len(alarm["Properties"]["AlarmDescription"]) <= 1_024, name
    unpacked = 0
    for archive in packaged.glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            unpacked += sum(each.file_size for each in opened.infolist())
    assert unpacked <= 250 * 1024**2
    (api,) = of_type(resources, "AWS::ApiGateway::RestApi").values()
    assert len(api["Properties"]["Body"]["paths"]) <= 300
