"""Who schemathesis is: an approver, and the source ``demo`` that signs what it sends. Each route looks at its part."""

from __future__ import annotations

import time
import uuid
from typing import Any

import requests
import schemathesis
from requests.auth import AuthBase
from schemathesis.auths import GLOBAL_AUTH_STORAGE

from chalicelib.reports.signature import sign
from dev.stack import APPROVER_TOKEN, WEBHOOK_SECRET


class EverybodyAtOnce(AuthBase):
    """Presents the token, and signs the body."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        raw = body.encode() if isinstance(body, str) else body
        webhook_id, now = str(uuid.uuid4()), int(time.time())
        signed = {
            "Authorization": f"Bearer {APPROVER_TOKEN}",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(WEBHOOK_SECRET, webhook_id, now, raw),
        }
        request.headers.update(signed)
        return request


GLOBAL_AUTH_STORAGE.set_from_requests(EverybodyAtOnce())


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Report as a source that there is, mostly: a made-up name is refused before the report is looked at.

    A made-up Content-Length goes: the server in front refuses it, by an answer of its own.
    """
    for name in [name for name in case.headers or {} if name.lower() == "content-length"]:
        del case.headers[name]
    if case.method == "POST" and case.operation.path == "/v1/reports/{source}" and len(str(case.body)) % 5:
        case.path_parameters["source"] = "demo"
