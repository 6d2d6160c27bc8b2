"""What MiniStack's check of policies sees differently from AWS."""

from __future__ import annotations

from typing import Any

BATCHED = ("sqs:SendMessage", "sqs:ChangeMessageVisibility")


def suit_enforcement(template: dict[str, Any]) -> None:
    """Change what MiniStack's check of policies sees differently from AWS.

    It is spoken to without TLS, so the TLS-only rules go; and it asks for ``dynamodb:BatchExecuteStatement`` on no
    table in particular and for the batch forms of ``BATCHED``, where AWS asks for the PartiQL action of each statement
    on its table and for the action itself.
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
