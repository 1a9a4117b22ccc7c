"""Sentences made of patterns: what they say hangs on their figures alone."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tiny_run import write_jsonl

from stream.evaluation.identity import text_key
from stream.evaluation.rows import Row
from training.adapters import DataError, Reading, read_set
from training.configuration import DataSet, Head
from training.patterns import Pattern, fill

HEADS = [
    Head(name="sentiment", kind="single", labels=("negative", "neutral", "positive")),
    Head(
        name="company",
        kind="single",
        scope="entity",
        labels=("negative", "neutral", "positive"),
        fallback="sentiment",
    ),
]
PROFIT = Pattern(
    text="{company} earned EUR {now} mn, against EUR {then} mn", better="higher", figure="amount"
)


def figures(sentence: dict[str, Any]) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", sentence["text"])]


@pytest.mark.parametrize("figure", ["amount", "integer", "percent", "per_share", "price"])
@pytest.mark.parametrize(("better", "rising"), [("higher", "positive"), ("lower", "negative")])
def test_the_label_is_that_of_the_figures(figure: str, better: str, rising: str) -> None:
    falling = {"positive": "negative", "negative": "positive"}[rising]
    pattern = Pattern(text="there were {now}, and {then} before", better=better, figure=figure)  # type: ignore[arg-type]
    for sentence in fill(pattern, 200):
        now, then = figures(sentence)
        wanted = "neutral" if now == then else rising if now > then else falling
        assert sentence["sentiment"] == wanted, sentence


@pytest.mark.parametrize("figure", ["amount", "integer", "percent", "per_share", "price"])
def test_as_many_rise_as_fall_and_some_stay(figure: str) -> None:
    pattern = Pattern(text="there were {now}, and {then} before", better="higher", figure=figure)  # type: ignore[arg-type]
    counts = Counter(sentence["sentiment"] for sentence in fill(pattern, 1200))
    assert 60 < counts["neutral"] < 150
    assert abs(counts["positive"] - counts["negative"]) < 60


def test_the_same_pattern_makes_the_same_sentences() -> None:
    assert list(fill(PROFIT, 5)) == list(fill(PROFIT, 9))[:5]


def test_the_company_is_in_its_text() -> None:
    for pattern in (
        PROFIT,
        Pattern(text="${company} {now} vs {then} est", better="higher", figure="per_share"),
    ):
        for sentence in fill(pattern, 20):
            [company] = sentence["entities"]
            assert company["name"] in sentence["text"]
            assert company["sentiment"] == sentence["sentiment"]
    [unnamed] = fill(Pattern(text="CPI {now}% vs {then}%", better="lower", figure="percent"), 1)
    assert unnamed["entities"] == []


@pytest.mark.parametrize("text", ["{now} alone", "{now}, {then}, {then}", "no figure"])
def test_a_pattern_without_two_figures_is_none(text: str) -> None:
    with pytest.raises(ValidationError, match=r"wants \{now\} and \{then\}, each once"):
        Pattern(text=text, better="higher", figure="amount")


def reading_of(tmp_path: Path, patterns: list[dict[str, Any]], part: str = "train") -> Reading:
    write_jsonl(tmp_path / "patterns.jsonl", patterns)
    labels = {
        "sentiment": {"column": "sentiment"},
        "company": {"column": "entities.sentiment", "entity": "entities.name"},
    }
    data = {
        "name": "figures",
        "files": {part: "patterns.jsonl"},
        "fill": 6,
        "licence": "MIT",
        "labels": labels,
    }
    return read_set(DataSet.model_validate(data), HEADS, tmp_path)


def read(tmp_path: Path, patterns: list[dict[str, Any]], part: str = "train") -> list[Row]:
    return reading_of(tmp_path, patterns, part).rows


def test_a_set_of_patterns_has_the_sentences_that_they_make(tmp_path: Path) -> None:
    rows = read(tmp_path, [PROFIT.model_dump()])
    assert [row.text for row in rows] == [sentence["text"] for sentence in fill(PROFIT, 6)]
    assert all(row.entities[0].spans for row in rows)


def test_a_sentence_is_known_by_the_pattern_that_made_it(tmp_path: Path) -> None:
    other = PROFIT.model_copy(update={"text": "{company} sold EUR {now} mn, against EUR {then} mn"})
    reading = reading_of(tmp_path, [PROFIT.model_dump(), other.model_dump()])
    made = {text_key(row.text): text_key((PROFIT, other)["sold" in row.text].text) for row in reading.rows}
    assert reading.patterns == made
    assert len(set(made.values())) == 2


def test_nothing_is_learnt_of_figures_that_no_reading_compares_but_all_are_judged(tmp_path: Path) -> None:
    odd = {"text": "of {now} beans we speak, {then} peas", "better": "higher", "figure": "integer"}
    other = {"text": "{now} mn vs 4 mn in 2008; {then} mn vs 5 mn", "better": "higher", "figure": "amount"}
    assert not read(tmp_path, [odd, other])
    assert len(read(tmp_path, [odd], "test")) == 6


def test_a_line_that_is_no_pattern_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"patterns.jsonl, line 2 is no pattern: .*better"):
        read(tmp_path, [PROFIT.model_dump(), {"text": "{now} {then}", "figure": "amount"}])
