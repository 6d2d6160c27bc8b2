"""A claim keeps the words of its sources in few bytes, and gives them back as they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from chalicelib.domain.words.word import FOREVER, OTHERS, SOURCES_KEPT, SourceWord
from chalicelib.ledger.packed_words import pack, unpack

NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)


def test_words_come_back_as_they_were_to_the_minute() -> None:
    words = (
        SourceWord("desk", NOW, NOW + timedelta(days=7)),
        SourceWord("isp", NOW, FOREVER, bans=False),
        SourceWord(OTHERS, NOW, NOW + timedelta(days=30)),
    )
    assert unpack(pack(words), ["isp", "desk"]) == words


def test_a_source_that_is_configured_no_more_is_named_by_its_bytes() -> None:
    (word,) = unpack(pack([SourceWord("gone", NOW, FOREVER)]), ["desk"])
    assert word.source not in {"gone", "desk", ""}
    assert word.until == FOREVER


def test_sixteen_sources_and_the_others_stay_below_400_bytes() -> None:
    words = [SourceWord(f"source-{number}", NOW, FOREVER) for number in range(SOURCES_KEPT)]
    assert len(pack([*words, SourceWord(OTHERS, NOW, FOREVER)])) < 400
