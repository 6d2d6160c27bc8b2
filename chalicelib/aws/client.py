"""Make boto3 clients, with timeouts and bounded retries on every call."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def client(service: str) -> Any:
    """Make the client of a service once a process. Endpoint, region and credentials come from the environment.

    ``standard`` retries cover throttling and lost connections; every write we make may be repeated safely.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 5},
        max_pool_connections=32, parameter_validation=False,
    )  # fmt: skip
    return boto3.session.Session().client(service, config=config)  # type: ignore[call-overload]
