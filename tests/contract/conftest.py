"""The real parts that contracts are held against."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dev.local_aws import LocalAws


@pytest.fixture(scope="session")
def bare_aws() -> Iterator[LocalAws]:
    """Start a local AWS with nothing deployed in it."""
    aws = LocalAws()
    aws.start()
    try:
        aws.wait()
        yield aws
    finally:
        aws.stop()
