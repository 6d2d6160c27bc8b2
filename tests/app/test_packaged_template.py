"""The template as ``chalice package --merge-template`` writes it has all that Chalice itself cannot say.

A misspelt logical id in the merge template does not fail, it adds a resource that nothing reads.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from chalice.app import Response

from app import app
from chalicelib.observe import TROUBLES
from chalicelib.pipeline.intake.receive import MAX_BODY
from dev.package import ROOT, PackagingError, package, without_row_conditions

Resource = dict[str, Any]

LAMBDA_PRINCIPAL = "lambda.amazonaws.com"

WITHOUT_OUR_VARIABLES: set[str] = set()
"""Functions that need no ``EDGEBAN_TABLE``."""

STAR_WITH_A_REASON: dict[tuple[str, str], str] = {}
"""(role, statement id) → why AWS lets nobody name the resource."""


@pytest.fixture(scope="module")
def directory() -> Path:
    return package("prod")


@pytest.fixture(scope="module")
def template(directory: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((directory / "sam.json").read_text())
    return document


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Resource]:
    found: dict[str, Resource] = template["Resources"]
    return found


def of_type(resources: dict[str, Resource], kind: str) -> dict[str, Resource]:
    return {name: each["Properties"] for name, each in resources.items() if each["Type"] == kind}


def functions(resources: dict[str, Resource]) -> dict[str, Resource]:
    return of_type(resources, "AWS::Serverless::Function")


def event_source(resources: dict[str, Resource], function: str) -> Resource:
    (event,) = functions(resources)[function]["Events"].values()
    found: Resource = event["Properties"]
    return found


def test_every_merged_resource_has_a_type(resources: dict[str, Resource]) -> None:
    assert [name for name, each in resources.items() if "Type" not in each] == []


def test_every_merged_event_has_a_type(resources: dict[str, Resource]) -> None:
    for name, each in functions(resources).items():
        for event, source in each.get("Events", {}).items():
            assert "Type" in source, f"{name}.{event}"


def test_every_merged_path_was_a_route(resources: dict[str, Resource]) -> None:
    for path, methods in resources["RestAPI"]["Properties"]["DefinitionBody"]["paths"].items():
        for method, operation in methods.items():
            assert "responses" in operation or method == "options", f"{method} {path} comes from the template alone"


def test_every_intrinsic_function_stands_alone(template: dict[str, Any]) -> None:
    """A deep merge of ``Fn::GetAtt`` onto ``Fn::Sub`` leaves both, which AWS refuses and MiniStack accepts."""
    assert [node for node in nodes(template) if len(node) > 1 and any(key.startswith("Fn::") for key in node)] == []


def nodes(node: Any) -> list[dict[str, Any]]:
    """Yield every object in the template."""
    if isinstance(node, dict):
        return [node, *(each for value in node.values() for each in nodes(value))]
    if isinstance(node, list):
        return [each for value in node for each in nodes(value)]
    return []


def test_every_reference_has_its_resource(template: dict[str, Any]) -> None:
    known = {*template["Resources"], *template["Parameters"]}
    for name in referred(template):
        assert name in known or name.startswith("AWS::"), name


def referred(node: Any) -> set[str]:
    """Return all names in ``Ref``, ``Fn::GetAtt`` and plain ``Fn::Sub``."""
    found: set[str] = set()
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref":
                found.add(value)
            elif key == "Fn::GetAtt":
                found.add(value[0])
            elif key == "Fn::Sub" and isinstance(value, str):
                found |= {part.split("}")[0].split(".")[0] for part in value.split("${")[1:]}
            else:
                found |= referred(value)
    elif isinstance(node, list):
        for each in node:
            found |= referred(each)
    return found


@pytest.mark.parametrize(("function", "queue"), [("IntakeReports", "ReportsQueue"), ("SubmitTasks", "SubmitQueue")])
def test_a_queue_function_answers_for_each_message(resources: dict[str, Resource], function: str, queue: str) -> None:
    """Otherwise AWS ignores the list of failed messages and deletes all of them."""
    source = event_source(resources, function)
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["Queue"] == {"Fn::Sub": f"${{{queue}.Arn}}"}


def test_every_sqs_event_source_reports_batch_item_failures(resources: dict[str, Resource]) -> None:
    for name, each in functions(resources).items():
        for source in each.get("Events", {}).values():
            if source["Type"] == "SQS":
                assert source["Properties"].get("FunctionResponseTypes") == ["ReportBatchItemFailures"], name


def test_reports_stay_invisible_for_six_timeouts_and_the_batching_window(resources: dict[str, Resource]) -> None:
    timeout = functions(resources)["IntakeReports"]["Timeout"]
    window = event_source(resources, "IntakeReports")["MaximumBatchingWindowInSeconds"]
    assert resources["ReportsQueue"]["Properties"]["VisibilityTimeout"] >= 6 * timeout + window


def test_a_submitter_that_dies_before_its_first_beat_blocks_its_account_little_longer_than_its_timeout(
    resources: dict[str, Resource],
) -> None:
    timeout = functions(resources)["SubmitTasks"]["Timeout"]
    visibility = resources["SubmitQueue"]["Properties"]["VisibilityTimeout"]
    assert timeout < visibility <= timeout + 30


def test_a_large_batch_has_a_batching_window(resources: dict[str, Resource]) -> None:
    source = event_source(resources, "IntakeReports")
    assert source["BatchSize"] <= 10 or source["MaximumBatchingWindowInSeconds"] >= 1


def test_dead_letters_outlive_the_queue_they_come_from(resources: dict[str, Resource]) -> None:
    queues = of_type(resources, "AWS::SQS::Queue")
    sources = {name: each for name, each in queues.items() if "RedrivePolicy" in each}
    assert sources.keys() == {"ReportsQueue", "SubmitQueue"}
    for source in sources.values():
        dead_letters = queues[source["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]]
        assert dead_letters["MessageRetentionPeriod"] == 14 * 86400 > source["MessageRetentionPeriod"]
        assert dead_letters.get("FifoQueue", False) == source.get("FifoQueue", False)
        assert source["RedrivePolicy"]["maxReceiveCount"] >= 5


def test_the_submit_queue_delivers_at_once_and_again(resources: dict[str, Resource]) -> None:
    """Wake-ups with one mark are one, by their id. A drain gives its wake-up back while work is left."""
    queue = resources["SubmitQueue"]["Properties"]
    assert queue["FifoQueue"] is True
    assert "DelaySeconds" not in queue
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 1000
    assert queue["ContentBasedDeduplication"] is False


def test_every_function_has_a_role_of_its_own(resources: dict[str, Resource]) -> None:
    roles = [each["Role"]["Fn::GetAtt"][0] for each in functions(resources).values()]
    assert len(set(roles)) == len(roles)
    ours = {
        name
        for name, each in of_type(resources, "AWS::IAM::Role").items()
        if each["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"] == LAMBDA_PRINCIPAL
    }
    assert ours == set(roles)


def test_every_policy_names_its_resources(resources: dict[str, Resource]) -> None:
    for role, each in of_type(resources, "AWS::IAM::Role").items():
        for policy in each.get("Policies", []):
            for rule in policy["PolicyDocument"]["Statement"]:
                named = rule["Resource"] if isinstance(rule["Resource"], list) else [rule["Resource"]]
                assert "*" not in named or (role, rule["Sid"]) in STAR_WITH_A_REASON, f"{role} {rule['Sid']}"
                assert not any(action.endswith("*") for action in rule["Action"]), f"{role} {rule['Sid']}"


def test_the_outer_door_writes_nothing_but_reports(resources: dict[str, Resource]) -> None:
    (policy,) = resources["ReceiveReportRole"]["Properties"]["Policies"]
    rules = policy["PolicyDocument"]["Statement"]
    (ledger,) = [rule for rule in rules if any(action.startswith("dynamodb:") for action in rule["Action"])]
    keys = ledger["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    assert keys == ["report#*", "rate#*", "correlation#*"]
    sends = [rule["Resource"] for rule in rules if "sqs:SendMessage" in rule["Action"]]
    assert sends == [{"Fn::GetAtt": ["ReportsQueue", "Arn"]}]


def test_reports_are_received_by_the_function_with_the_smallest_role(resources: dict[str, Resource]) -> None:
    paths = resources["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    received = paths["/v1/reports/{source}"]["post"]["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
    assert "${ReceiveReport.Arn}" in received
    read = paths["/v1/reports/{source}"]["get"]["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
    assert "${APIHandler.Arn}" in read
    assert resources["ReceiveReportInvokePermission"]["Properties"]["FunctionName"] == {"Ref": "ReceiveReport"}


def test_every_function_is_told_where_things_are(resources: dict[str, Resource]) -> None:
    for name, each in functions(resources).items():
        variables = each["Environment"]["Variables"]
        assert variables["POWERTOOLS_SERVICE_NAME"] == variables["POWERTOOLS_METRICS_NAMESPACE"] == "edgeban"
        assert variables["EDGEBAN_STAGE"] == {"Ref": "Stage"}
        assert "EDGEBAN_TABLE" in variables or name in WITHOUT_OUR_VARIABLES


@pytest.mark.parametrize(
    ("variable", "actions"),
    [
        ("EDGEBAN_REPORTS_QUEUE_URL", {"sqs:SendMessage", "sqs:ChangeMessageVisibility"}),
        ("EDGEBAN_SUBMIT_QUEUE_URL", {"sqs:SendMessage", "sqs:ChangeMessageVisibility"}),
        ("EDGEBAN_SOURCES_SECRET", {"secretsmanager:GetSecretValue"}),
        ("EDGEBAN_OPERATORS_SECRET", {"secretsmanager:GetSecretValue"}),
        ("EDGEBAN_VENDORS_SECRET", {"secretsmanager:GetSecretValue"}),
        ("EDGEBAN_POLICY_PARAMETER", {"ssm:GetParameter"}),
    ],
)
def test_a_function_knows_a_place_only_if_it_may_go_there(
    resources: dict[str, Resource], variable: str, actions: set[str]
) -> None:
    for name, each in functions(resources).items():
        role = resources[each["Role"]["Fn::GetAtt"][0]]["Properties"]
        allowed = {
            json.dumps(rule["Resource"])
            for policy in role["Policies"]
            for rule in policy["PolicyDocument"]["Statement"]
            if actions.intersection(rule["Action"])
        }
        place = each["Environment"]["Variables"].get(variable)
        if place is None:
            continue
        named = place["Ref"] if "Ref" in place else place["Fn::Sub"].removeprefix("/")
        assert any(named in resource for resource in allowed), f"{name} {variable}"


def test_every_function_has_a_log_group_that_ends(resources: dict[str, Resource]) -> None:
    groups = [each["LogGroupName"]["Fn::Sub"] for each in of_type(resources, "AWS::Logs::LogGroup").values()]
    names = [f"/aws/lambda/{each['FunctionName']['Fn::Sub']}" for each in functions(resources).values()]
    assert sorted(groups) == sorted([*names, "/aws/apigateway/edgeban-${Stage}"])
    assert all(each["RetentionInDays"] >= 1 for each in of_type(resources, "AWS::Logs::LogGroup").values())


def test_the_api_is_throttled_and_logged(resources: dict[str, Resource]) -> None:
    api = resources["RestAPI"]["Properties"]
    everything, reports = api["MethodSettings"]
    assert (everything["ResourcePath"], everything["HttpMethod"]) == ("/*", "*")
    assert (reports["ResourcePath"], reports["HttpMethod"]) == ("/~1v1~1reports~1{source}", "POST")
    for settings in (everything, reports):
        assert settings["ThrottlingRateLimit"] <= settings["ThrottlingBurstLimit"] <= 1_000
    assert api["AccessLogSetting"]["DestinationArn"] == {"Fn::GetAtt": ["ApiAccessLog", "Arn"]}
    logged = json.loads(api["AccessLogSetting"]["Format"])
    assert {"request_id", "at", "ip", "method", "path", "status"} <= logged.keys()
    assert not [each for each in logged.values() if "querystring" in each or "header" in each]


def test_the_gateway_hands_on_every_body_byte_for_byte(resources: dict[str, Resource]) -> None:
    """It would decode a body of another type as UTF-8, and a compressed or 8-bit one would be signed in vain.

    Answers stay text: only where a function says that its answer is base64 does the gateway look at ``Accept``.
    """
    types = resources["RestAPI"]["Properties"]["DefinitionBody"]["x-amazon-apigateway-binary-media-types"]
    assert types == ["*/*"]
    answer = Response(body={"a": 1}, headers={"Content-Type": "application/json"}).to_dict(app.api.binary_types)
    assert answer["body"] == '{"a":1}'
    assert not answer.get("isBase64Encoded")


@pytest.mark.parametrize("function", ["APIHandler", "ReceiveReport"])
def test_no_function_behind_the_gateway_works_on_when_the_gateway_has_given_up(
    resources: dict[str, Resource], function: str
) -> None:
    assert resources[function]["Properties"]["Timeout"] <= 29


def test_the_api_compresses_what_is_worth_it(resources: dict[str, Resource]) -> None:
    assert resources["RestAPI"]["Properties"]["MinimumCompressionSize"] == 1024


def test_the_console_is_served_by_the_function_of_the_api(resources: dict[str, Resource]) -> None:
    paths = resources["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    served = [path for path in paths if path.startswith("/console")]
    assert served == ["/console", "/console/index.html", "/console/{version}/{name}"]
    for path in served:
        assert "${APIHandler.Arn}" in paths[path]["get"]["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]


def test_all_that_rests_is_encrypted(resources: dict[str, Resource]) -> None:
    for queue in of_type(resources, "AWS::SQS::Queue").values():
        assert queue["SqsManagedSseEnabled"] is True
    for bucket in of_type(resources, "AWS::S3::Bucket").values():
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    keys = {name: topic["KmsMasterKeyId"] for name, topic in of_type(resources, "AWS::SNS::Topic").items()}
    assert keys == {"Alarms": {"Ref": "AlarmsKey"}, "Holds": "alias/aws/sns"}


def test_every_topic_is_spoken_to_over_tls_only(resources: dict[str, Resource]) -> None:
    covered: set[str] = set()
    for policy in of_type(resources, "AWS::SNS::TopicPolicy").values():
        (rule,) = [rule for rule in policy["PolicyDocument"]["Statement"] if rule["Sid"] == "TlsOnly"]
        assert (rule["Effect"], rule["Principal"], rule["Action"]) == ("Deny", "*", "sns:Publish")
        covered.update(topic["Ref"] for topic in policy["Topics"])
    assert covered == set(of_type(resources, "AWS::SNS::Topic"))


def test_cloudwatch_may_publish_alarms_to_the_encrypted_topic(resources: dict[str, Resource]) -> None:
    """AWS's own key for SNS would let no alarm through, and nothing would say so."""
    key = resources["AlarmsKey"]["Properties"]
    assert key["EnableKeyRotation"] is True
    rules = {rule["Sid"]: rule for rule in key["KeyPolicy"]["Statement"]}
    assert rules["Alarms"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert set(rules["Alarms"]["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey*"}
    topic = {rule["Sid"]: rule for rule in resources["AlarmsRules"]["Properties"]["PolicyDocument"]["Statement"]}
    assert topic["Alarms"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}


def test_every_bucket_is_private_and_spoken_to_over_tls_only(resources: dict[str, Resource]) -> None:
    covered = set()
    for policy in of_type(resources, "AWS::S3::BucketPolicy").values():
        (rule,) = [rule for rule in policy["PolicyDocument"]["Statement"] if rule["Sid"] == "TlsOnly"]
        assert (rule["Effect"], rule["Principal"], rule["Action"]) == ("Deny", "*", "s3:*")
        covered.add(policy["Bucket"]["Ref"])
    buckets = of_type(resources, "AWS::S3::Bucket")
    assert covered == set(buckets)
    assert all(set(each["PublicAccessBlockConfiguration"].values()) == {True} for each in buckets.values())


def test_the_record_outlives_the_stack(resources: dict[str, Resource]) -> None:
    kept = {name for name, each in resources.items() if each.get("DeletionPolicy") == "RetainExceptOnCreate"}
    assert {"Ledger", "Archive", "Intake"} <= kept
    assert all(resources[name]["UpdateReplacePolicy"] == "Retain" for name in kept)
    assert resources["Ledger"]["Properties"]["DeletionProtectionEnabled"] == {"Fn::If": ["ProtectsLedger", True, False]}


def test_functions_have_room_to_start(resources: dict[str, Resource]) -> None:
    assert all(each["MemorySize"] >= 512 for each in functions(resources).values())


def started_by(resources: dict[str, Resource], kind: str) -> dict[str, Resource]:
    """Return the properties of every function that events of a kind start."""
    return {
        name: each
        for name, each in functions(resources).items()
        if kind in {event["Type"] for event in each.get("Events", {}).values()}
    }


def test_scheduled_work_never_runs_twice_at_once_and_is_not_repeated(resources: dict[str, Resource]) -> None:
    """The next run does the same work. A run that had waited for over a minute would run beside it."""
    scheduled = started_by(resources, "Schedule")
    assert len(scheduled) == 8
    for name, each in scheduled.items():
        assert each["ReservedConcurrentExecutions"] == 1, name
        assert each["EventInvokeConfig"] == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}, name


NO_DEAD_LETTERS = {"OutcomesQueue": "the sweep names again whatever is due"}


def test_a_message_is_not_seen_again_while_its_function_works_on_it(resources: dict[str, Resource]) -> None:
    """Lambda takes no queue whose visibility is below the function's timeout."""
    queued = started_by(resources, "SQS")
    assert {*queued} == {"IntakeReports", "SubmitTasks", "DeliverOutcomes"}
    for name, each in queued.items():
        source = event_source(resources, name)
        logical = source["Queue"]["Fn::Sub"].removeprefix("${").removesuffix(".Arn}")
        queue = resources[logical]["Properties"]
        assert queue["VisibilityTimeout"] > each["Timeout"], name
        assert ("RedrivePolicy" in queue) == (logical not in NO_DEAD_LETTERS), name
        if queue.get("FifoQueue"):
            assert source["BatchSize"] == 1, "AWS takes up to ten; one account or source must not wait for another"
            assert not source.get("MaximumBatchingWindowInSeconds"), "FIFO queues have none"
        assert "ReservedConcurrentExecutions" not in each, "below the event source's it would lead to dead letters"
        assert 2 <= source.get("ScalingConfig", {"MaximumConcurrency": 2})["MaximumConcurrency"] <= 1_000


@pytest.mark.parametrize(
    ("role", "prefixes"),
    [
        ("ArchiveExportsRole", ["illegal-urls", "illegal-urls-raw", "illegal-urls-rejects", "illegal-urls-manifest"]),
        ("ArchiveLedgerRole", ["ledger", "ledger-summary", "ledger-manifest"]),
    ],
)
def test_an_archiver_writes_to_its_own_prefixes_and_can_delete_nothing(
    resources: dict[str, Resource], role: str, prefixes: list[str]
) -> None:
    (policy,) = resources[role]["Properties"]["Policies"]
    rules = policy["PolicyDocument"]["Statement"]
    (writes,) = [rule for rule in rules if "s3:PutObject" in rule["Action"]]
    assert writes["Resource"] == [{"Fn::Sub": f"${{Archive.Arn}}/{prefix}/*"} for prefix in prefixes]
    actions = {action for rule in rules for action in rule["Action"]}
    assert {action for action in actions if action.startswith("s3:")} == {
        "s3:PutObject",
        "s3:GetObject",
        "s3:ListBucket",
    }
    assert not {action for action in actions if "Delete" in action}


def test_the_conditions_on_rows_can_be_left_out_and_nothing_else_with_them(
    template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are left out if AWS applies them to PartiQL otherwise than docs/threat-model.md expects."""
    monkeypatch.setenv("ROW_CONDITIONS", "no")
    without, template = json.loads((package("prod") / "sam.json").read_text()), deepcopy(template)
    changed = set()
    for name, role in of_type(template["Resources"], "AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            document = policy["PolicyDocument"]
            policy["PolicyDocument"] = without_row_conditions(document)
            changed |= {name.removesuffix("Role").lower()} if policy["PolicyDocument"] != document else set()
    assert without["Resources"] == template["Resources"]
    page = (ROOT / "docs" / "threat-model.md").read_text().partition("### Rights on rows")[2].partition("\n## ")[0]
    assert {name.replace("_", "") for name in re.findall(r"^  - `(\w+)` ", page, re.MULTILINE)} == changed


def test_the_role_of_the_exports_reaches_its_days_and_the_blocks_of_accounts(resources: dict[str, Resource]) -> None:
    (policy,) = resources["ArchiveExportsRole"]["Properties"]["Policies"]
    leading_keys = {
        rule["Sid"]: rule["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        for rule in policy["PolicyDocument"]["Statement"]
        if any(action.startswith("dynamodb:") for action in rule["Action"])
    }
    # Besides its days, it reads the blocks of accounts, and blocks one whose vendor refuses the keys.
    assert leading_keys == {"KeepDays": ["exports", "exports#*"], "HeedRefusals": ["account#*"]}


def test_an_archiver_has_a_disk_for_its_files_and_an_alarm_for_every_missing_day(
    resources: dict[str, Resource],
) -> None:
    for name in ("ArchiveExports", "ArchiveLedger"):
        assert functions(resources)[name]["EphemeralStorage"] == {"Size": 4096}
    watched = {each["MetricName"] for each in of_type(resources, "AWS::CloudWatch::Alarm").values()}
    assert {"ExportDaysLate", "LedgerDaysLate"} <= watched
    causes = {trouble.cause for troubles in TROUBLES.values() for trouble in troubles}
    assert {"exports_failed", "exports_overdue", "ledger_day_lost"} <= causes


def test_the_ledger_can_be_restored_and_forgets_by_itself(resources: dict[str, Resource]) -> None:
    table = resources["Ledger"]
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert "SSESpecification" not in table["Properties"], "encrypted by DynamoDB's own key, whose use costs nothing"


def test_the_archive_is_private_locked_and_kept(resources: dict[str, Resource]) -> None:
    bucket = resources["Archive"]
    assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
    assert bucket["Properties"]["ObjectLockEnabled"] is True
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    rules = {rule["Sid"]: rule for rule in resources["ArchiveRules"]["Properties"]["PolicyDocument"]["Statement"]}
    assert rules["TlsOnly"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert rules["WriteOnce"]["Condition"]["Null"] == {"s3:if-none-match": "true"}


def test_the_intake_bucket_is_private_encrypted_short_lived_and_announces_itself_to_the_reports_queue(
    resources: dict[str, Resource],
) -> None:
    bucket = resources["Intake"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    retention = resources["ReportsQueue"]["Properties"]["MessageRetentionPeriod"]
    assert rule["ExpirationInDays"] * 86400 > resources["ReportsDeadLetters"]["Properties"]["MessageRetentionPeriod"]
    assert rule["ExpirationInDays"] * 86400 > retention
    (announced,) = bucket["NotificationConfiguration"]["QueueConfigurations"]
    assert announced["Queue"] == {"Fn::GetAtt": ["ReportsQueue", "Arn"]}
    assert "ReportsQueueRules" in resources["Intake"]["DependsOn"]  # S3 checks this right at once.
    policy = resources["ReportsQueueRules"]["Properties"]["PolicyDocument"]["Statement"]
    rules = {rule["Sid"]: rule for rule in policy}
    assert rules["IntakeNotifications"]["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }
    assert rules["TlsOnly"]["Effect"] == "Deny"


@pytest.mark.parametrize(("rule", "service", "kind"), [("Topics", "sns", ":*"), ("Rules", "events", ":rule/*")])
def test_topics_and_rules_of_the_account_may_send_reports_and_no_others(
    resources: dict[str, Resource], rule: str, service: str, kind: str
) -> None:
    policy = resources["ReportsQueueRules"]["Properties"]["PolicyDocument"]["Statement"]
    (allowed,) = [each for each in policy if each["Sid"] == rule]
    assert (allowed["Effect"], allowed["Action"]) == ("Allow", "sqs:SendMessage")
    assert allowed["Principal"] == {"Service": f"{service}.amazonaws.com"}
    (place,) = allowed["Condition"]["ArnLike"]["aws:SourceArn"].values()
    assert place == f"arn:${{AWS::Partition}}:{service}:*:${{AWS::AccountId}}{kind}"


def test_only_intake_reads_the_intake_bucket(resources: dict[str, Resource]) -> None:
    allowed = {
        (role, action)
        for role, each in of_type(resources, "AWS::IAM::Role").items()
        for policy in each.get("Policies", [])
        for rule in policy["PolicyDocument"]["Statement"]
        for action in rule["Action"]
        if "${Intake.Arn}" in json.dumps(rule["Resource"])
    }
    assert allowed == {("IntakeReportsRole", "s3:GetObject"), ("IntakeReportsRole", "s3:GetObjectVersion")}


def test_every_queue_is_spoken_to_over_tls_only(resources: dict[str, Resource]) -> None:
    covered = {
        queue["Ref"]
        for each in of_type(resources, "AWS::SQS::QueuePolicy").values()
        for queue in each["Queues"]
        if any(rule["Sid"] == "TlsOnly" for rule in each["PolicyDocument"]["Statement"])
    }
    assert covered == set(of_type(resources, "AWS::SQS::Queue"))


def test_the_gateway_answers_in_our_own_shape(resources: dict[str, Resource]) -> None:
    answers = resources["RestAPI"]["Properties"]["DefinitionBody"]["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX", "THROTTLED", "MISSING_AUTHENTICATION_TOKEN"} <= answers.keys()
    for kind, answer in answers.items():
        filled = answer["responseTemplates"]["application/json"].replace("$context.error.messageString", '"words"')
        assert json.loads(filled)["error"].keys() == {"code", "message", "request_id"}, kind
    assert f"{MAX_BODY // 1024**2} MB" in answers["REQUEST_TOO_LARGE"]["responseTemplates"]["application/json"]


def test_a_method_or_path_that_no_route_has_is_not_found_as_the_gateway_answers_it(
    resources: dict[str, Resource],
) -> None:
    """The gateway would answer 403 and speak of a missing token. HEAD and OPTIONS are such methods."""
    definition = resources["RestAPI"]["Properties"]["DefinitionBody"]
    assert {method for methods in definition["paths"].values() for method in methods} == {"get", "post", "patch"}
    answer = definition["x-amazon-apigateway-gateway-responses"]["MISSING_AUTHENTICATION_TOKEN"]
    assert answer["statusCode"] == "404"
    assert '"code":"not_found"' in answer["responseTemplates"]["application/json"]


def test_a_package_without_its_dependencies_is_refused(tmp_path: Path) -> None:
    """Chalice prints that a wheel is missing, and goes on."""
    for name in ("config.json", "resources.json"):
        (tmp_path / ".chalice").mkdir(exist_ok=True)
        (tmp_path / ".chalice" / name).write_text((ROOT / ".chalice" / name).read_text())
    (tmp_path / "app.py").write_text("this is not Python")
    (tmp_path / "requirements.txt").write_text("")
    with pytest.raises(PackagingError, match="chalice package"):
        package("local", project=tmp_path)
