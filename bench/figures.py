"""The table: what was measured, what it should be, and beside it the naive implementation."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. ``met`` is ``None`` where there is no target."""

    what: str
    target: str
    ours: str
    naive: str = ""
    met: bool | None = None
    how: str = ""


HEAD = ("what", "target", "measured", "naive", "met", "how")


def cells(figure: Figure) -> tuple[str, ...]:
    met = "" if figure.met is None else "yes" if figure.met else "NO"
    return figure.what, figure.target, figure.ours, figure.naive, met, figure.how


def aligned(figures: Sequence[Figure]) -> str:
    """The table for a terminal, without the last column's explanations."""
    rows = [HEAD[:-1], *(cells(figure)[:-1] for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown(figures: Sequence[Figure]) -> str:
    """The table for docs/figures.md."""
    rows = [HEAD, ("---",) * len(HEAD), *map(cells, figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of all lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], scale: float = 1.0) -> str:
    """Median and quartiles: what a busy machine does to a figure must be seen beside it."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else list(values) * 3
    return f"{middle * scale:.0f} ({low * scale:.0f} to {high * scale:.0f})"
