"""Whether a new bundle should take the place of the one in use."""

from pathlib import Path

import pytest
from tiny_bundle import HEADS, make_tiny_bundle

from export.comparison import Difference, advice, compare_bundles, lost_heads, uncompared_heads
from stream.bundle import Bundle
from stream.evaluation.rows import Row, Target

LABELS = frozenset(HEADS[0].labels)
TEXTS = {
    "negative": ("bad", "fraud", "坏"),
    "neutral": ("a", "the", "day"),
    "positive": ("good", "great", "涨"),
}
ROWS = [
    Row(f"{word} {number}", "news", "en", {"sentiment": Target(frozenset({label}), LABELS)})
    for label, words in TEXTS.items()
    for word in words
    for number in range(20)
]


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that finds everything neutral."""
    head = HEADS[0].model_copy(update={"offsets": [0.0, 50.0, 0.0]})
    return make_tiny_bundle(tmp_path_factory.mktemp("mute"), [head, *HEADS[1:]])


def test_a_better_bundle_is_to_take_the_place_of_a_worse_one_and_never_the_other_way(
    tiny_bundle: Bundle, mute: Bundle
) -> None:
    [better] = compare_bundles(mute, tiny_bundle, ROWS)
    assert (better.head, better.rows, better.new) == ("sentiment", len(ROWS), 1.0)
    assert 0 < better.low <= better.new - better.in_use <= better.high
    assert advice([better]).startswith("switch: the new bundle is better at sentiment")
    [worse] = compare_bundles(tiny_bundle, mute, ROWS)
    assert (worse.low, worse.high) == (-better.high, -better.low)
    assert advice([worse]) == "stay: the new bundle is worse at sentiment"


def test_what_makes_no_difference_is_no_reason_to_switch(tiny_bundle: Bundle) -> None:
    [same] = compare_bundles(tiny_bundle, tiny_bundle, ROWS)
    assert (same.low, same.high) == (0, 0)
    assert advice([same]).startswith("stay: these rows show no clear difference")


def test_a_loss_weighs_more_than_a_gain_elsewhere() -> None:
    gain = Difference("sentiment", 100, 0.7, 0.8, 0.05, 0.15)
    loss = Difference("topics", 100, 0.8, 0.7, -0.15, -0.05)
    assert advice([gain, loss]) == "stay: the new bundle is worse at topics, though better at sentiment"


def test_heads_with_other_labels_are_not_compared(tiny_bundle: Bundle, tmp_path: Path) -> None:
    other = HEADS[0].model_copy(update={"labels": ["positive", "neutral", "negative"]})
    new = make_tiny_bundle(tmp_path / "b", [other])
    assert compare_bundles(tiny_bundle, new, ROWS) == []


@pytest.mark.parametrize(
    ("labels", "lost"),
    [
        (["positive", "neutral", "negative"], []),
        (["negative", "neutral", "positive", "mixed"], []),
        (["negative", "positive"], [HEADS[0].name]),
    ],
)
def test_a_head_is_lost_where_it_or_one_of_its_labels_is_missing(
    tiny_bundle: Bundle, tmp_path: Path, labels: list[str], lost: list[str]
) -> None:
    new = make_tiny_bundle(tmp_path / "b", [HEADS[0].model_copy(update={"labels": labels})])
    assert lost_heads(tiny_bundle, new) == [*lost, *(head.name for head in HEADS[1:])]


def test_nobody_is_told_to_switch_while_a_head_was_not_compared(tiny_bundle: Bundle, mute: Bundle) -> None:
    differences = compare_bundles(mute, tiny_bundle, ROWS)
    assert uncompared_heads(mute, differences, []) == ["topics"]
    assert uncompared_heads(mute, differences, ["topics"]) == []
    assert advice(differences, [], ["topics"]) == (
        "undecided: the new bundle is better at sentiment, but topics could not be compared "
        "(other labels, or no row with one)"
    )
    assert advice([], [], ["topics"]).startswith("stay: ")


def test_nobody_is_told_to_switch_to_a_bundle_that_lacks_a_head() -> None:
    gain = Difference("sentiment", 100, 0.7, 0.8, 0.05, 0.15)
    loss = Difference("topics", 100, 0.8, 0.7, -0.15, -0.05)
    assert advice([gain], ["mood"]) == (
        "stay: the new bundle lacks mood, or some of its labels, though better at sentiment"
    )
    assert advice([loss], ["mood"]) == (
        "stay: the new bundle lacks mood, or some of its labels and is worse at topics"
    )


def test_without_rows_nothing_is_compared(tiny_bundle: Bundle) -> None:
    assert compare_bundles(tiny_bundle, tiny_bundle, []) == []
