"""Hold the packaged template against linters: ``python -m dev.audit [stage]``. No finding stays without a reason.

cfn-lint reads the whole template, cloudsplaining the policies with their resources filled in, and checkov, if it is
installed in .venv-audit (`make audit` does that), the template again. The reasons stand in .chalice/findings.json.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev.package import ROOT, package

REASONS = ROOT / ".chalice" / "findings.json"
CHECKOV = ROOT / ".venv-audit" / "bin" / "checkov"
ARN = "arn:aws:service:us-east-1:000000000000:"


def cfn_lint(template: Path) -> dict[str, list[str]]:
    """Rule → where cfn-lint finds it broken."""
    tool = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run(
        [str(tool), "--format", "json", "--include-checks", "I", "--", str(template)],
        check=False,
        capture_output=True,
        text=True,
    )
    findings: dict[str, list[str]] = {}
    for finding in json.loads(done.stdout or "[]"):
        findings.setdefault(finding["Rule"]["Id"], []).append(finding["Message"])
    return findings


def cloudsplaining(template: Path) -> dict[str, list[str]]:
    """Risk → the roles that have it, and their actions."""
    from cloudsplaining.scan.policy_document import PolicyDocument

    findings: dict[str, list[str]] = {}
    for name, resource in json.loads(template.read_text())["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            for policy in resource["Properties"].get("Policies", []):
                document = PolicyDocument(_filled_in(policy["PolicyDocument"]))
                for risk in (
                    "allows_privilege_escalation",
                    "allows_data_exfiltration_actions",
                    "permissions_management_without_constraints",
                    "write_actions_without_constraints",
                    "service_wildcard",
                    "contains_statement_using_not_action",
                ):
                    if actions := getattr(document, risk):
                        findings.setdefault(risk, []).append(f"{name}: {actions}")
    return findings


def _filled_in(node: Any) -> Any:
    """Put an ARN where the template says how to make one."""
    if isinstance(node, Mapping):
        if "Fn::GetAtt" in node:
            return ARN + node["Fn::GetAtt"][0]
        if "Fn::Sub" in node:
            return re.sub(r"\$\{(\w+)\.Arn\}", lambda match: ARN + match[1], node["Fn::Sub"]).replace("${", "x{")
        return {name: _filled_in(value) for name, value in node.items()}
    if isinstance(node, list):
        return [_filled_in(value) for value in node]
    return node


def checkov(template: Path) -> dict[str, list[str]]:
    """Check → the resources that fail it."""
    done = subprocess.run(
        [str(CHECKOV), "-f", str(template), "--framework", "cloudformation", "-o", "json", "--compact", "--quiet"],
        check=False,
        capture_output=True,
        text=True,
    )
    findings: dict[str, list[str]] = {}
    for check in json.loads(done.stdout)["results"]["failed_checks"]:
        findings.setdefault(check["check_id"], []).append(f"{check['resource']}: {check['check_name']}")
    return findings


def main() -> int:
    stage = sys.argv[1] if len(sys.argv) > 1 else "prod"
    template = package(stage) / "sam.json"
    reasons: dict[str, dict[str, str]] = json.loads(REASONS.read_text())
    tools = {
        "cfn-lint": cfn_lint,
        "cloudsplaining": cloudsplaining,
        **({"checkov": checkov} if CHECKOV.exists() else {}),
    }
    bad = 0
    for tool, run in tools.items():
        findings, excuses = run(template), reasons[tool]
        excused = sum(len(places) for rule, places in findings.items() if rule in excuses)
        print(f"{tool}: {sum(map(len, findings.values()))} findings, {excused} with a reason")
        for rule, places in sorted(findings.items()):
            if rule not in excuses:
                bad += 1
                print(f"  {rule} has no reason in {REASONS.name}:", *places, sep="\n    ")
        for rule in sorted(excuses.keys() - findings.keys()):
            bad += 1
            print(f"  {rule} has a reason but is no longer found: remove the reason")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
