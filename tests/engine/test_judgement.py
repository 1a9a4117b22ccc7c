"""How logits become probabilities and labels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.bundle import Head
from stream.engine.judgement import judgements, probabilities, verdicts

SENTIMENT = Head(name="sentiment", kind="single", labels=["negative", "neutral", "positive"])
TOPICS = Head(name="topics", kind="multi", labels=["credit", "legal"], thresholds=[0.5, 0.8])


def _logits(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def _with(head: Head, **changes: object) -> Head:
    return Head.model_validate(head.model_dump() | changes)


def test_a_single_head_is_a_softmax_of_scaled_and_shifted_logits():
    head = _with(SENTIMENT, temperature=2.0, offsets=[0.5, 0.0, -0.5])

    (row,) = probabilities(head, _logits([2.0, 4.0, 0.0]))

    weights = [math.exp(2 / 2 + 0.5), math.exp(4 / 2), math.exp(0 / 2 - 0.5)]
    assert row == pytest.approx([weight / sum(weights) for weight in weights])


def test_a_multi_head_is_a_sigmoid_of_scaled_and_shifted_logits():
    head = _with(TOPICS, temperature=2.0, offsets=[1.0, -1.0])

    (row,) = probabilities(head, _logits([2.0, 0.0]))

    assert row == pytest.approx([1 / (1 + math.exp(-2.0)), 1 / (1 + math.exp(1.0))])


def test_a_single_head_gives_the_most_probable_label():
    verdict, tie = verdicts(SENTIMENT, _logits([0.0, 1.0, 3.0], [1.0, 1.0, 0.0]))

    assert verdict.labels == ("positive",)
    assert verdict.label == "positive"
    assert verdict.confidence == verdict.probabilities["positive"]
    assert tie.label == "negative"  # the first of equals, on every machine


def test_a_multi_head_gives_every_label_that_reaches_its_own_threshold():
    neither, one, both = verdicts(TOPICS, _logits([-1.0, 1.0], [0.0, 1.0], [9.0, 9.0]))

    assert neither.labels == ()
    assert one.labels == ("credit",)  # exactly at 0.5; the other's 0.73 is under its 0.8
    assert both.labels == ("credit", "legal")


@given(st.lists(st.floats(min_value=-(2.0**120), max_value=2.0**120, width=32), min_size=3, max_size=3))
def test_no_finite_logits_overflow(row):
    (single,) = verdicts(SENTIMENT, _logits(row))
    (multi,) = verdicts(_with(TOPICS, labels=list("abc"), thresholds=[0.5] * 3), _logits(row))

    assert sum(single.probabilities.values()) == pytest.approx(1, abs=2e-6)
    assert all(0 <= value <= 1 for value in multi.probabilities.values())


@given(st.lists(st.floats(min_value=-20, max_value=20, width=32), min_size=2, max_size=2))
def test_published_probabilities_and_labels_agree(row):
    (verdict,) = verdicts(TOPICS, _logits(row))

    over = [
        label
        for label, threshold in zip(TOPICS.labels, TOPICS.thresholds, strict=True)
        if verdict.probabilities[label] >= threshold
    ]
    assert list(verdict.labels) == over


def test_a_judgement_holds_every_head_of_the_manifest_by_name():
    stance = Head(name="stance", kind="single", labels=["against", "for"])

    first, second = judgements(
        [stance, TOPICS],
        {"topics": _logits([9.0, 9.0], [-9.0, -9.0]), "stance": _logits([0.0, 1.0], [1.0, 0.0])},
        [[], []],
    )

    assert list(first.verdicts) == ["stance", "topics"]
    assert (first["stance"].label, second["stance"].label) == ("for", "against")
    assert (first["topics"].labels, second["topics"].labels) == (("credit", "legal"), ())
    assert "stance" in first
    assert "sentiment" not in first
