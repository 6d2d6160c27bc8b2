"""Take over the bans that are at a vendor before edgeban is: ``make take-over STAGE=… ACCOUNT=… DAYS=… REASON=…``.

It invokes the function ``detect_drift``, which may read the vendor's list, until the list was read to its end. The
bans are renewed by the next run of ``renew_bans`` and last DAYS from now. ACTOR is who asks, by default the login name.
Region and credentials are as boto3 finds them; AWS_ENDPOINT_URL names a local AWS.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from typing import Any

import boto3
from botocore.config import Config


def event(account: str, *, days: int, actor: str, reason: str) -> dict[str, Any]:
    """Make the event with which the function is invoked: that of a schedule, with the request as its detail."""
    asked = {"account": account, "days": days, "actor": actor, "reason": reason}
    empty = dict.fromkeys(("version", "account", "region", "detail-type", "source", "time", "id"), "")
    return {**empty, "resources": [], "detail": {"take_over": asked}}


def main() -> int:
    """Run the command; return its exit status."""
    try:
        account, days, reason = os.environ["ACCOUNT"], int(os.environ["DAYS"]), os.environ["REASON"]
    except (KeyError, ValueError):
        sys.stderr.write("make take-over: set ACCOUNT, DAYS (from now, a number) and REASON\n")
        return 2
    actor = os.environ.get("ACTOR") or getpass.getuser()
    function = f"edgeban-{os.environ.get('STAGE') or 'dev'}-detect_drift"
    body = json.dumps(event(account, days=days, actor=actor, reason=reason)).encode()
    patient = Config(read_timeout=910, retries={"total_max_attempts": 1})  # The function may take 15 minutes.
    client = boto3.client("lambda", config=patient)
    while True:
        answer = client.invoke(FunctionName=function, Payload=body)
        result = json.loads(answer["Payload"].read())
        sys.stdout.write(f"{json.dumps(result)}\n")
        if answer.get("FunctionError"):
            return 1
        if result["complete"] or not result["taken"]:
            return 0 if result["complete"] else 1


if __name__ == "__main__":
    sys.exit(main())
