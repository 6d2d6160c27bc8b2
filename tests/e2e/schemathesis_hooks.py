"""Give schemathesis an approver's token and the signature of the source ``demo``. Each route reads its own part."""

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
    """Report mostly as a known source: a made-up name is refused before the report is read.

    Drop a made-up Content-Length: the server in front refuses it with its own answer.
    """
    for name in [name for name in case.headers or {} if name.lower() == "content-length"]:
        del case.headers[name]
    if case.method == "POST" and case.operation.path == "/v1/reports/{source}" and len(str(case.body)) % 5:
        case.path_parameters["source"] = "demo"
