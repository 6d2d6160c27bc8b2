"""The app itself, with fakes where AWS would be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dev.fakes.api import Api, api_over_a_world


@pytest.fixture
def api() -> Iterator[Api]:
    with api_over_a_world() as api:
        yield api
