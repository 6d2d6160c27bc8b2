"""Lists are cut by count and by bytes, and no item is lost or moved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.cutting import cut


def test_parts_are_cut_by_count() -> None:
    assert list(cut(range(5), count=2)) == [[0, 1], [2, 3], [4]]


def test_nothing_is_cut_into_nothing() -> None:
    assert list(cut([], count=2)) == []


def test_parts_are_cut_by_size_and_one_that_is_too_large_stands_alone() -> None:
    assert list(cut(["aa", "b", "cccc", "d"], count=9, size=3, size_of=len)) == [["aa", "b"], ["cccc"], ["d"]]


def test_what_items_have_in_common_counts_once_a_part_in_bytes() -> None:
    items = [("a", "é" * 5), ("b", "é" * 5), ("c", "é" * 5), ("d", "other")]
    parts = list(cut(items, count=9, size=12, size_of=lambda item: len(item[0]), shared_of=lambda item: item[1]))
    assert [[name for name, _ in part] for part in parts] == [["a", "b"], ["c"], ["d"]]


@given(st.lists(st.text(max_size=9)), st.integers(1, 5), st.integers(1, 20))
def test_parts_keep_order_and_limits_and_none_is_smaller_than_it_must_be(
    texts: list[str], count: int, size: int
) -> None:
    parts = list(cut(texts, count=count, size=size, size_of=len))
    assert [text for part in parts for text in part] == texts
    for part, following in zip(parts, [*parts[1:], None], strict=False):
        assert len(part) <= count
        assert len(part) == 1 or sum(map(len, part)) <= size
        if following:
            assert len(part) == count or sum(map(len, part)) + len(following[0]) > size
