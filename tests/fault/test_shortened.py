"""The code has every text that the fault runs replace."""

from __future__ import annotations

from pathlib import Path

import pytest

from dev.fault.shortened import BREAKS, TIMES, shortened


@pytest.mark.parametrize("mechanism", sorted(BREAKS))
def test_every_time_and_mechanism_is_found_where_it_is_replaced(tmp_path: Path, mechanism: str) -> None:
    shortened(tmp_path, without=[mechanism])
    for file, _, new in (*TIMES, BREAKS[mechanism]):
        assert new in (tmp_path / file).read_text()
