"""Numbers with their nouns, as messages for people write them. Pure."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: ``1 URL``, ``2,000 URLs``. ``many`` is for a plural that takes more than an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
