"""Fitting a head to labelled rows: it finds a boundary that moved, and does not chase noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.bundle import Head
from stream.evaluation.fit import cross_fitted, fit, folds
from stream.evaluation.scores import softmax

LABELS = ["negative", "neutral", "positive"]
HEAD = Head(name="sentiment", kind="single", labels=LABELS, temperature=2.0, offsets=[0.1, 0.0, -0.1])


def sample(
    count: int, slope: float, shift: list[float], seed: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, and labels drawn as if the true scores were those times `slope` plus `shift`."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(0, 2, (count, 3))
    truth = softmax(slope * scores + np.array(shift))
    gold = np.array([generator.choice(3, p=row) for row in truth])
    return scores, gold, np.ones((count, 3), dtype=bool)


def test_with_many_rows_it_finds_slope_and_offsets() -> None:
    found = fit(*sample(20_000, 1.5, [0.8, -1.2, 0.4]))
    assert found.slope == pytest.approx(1.5, abs=0.05)
    assert found.shift == pytest.approx([0.8, -1.2, 0.4], abs=0.1)


def test_where_nothing_moved_little_changes() -> None:
    found = fit(*sample(50, 1.0, [0.0, 0.0, 0.0]))
    assert found.slope == pytest.approx(1.0, abs=0.3)
    assert np.abs(found.shift).max() < 0.6


def test_one_row_moves_next_to_nothing() -> None:
    found = fit(*sample(1, 1.0, [0.0, 0.0, 0.0]))
    assert np.abs(found.shift).max() < 0.6


def test_fifty_rows_mend_most_of_a_moved_boundary() -> None:
    scores, gold, possible = sample(50, 1.0, [0.0, -2.5, 0.0])
    found = fit(scores, gold, possible)
    others, truth, _ = sample(5_000, 1.0, [0.0, -2.5, 0.0], seed=2)
    before = (others.argmax(axis=1) == truth).mean()
    after = ((found.slope * others + found.shift).argmax(axis=1) == truth).mean()
    best = ((others + np.array([0, -2.5, 0])).argmax(axis=1) == truth).mean()
    assert after - before > 0.8 * (best - before) > 0.05


def test_a_label_that_rows_could_not_have_is_not_punished_by_them() -> None:
    scores, gold, possible = sample(2_000, 1.0, [0.0, 0.0, 0.0])
    gold = np.where(scores[:, 0] > scores[:, 2], 0, 2)
    possible[:, 1] = False
    assert fit(scores, gold, possible).shift[1] == pytest.approx(0, abs=0.3)


def test_the_head_gives_what_the_fit_says() -> None:
    logits = np.random.default_rng(3).normal(0, 3, (40, 3))
    scores, gold, possible = sample(200, 0.7, [0.5, -0.5, 0.0])
    found = fit(scores, gold, possible)
    before = HEAD.scaled(logits)
    after = found.applied_to(HEAD).scaled(logits)
    np.testing.assert_allclose(softmax(after), softmax(found.slope * before + found.shift), atol=2e-4)


def different(count: int) -> list[str]:
    """Keys of so many texts."""
    return [str(number) for number in range(count)]


def test_copies_of_a_text_are_in_one_fold_also_where_their_labels_differ() -> None:
    place = folds(np.array([0, 1, 0, 1, 1, 0, 1, 1]), ["a", "b", "a", "c", "a", "d", "b", "e"])
    assert place[0] == place[2] == place[4]
    assert place[1] == place[6]
    assert np.unique(place[[1, 3, 7]]).size == 3


def test_every_fold_has_its_share_of_every_label() -> None:
    place = folds(np.array([0] * 10 + [1] * 5 + [2] * 7), different(22))
    assert [np.bincount(place[:10]).tolist(), np.bincount(place[10:15]).tolist()] == [[2] * 5, [1] * 5]


def test_a_row_is_never_judged_by_a_fit_to_itself() -> None:
    scores, gold, possible = sample(100, 1.0, [0.0, -1.0, 0.0])
    fitted = cross_fitted(scores, gold, possible, different(100))
    changed = gold.copy()
    changed[7] = (changed[7] + 1) % 3
    # The label of row 7 has no part in its own scores, as long as the folds stay the same.
    place = folds(gold, different(100))
    held_out = place == place[7]
    again = fit(scores[~held_out], changed[~held_out], possible[~held_out])
    np.testing.assert_allclose(fitted[7], again.slope * scores[7] + again.shift)


@given(
    st.lists(
        st.tuples(st.floats(-30, 30), st.floats(-30, 30), st.floats(-30, 30), st.integers(0, 2)),
        min_size=1,
        max_size=30,
    )
)
def test_whatever_the_rows_say_the_fit_is_finite(rows: list[tuple[float, float, float, int]]) -> None:
    scores = np.array([row[:3] for row in rows])
    gold = np.array([row[3] for row in rows])
    found = fit(scores, gold, np.ones_like(scores, dtype=bool))
    assert np.isfinite(found.shift).all()
    assert 0.1 <= found.slope < 10
