"""A function imports at its cold start only what it uses: each test runs in a fresh process, over fakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SHOW = "print(json.dumps(sorted(sys.modules)))"


def printed(code: str) -> Any:
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def modules(code: str) -> set[str]:
    return set(printed(code))


ALWAYS = {"chalicelib.pipeline.run"}
"""Modules of every run: they are small, and every function needs them."""


def test_importing_the_app_imports_no_sdk_no_vendor_and_no_stage_of_the_pipeline() -> None:
    imported = modules("import app, json, sys\n" + SHOW)
    assert not imported & {"boto3", "requests", "urllib3", "asyncio", "email", "html", "socket"}
    assert not {name for name in imported if name.startswith(("chalicelib.vendors.", "chalicelib.pipeline."))} - ALWAYS


def test_importing_the_app_imports_no_format_of_reports_and_nobodys_configuration() -> None:
    imported = modules("import app, json, sys\n" + SHOW)
    assert "chalicelib.reports" not in imported
    assert not imported & {f"chalicelib.config.{document}" for document in ("sources", "operators", "vendor_accounts")}


def test_reading_a_report_imports_its_own_format_alone() -> None:
    read = "from chalicelib.reports import ParserOptions, parse; parse(b'https://a.b/', 'plain', ParserOptions())\n"
    imported = modules("import app, json, sys\n" + read + SHOW)
    assert "chalicelib.reports.plain" in imported
    assert not imported & {f"chalicelib.reports.{name}" for name in ("feedback_mail", "misp", "native", "stix", "xarf")}


STAGES = {
    "intake": {
        "intake",
        *(f"lifecycle.{name}" for name in ("approved", "claiming", "expiry", "ordering", "releasing", "renewing")),
        *("lifecycle.on_claim", "lifecycle.retrying", "lifecycle.successors", "lifecycle.version_1"),
    },
    "submit": {"submission", "lifecycle", "vendor_refusals"},
    "track": {
        "submission.failed_tasks",
        "submission.named_failures",
        "submission.track",
        "submission.vendor_tasks",
        "lifecycle",
        "vendor_refusals",
    },
}


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("chalicelib.pipeline.intake.batch", "intake"),
        ("chalicelib.pipeline.submission.submit", "submit"),
        ("chalicelib.pipeline.submission.track", "track"),
    ],
)
def test_a_stage_imports_itself_and_what_it_is_made_of(module: str, allowed: str) -> None:
    imported = modules(f"import app, json, sys, {module}\n" + SHOW) - ALWAYS
    rooms = {"lifecycle", "intake", "submission", "waking"}
    stages = {name.removeprefix("chalicelib.pipeline.") for name in imported if name.startswith("chalicelib.pipeline.")}
    beyond = stages - rooms - STAGES[allowed]
    extra = {name for name in beyond if name.split(".")[0] not in STAGES[allowed]}
    assert not extra
    assert not [name for name in imported if name.startswith(("chalicelib.vendors.", "boto3", "requests", "urllib3"))]


def test_a_client_of_aws_imports_no_requests() -> None:
    code = "import os, sys, json; os.environ['AWS_DEFAULT_REGION'] = 'us-east-1'\n"
    found = modules(code + "from chalicelib.aws.client import client; client('dynamodb')\n" + SHOW)
    assert "boto3" in found
    assert "requests" not in found


def test_what_all_clients_of_aws_need_is_read_once() -> None:
    code = """import json, os, sys
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
from chalicelib.aws.client import client
assert len({client(service) for service in ("dynamodb", "sqs", "ssm", "sqs")}) == 3
print(json.dumps([os.path.basename(name) for name in opened if "/botocore/data/" in name]))
"""
    read = printed(code)
    assert read.count("endpoints.json") == 1
    assert sum(name.startswith("service-2.") for name in read) == 3, "each model of a service once"


def test_on_lambda_the_clients_that_a_functions_settings_name_are_made_before_its_first_event() -> None:
    code = """import json, os, sys
os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_LAMBDA_FUNCTION_NAME": "edgeban-prod-verify_bans"}
os.environ |= {"EDGEBAN_TABLE": "ledger", "EDGEBAN_VENDORS_SECRET": "vendors"}
import app
from chalicelib.aws.client import client
made = client.cache_info().currsize
client("dynamodb"), client("secretsmanager")
print(json.dumps([made, client.cache_info().currsize, "requests" in sys.modules]))
"""
    assert printed(code) == [2, 2, False]


def test_only_the_vendors_client_imports_requests() -> None:
    found = modules("import app, json, sys, chalicelib.vendors.huawei.client\n" + SHOW)
    assert "requests" in found
    assert "chalicelib.vendors.alibaba.client" not in found
