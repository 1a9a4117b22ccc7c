"""Numbers survive being packed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.spikes.counts import BUCKETS, Ring
from stream.spikes.state import pack_floats, pack_integers, unpack_floats, unpack_integers


@given(st.lists(st.integers(-(2**60), 2**60)))
def test_integers_come_back(values: list[int]) -> None:
    assert unpack_integers(pack_integers(values)) == values


@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_floats_come_back_exactly(values: list[float]) -> None:
    numbers = np.array(values, dtype=np.float32)
    assert unpack_floats(pack_floats(numbers)).tolist() == numbers.tolist()


def test_neighbours_that_are_alike_take_little_room() -> None:
    offsets = [10**12 + 1000 * partition for partition in range(64)]
    assert len(pack_integers(offsets)) < 60


@pytest.mark.parametrize("text", ["?", "AAAA", pack_integers([1, 2, 3])[:-4]])
def test_a_damaged_text_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each part of the packing says it in its own words
        unpack_integers(text)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 5)), max_size=30),
    st.integers(0, 400),
    st.integers(0, 400),
)
def test_a_ring_sums_what_it_still_keeps(events: list[tuple[int, int]], first: int, last: int) -> None:
    ring = Ring(60, 1)
    newest = max((bucket for bucket, _ in events), default=0)
    kept = [(bucket, amount) for bucket, amount in events if bucket > newest - BUCKETS]
    for bucket, amount in kept:
        ring.slide(bucket)
        if bucket >= ring.first:
            ring.add(bucket, 0, amount)
    expected = sum(amount for bucket, amount in kept if first <= bucket <= last)
    assert ring.total(0, first, last) == expected
