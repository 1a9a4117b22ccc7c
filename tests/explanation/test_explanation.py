"""Which words drive a judgement: by word in every script, and by what the model itself says without them."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tiny_bundle import ENTITY_HEADS, HEADS, make_tiny_bundle

from stream.bundle import Bundle
from stream.cli import main
from stream.engine.engine import Engine, Result
from stream.engine.judgement import Judgement, JudgementError, Question, Verdict
from stream.explanation.occlusion import explain
from stream.explanation.words import without, words
from stream.pseudonyms import Pseudonyms
from stream.settings import EngineSettings

LABELS = ("negative", "neutral", "positive")


def pieces(text: str, *cuts: str) -> list[tuple[int, int]]:
    """The places of these parts of a text, one after the other."""
    places, start = [], 0
    for cut in cuts:
        start = text.index(cut, start)
        places.append((start, start + len(cut)))
        start += len(cut)
    return places


def spelled(text: str, *cuts: str) -> list[str]:
    return [text[slice(*word)] for word in words(text, pieces(text, *cuts))]


def test_the_tokens_of_a_word_are_one_word_in_a_spaced_script() -> None:
    assert spelled("Shares plunged 5%", "Sha", "res", " plung", "ed", " 5", "%") == ["Shares", "plunged", "5"]


def test_a_token_is_a_word_where_there_are_no_spaces() -> None:
    assert spelled("业绩大幅下滑", "业绩", "大幅", "下滑") == ["业绩", "大幅", "下滑"]


def test_scripts_may_mix() -> None:
    assert spelled("Acme公司下滑5.2亿", "Ac", "me", "公司", "下滑", "5", ".", "2", "亿") == [
        "Acme",
        "公司",
        "下滑",
        "5",
        "2",
        "亿",
    ]


def test_leaving_a_word_out_leaves_no_double_space() -> None:
    text = "sell Acme now"
    assert [without(text, word) for word in pieces(text, "sell", "Acme", "now")] == [
        "Acme now",
        "sell now",
        "sell Acme ",
    ]


@given(st.text("ab业。 ", max_size=20), st.data())
def test_words_stand_in_order_and_never_overlap(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
    found = words(text, list(pairwise(cuts)))
    ends = [0, *(end for _, end in found)]
    assert all(end <= start < stop for end, (start, stop) in zip(ends, found, strict=False))
    assert all(text[start:end].strip() == text[start:end] for start, end in found)


def keyword_judge(questions: Sequence[Question]) -> list[Result]:
    """Negative by so much for each `bad`."""
    results: list[Result] = []
    for question in questions:
        negative = min(0.9, 0.1 + 0.4 * question.text.split().count("bad"))
        verdict = Verdict(
            ("negative",) if negative > 0.5 else ("positive",),
            {"negative": negative, "neutral": 0.0, "positive": 1 - negative},
        )
        results.append(Judgement({"sentiment": verdict}))
    return results


def test_a_words_influence_is_what_the_probability_loses_without_it() -> None:
    text = "a bad day for bad news"
    found = pieces(text, "a", "bad", "day", "for", "bad", "news")
    explanation = explain(text, found, keyword_judge)
    assert explanation.label == "negative"
    assert explanation.probabilities["negative"] == 0.9
    text = "a bad day"
    negative = explain(text, pieces(text, "a", "bad", "day"), keyword_judge, label="negative")
    assert [(one.word, one.change) for one in negative.influences] == [("a", 0.0), ("bad", 0.4), ("day", 0.0)]
    assert [one.word for one in negative.strongest(5)] == ["bad"]


def test_an_entity_is_never_left_out_of_what_is_asked_about_it() -> None:
    asked: list[Question] = []

    def judge(questions: Sequence[Question]) -> list[Result]:
        asked.extend(questions)
        return keyword_judge(questions)

    text = "bad day for Acme Bank"
    found = pieces(text, "bad", "day", "for", "Acme", "Bank")
    explanation = explain(text, found, judge, entity=["Acme Bank"])
    assert [one.word for one in explanation.influences] == ["bad", "day", "for"]
    assert all("Acme Bank" in question.text and question.entities == (("Acme Bank",),) for question in asked)


def test_other_companies_are_read_as_they_were_when_the_text_was_judged() -> None:
    asked: list[Question] = []

    def judge(questions: Sequence[Question]) -> list[Result]:
        asked.extend(questions)
        return keyword_judge(questions)

    text = "bad day for Acme"
    explanation = explain(text, pieces(text, "bad", "day", "for", "Acme"), judge, others=[["Acme"]])
    assert [one.word for one in explanation.influences] == ["bad", "day", "for"]
    assert all(question.entities == (("Acme",),) for question in asked)


def test_a_text_that_the_model_fails_on_says_so() -> None:
    with pytest.raises(ValueError, match="cannot be judged: too odd"):
        explain("x", [], lambda questions: [JudgementError("too odd") for _ in questions])
    with pytest.raises(ValueError, match="does not name 'Acme'"):
        explain("Acmeville fell", [], keyword_judge, entity=["Acme"])
    with pytest.raises(ValueError, match="'awful' is none of negative"):
        explain("x", [], keyword_judge, label="awful")


@pytest.mark.parametrize("text", ["fraud at acme and a lawsuit", "好 fraud"])
def test_the_command_agrees_with_the_model(tiny_bundle: Bundle, tiny_engine: Engine, text: str) -> None:
    result = CliRunner().invoke(main, ["explain", text, "--bundle", str(tiny_bundle.folder), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    (whole,) = tiny_engine.judge([Question(text)])
    assert isinstance(whole, Judgement)
    assert told["label"] == whole["sentiment"].label
    assert told["probabilities"] == whole["sentiment"].probabilities
    strongest = max(told["words"], key=lambda one: one["influence"])
    assert strongest["word"] == "fraud"


@pytest.fixture
def pseudonymous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A bundle for which Acme, which is on the watch list of the settings, is called Good."""
    watchlist = tmp_path / "watchlist.yaml"
    watchlist.write_text("entities: [{name: Acme, ticker: ACM, aliases: [Acme Steel]}]\n", encoding="utf-8")
    monkeypatch.setenv("DOWNTICK_WATCHLIST", str(watchlist))
    return make_tiny_bundle(tmp_path / "bundle", ENTITY_HEADS, pseudonyms=Pseudonyms(latin=("Good",)))


