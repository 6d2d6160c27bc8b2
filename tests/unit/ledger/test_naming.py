"""When a source last named a URL: noted twice a day, and read once by a process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.ledger import naming
from dev.fakes.rows import MemoryRows

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def another_process(rows: MemoryRows) -> MemoryRows:
    """Return the same table as a process sees it that has read nothing yet."""
    other = MemoryRows()
    other.rows = rows.rows
    return other


def test_a_process_reads_a_note_once_and_writes_it_anew_when_it_is_old() -> None:
    rows = MemoryRows()
    naming.note(rows, ["desk"], now=NOW)
    before = dict(rows.calls)
    for hours in (1, 6, 11):
        naming.note(rows, ["desk", "desk"], now=NOW + timedelta(hours=hours))
    assert dict(rows.calls) == before
    naming.note(rows, ["desk"], now=NOW + timedelta(hours=13))
    assert naming.lately(rows, ["desk"], now=NOW + timedelta(hours=13) + naming.LATELY - timedelta(hours=1)) == {"desk"}


def test_a_note_that_another_process_wrote_is_not_written_again_before_it_is_old() -> None:
    rows = MemoryRows()
    naming.note(rows, ["desk"], now=NOW)
    other = another_process(rows)
    naming.note(other, ["desk"], now=NOW + timedelta(hours=11))
    written = [other.units["written"]]
    naming.note(other, ["desk"], now=NOW + timedelta(hours=13))
    assert [*written, other.units["written"]] == [0, 1]


def test_only_the_sources_whose_notes_are_not_known_are_read() -> None:
    rows = MemoryRows()
    naming.note(rows, ["desk"], now=NOW)
    naming.note(rows, ["desk", "other"], now=NOW)
    assert naming.lately(rows, ["desk", "other", "third"], now=NOW) == {"desk", "other"}


def test_a_note_that_could_not_be_written_is_tried_again() -> None:
    class Failing(MemoryRows):
        def write(self, writes: object) -> set[int]:
            raise OSError("reset")

    failing = Failing()
    for _ in range(2):
        with pytest.raises(OSError, match="reset"):
            naming.note(failing, ["desk"], now=NOW)
