"""The table of figures: what was measured, its target, and the naive implementation's figure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. ``met`` is ``None`` if there is no target."""

    what: str
    target: str
    ours: str
    naive: str = ""
    met: bool | None = None
    how: str = ""


HEAD = ("what", "target", "measured", "naive", "met", "how")


def cells(figure: Figure) -> tuple[str, ...]:
    """Return the cells of a row."""
    met = "" if figure.met is None else "yes" if figure.met else "NO"
    return figure.what, figure.target, figure.ours, figure.naive, met, figure.how


def aligned(figures: Sequence[Figure]) -> str:
    """Return the table for a terminal, without the explanations of the last column."""
    rows = [HEAD[:-1], *(cells(figure)[:-1] for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown(figures: Sequence[Figure]) -> str:
    """Return the table for docs/figures.md."""
    rows = [HEAD, ("---",) * len(HEAD), *map(cells, figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], scale: float = 1.0) -> str:
    """Return median and quartiles, so that the effect of a busy machine is seen."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else list(values) * 3
    return f"{middle * scale:.0f} ({low * scale:.0f} to {high * scale:.0f})"
