"""Make boto3 clients, with timeouts and bounded retries on every call."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.session import Session as BotocoreSession

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
"""Shapes of DynamoDB's model that hold rows or parts of rows and nothing else."""


@cache
def client(service: str) -> Any:
    """Make the client of a service once a process. Endpoint, region and credentials come from the environment.

    ``standard`` retries cover throttling and lost connections; every write we make may be repeated safely.
    """
    import boto3
    import botocore.session
    from botocore.config import Config

    config = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 5},
        max_pool_connections=32,
        parameter_validation=False,
        user_agent="edgeban",
    )
    session = botocore.session.get_session()
    if service == "dynamodb":
        pass_rows_through(session)
    return boto3.session.Session(botocore_session=session).client(service, config=config)  # type: ignore[call-overload]


def pass_rows_through(session: BotocoreSession) -> None:
    """Make the session's DynamoDB clients send and return rows as the JSON that DynamoDB speaks, untouched.

    botocore walks through every value of every row, and that was a third of the intake's CPU (docs/figures.md,
    "Profiles"). Told that a row is a document, it leaves that to the C code of ``json``; it still signs, sends, retries
    and reads errors as ever. Bytes are base64 text then, which ``dynamodb.py`` sees to.
    """
    shapes = session.get_component("data_loader").load_service_model("dynamodb", "service-2")["shapes"]
    for name in ROWS:
        shapes[name] = {"type": "structure", "members": {}, "document": True}
