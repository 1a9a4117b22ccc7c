"""What the model has said is kept on disk, and never given for another model's word."""

import sqlite3
from pathlib import Path

import pytest
from tiny_bundle import ENTITY_HEADS, make_tiny_bundle

from stream.backtest.scorer import Scorer
from stream.bundle import Bundle
from stream.command import UsageError
from stream.engine.engine import Engine
from stream.engine.judgement import Judgement, JudgementError, Question
from stream.settings import EngineSettings, Settings

QUESTIONS = [
    Question("fraud at acme", (("acme",),)),
    Question("good day"),
    Question("fraud at acme"),
    Question("good day"),
]


def settings(bundle: Bundle) -> Settings:
    return Settings(bundle=bundle.folder)


def test_a_second_run_does_not_ask_the_model(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scorer(settings(tiny_bundle), tmp_path / "new" / "cache.sqlite") as scorer:
        first = scorer.judge(QUESTIONS)
    monkeypatch.setattr(Engine, "load", lambda _: pytest.fail("the model was asked"))
    with Scorer(settings(tiny_bundle), tmp_path / "new" / "cache.sqlite") as scorer:
        assert scorer.judge(QUESTIONS) == first
    assert all(isinstance(one, Judgement) for one in first)
    assert first[1] == first[3]


def test_another_bundle_is_asked_for_itself(tiny_bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "cache.sqlite"
    with Scorer(settings(tiny_bundle), file) as scorer:
        scorer.judge(QUESTIONS[:1])
    other = tiny_bundle.model_copy(update={"hash": "another"})
    with Scorer(settings(tiny_bundle), file) as scorer:
        scorer._bundle = other
        assert scorer._look_up(b"anything") is None
        scorer.judge(QUESTIONS[:1])
        rows = scorer._cache.execute("SELECT bundle FROM judgements ORDER BY bundle").fetchall()
    assert rows == sorted([(tiny_bundle.hash,), ("another",)])


def test_a_text_that_is_read_otherwise_than_before_is_asked_anew(tiny_bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "cache.sqlite"
    questions = [Question("profit 3 million, against 5 million a year earlier"), Question("good day")]
    with Scorer(settings(tiny_bundle), file) as scorer:
        scorer.judge(questions)
    comparing = tiny_bundle.manifest.model_copy(update={"compares_figures": True})
    with Scorer(settings(tiny_bundle), file) as scorer:
        scorer._bundle = tiny_bundle.model_copy(update={"manifest": comparing})
        scorer.judge(questions)
        assert scorer._cache is not None
        assert scorer._cache.execute("SELECT count(*) FROM judgements").fetchone() == (3,)


def test_without_a_cache_nothing_is_written(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Scorer(settings(tiny_bundle)) as scorer:
        assert not isinstance(scorer.judge(QUESTIONS)[0], JudgementError)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_cache_is_named(tiny_bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text(
        "these are my notes, and long enough to be read as a header of something", encoding="utf-8"
    )
    with pytest.raises(UsageError, match=r"notes\.txt"):
        Scorer(settings(tiny_bundle), file)


def test_a_cache_that_can_only_be_read_is_named_before_the_work(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cache.sqlite"
    with Scorer(settings(tiny_bundle), file):
        pass
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path: connect(f"file:{path}?mode=ro", uri=True))
    with pytest.raises(UsageError, match=r"cache\.sqlite.*readonly.*--no-cache"):
        Scorer(settings(tiny_bundle), file)


def test_a_cache_that_takes_no_more_is_named(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with Scorer(settings(tiny_bundle), tmp_path / "cache.sqlite") as scorer:
        assert scorer._cache is not None
        scorer._cache.execute("PRAGMA query_only = ON")
        with pytest.raises(UsageError, match=r"cache\.sqlite.*--no-cache"):
            scorer.judge(QUESTIONS)


def test_what_was_said_without_passages_is_not_given_for_what_is_said_with_them(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "bundle", ENTITY_HEADS)
    late = Question(f"good Bolt. {'The court heard witnesses. ' * 40}Then bad Acme fell.", (("Acme",),))
    told = []
    for most in (0, 8):
        chosen = Settings(bundle=bundle.folder, engine=EngineSettings(passages=most))
        with Scorer(chosen, tmp_path / "cache.sqlite") as scorer:
            (judgement,) = scorer.judge([late])
        assert isinstance(judgement, Judgement)
        told.append(judgement.towards(0, "entity_sentiment", "sentiment").label)
    assert told == ["positive", "negative"]
