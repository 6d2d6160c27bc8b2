"""Make boto3 clients, with timeouts and bounded retries on every call."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.session import Session as BotocoreSession

_MAKING = threading.Lock()
"""Held while a client is made: a session may not make two clients at the same time."""

CONNECTIONS = 80
"""The most connections of a client that stay open: ``deliver_outcomes`` may call from so many threads at once."""

ROWS = (
    "AttributeMap",
    "ExpressionAttributeValueMap",
    "ItemList",
    "Key",
    "KeyList",
    "PartiQLBatchRequest",
    "PartiQLBatchResponse",
    "PreparedStatementParameters",
    "PutItemInputAttributeMap",
)
"""Shapes of DynamoDB's service model that hold only rows or parts of rows."""


@cache
def client(service: str) -> Any:
    """Return the client of a service, made once a process. The environment has endpoint, region and credentials.

    ``standard`` retries cover throttling and lost connections. Each of our writes may safely be repeated.
    """
    from botocore.config import Config

    config = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 5},
        max_pool_connections=CONNECTIONS,
        parameter_validation=False,
        user_agent="edgeban",
    )
    with _MAKING:
        return _session().client(service, config=config)  # type: ignore[call-overload]


@cache
def _session() -> Session:
    """Return the session of all clients: it reads once what botocore needs for each of them, such as all endpoints."""
    import boto3
    import botocore.session

    session = botocore.session.get_session()
    pass_rows_through(session)
    return boto3.session.Session(botocore_session=session)


def pass_rows_through(session: BotocoreSession) -> None:
    """Make the session's DynamoDB clients send and return rows as the JSON that DynamoDB speaks, untouched.

    botocore walks through every value of every row, which took a third of the intake's CPU (docs/figures.md,
    "Profiles"). A shape that is marked as a document is left to the C code of ``json``. botocore still signs, sends,
    retries and reads errors. Bytes become base64 text, which ``wire.py`` encodes and decodes.
    """
    shapes = session.get_component("data_loader").load_service_model("dynamodb", "service-2")["shapes"]
    for name in ROWS:
        shapes[name] = {"type": "structure", "members": {}, "document": True}