@pytest.mark.parametrize("entity", [None, "Acme", "Acme Steel", "ACM", "$acm"])
def test_the_command_reads_a_text_as_the_stream_does(pseudonymous: Bundle, entity: str | None) -> None:
    text = "bad Acme"
    arguments = ["explain", text, "--bundle", str(pseudonymous.folder), "--json"]
    result = CliRunner().invoke(main, [*arguments, *(["--entity", entity] if entity else [])])
    assert result.exit_code == 0, result.output
    engine = Engine(pseudonymous, EngineSettings(provider="cpu", threads=1))
    engine.load()
    (whole,) = engine.judge([Question(text, (("Acme",),))])
    engine.close()
    assert isinstance(whole, Judgement)
    verdict = whole.towards(0, "entity_sentiment", "sentiment") if entity else whole["sentiment"]
    assert json.loads(result.output)["probabilities"] == verdict.probabilities


def test_a_bundle_without_the_sentiment_of_texts_is_refused(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "bundle", [HEADS[1]])
    result = CliRunner().invoke(main, ["explain", "a fraud", "--bundle", str(bundle.folder)])
    assert (result.exit_code, "has no head 'sentiment', only: topics" in result.output) == (2, True)


def test_the_command_shows_the_words_for_people(tiny_bundle: Bundle) -> None:
    arguments = ["explain", "fraud at acme", "--bundle", str(tiny_bundle.folder), "--label", "negative"]
    result = CliRunner().invoke(main, arguments)
    assert "fraud  (for negative)" in result.output
    empty = CliRunner().invoke(main, ["explain", " ", "--bundle", str(tiny_bundle.folder)])
    assert (empty.exit_code, "the text is empty" in empty.output) == (2, True)
