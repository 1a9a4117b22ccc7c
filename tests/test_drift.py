"""What recent texts are like, against what the model was trained on."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.bundle import Head
from stream.drift import Mix, aspects, drift
from stream.engine.judgement import Judgement, Verdict

HEADS = [
    Head(name="sentiment", kind="single", labels=["negative", "positive"]),
    Head(name="topics", kind="multi", labels=["earnings", "people"], thresholds=[0.5, 0.5]),
    Head(name="towards", kind="single", labels=["negative", "positive"], scope="entity"),
]
shares = st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 1), min_size=1)


def judged(negative: float, *topics: str) -> Judgement:
    label = "negative" if negative > 0.5 else "positive"
    sentiment = Verdict((label,), {"negative": negative, "positive": 1 - negative})
    return Judgement({"sentiment": sentiment, "topics": Verdict(topics, {})})


def test_a_text_has_a_value_of_each_aspect() -> None:
    ids = [0, *[9] * 38, 2]
    assert aspects("Shares fell", ids, 9, judged(0.95, "earnings", "people"), HEADS) == {
        "language": ["en"],
        "tokens": ["up to 64"],
        "unknown tokens": ["over 0.1"],
        "sentiment": ["negative"],
        "sentiment confidence": ["up to 0.97"],
        "topics": ["earnings", "people"],
    }
    few = aspects("股价下跌", [1, 2], None, judged(0.99), HEADS)
    assert (few["language"], few["unknown tokens"], few["topics"]) == (["zh"], ["up to 0"], ["none"])


def test_a_profile_tells_shares() -> None:
    mix = Mix()
    mix.add({"language": ["en"], "topics": ["earnings", "people"]}, weight=3)
    mix.add({"language": ["zh"], "topics": ["people"]})
    assert mix.profile == {
        "language": {"en": 0.75, "zh": 0.25},
        "topics": {"earnings": 0.375, "people": 0.625},
    }


def test_old_texts_fade() -> None:
    mix = Mix(half_life_texts=100)
    for language in ["en"] * 10_000 + ["zh"] * 100:
        mix.add({"language": [language]})
    assert mix.profile["language"]["zh"] == pytest.approx(0.5, abs=0.01)


def test_the_same_mix_has_not_drifted_and_another_one_has() -> None:
    usual = {"language": {"en": 0.5, "zh": 0.5}}
    assert drift(usual, usual) == {"language": 0.0}
    assert drift(usual, {"language": {"en": 0.6, "zh": 0.4}})["language"] < 0.1
    assert drift(usual, {"language": {"en": 1.0}})["language"] > 0.25


def test_what_only_one_of_them_knows_is_not_compared() -> None:
    assert drift({"language": {"en": 1.0}}, {"tokens": {"up to 16": 1.0}}) == {}


@given(shares, shares)
def test_drift_is_never_negative_and_the_same_both_ways(
    one: dict[str, float], other: dict[str, float]
) -> None:
    there, back = drift({"x": one}, {"x": other})["x"], drift({"x": other}, {"x": one})["x"]
    assert there >= 0
    assert math.isclose(there, back)
