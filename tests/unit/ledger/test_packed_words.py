"""A claim keeps the words of its sources in few bytes, and gives them back as they were."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

from chalicelib.domain.policy.duration import FOREVER
from chalicelib.domain.words.word import OTHERS, SOURCES_KEPT, SourceWord
from chalicelib.ledger.packed_words import all_words, end_of_ban, pack, said_after, source_id, unpack, without

NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)


def test_words_come_back_as_they_were_to_the_minute() -> None:
    words = (
        SourceWord("desk", NOW, NOW + timedelta(days=7)),
        SourceWord("isp", NOW, FOREVER, bans=False),
        SourceWord(OTHERS, NOW, NOW + timedelta(days=30)),
    )
    assert unpack(pack(words), ["isp", "desk"]) == words


def test_a_word_says_when_it_was_said_beside_since_when_its_source_is_known() -> None:
    said = SourceWord("desk", NOW, NOW + timedelta(days=7), since=NOW - timedelta(days=2))
    assert unpack(pack([said]), ["desk"]) == (said,)
    assert not all_words(said_after(pack([said]), NOW - timedelta(days=1)))


def test_words_are_read_that_were_written_before_they_said_when_they_were_said() -> None:
    entry = source_id("desk") + struct.pack(
        ">II?4s", int(NOW.timestamp()), int(NOW.timestamp()) // 60 + 60, True, b"abcd"
    )
    (first, second) = unpack(entry + source_id("isp") + entry[4:], ["desk", "isp"])
    assert first == SourceWord("desk", NOW, NOW + timedelta(hours=1), said_in=b"abcd")
    assert second.source == "isp"
    assert end_of_ban(without(entry, "desk")) == 0


def test_a_source_that_is_configured_no_more_is_named_by_its_bytes() -> None:
    (word,) = unpack(pack([SourceWord("gone", NOW, FOREVER)]), ["desk"])
    assert word.source not in {"gone", "desk", ""}
    assert word.until == FOREVER


def test_sixteen_sources_and_the_others_stay_below_400_bytes() -> None:
    words = [SourceWord(f"source-{number}", NOW, FOREVER) for number in range(SOURCES_KEPT)]
    assert len(pack([*words, SourceWord(OTHERS, NOW, FOREVER)])) < 400
