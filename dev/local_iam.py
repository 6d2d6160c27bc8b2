"""Make MiniStack's check of policies agree with AWS's."""

from __future__ import annotations

from typing import Any

BATCHED = ("sqs:SendMessage", "sqs:ChangeMessageVisibility")


def suit_enforcement(template: dict[str, Any]) -> None:
    """Change a packaged template so that its policies mean to MiniStack what they meant to AWS.

    MiniStack is called without TLS, so the TLS-only rules are removed. AWS checks the PartiQL action of each statement
    on its table; MiniStack checks ``dynamodb:BatchExecuteStatement`` on no table. AWS checks the actions of
    ``BATCHED`` themselves; MiniStack checks their batch forms.
    """
    for resource in template["Resources"].values():
        if resource["Type"] in {"AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy"}:
            rules = resource["Properties"]["PolicyDocument"]["Statement"]
            harmless = {"Sid": "Nothing", "Effect": "Deny", "Principal": "*", "Action": "none:None", "Resource": "*"}
            rules[:] = [rule for rule in rules if rule["Sid"] != "TlsOnly"] or [harmless]
        if resource["Type"] == "AWS::IAM::Role":
            for policy in resource["Properties"].get("Policies", []):
                rules = policy["PolicyDocument"]["Statement"]
                for rule in rules:
                    rule["Action"] = [*rule["Action"], *(f"{name}Batch" for name in BATCHED if name in rule["Action"])]
                if any(action.startswith("dynamodb:PartiQL") for rule in rules for action in rule["Action"]):
                    rules.append({"Effect": "Allow", "Action": ["dynamodb:BatchExecuteStatement"], "Resource": "*"})
