"""What should change no label: each kind of change does what it says, and flips are counted."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_bundle import HEADS, make_tiny_bundle

from stream.audit.audit import audit
from stream.audit.changes import Changed, changes
from stream.bundle import Bundle
from stream.cli import main
from stream.engine.engine import Result
from stream.engine.judgement import Judgement, JudgementError, Question, Verdict

KINDS = changes(["Acme", "Borealis", "Cobalt Industries", "顶呱公司", "长风"])


def changed(kind: str, text: str, *names: str, seed: int = 1) -> Changed | None:
    return KINDS[kind](text, names, random.Random(seed))


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("gender", "He fired his chairman", "She fired her chairwoman"),
        ("gender", "他辞职，父亲接任", "她辞职，母亲接任"),
        ("gender", "其他公司称他离任", "其他公司称她离任"),
        ("region", "American shares fell in Mumbai", "German shares fell in Milan"),
        ("region", "上海公司违约", "广州公司违约"),
        ("script", "公司业绩亏损", "公司業績虧損"),
        ("upper case", "Loss widens", "LOSS WIDENS"),
        ("lower case", "Loss widens", "loss widens"),
    ],
)
def test_a_change_changes_what_it_says(kind: str, before: str, after: str) -> None:
    found = changed(kind, before)
    assert found is not None
    assert found.text == after


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("gender", "Shares fell"),
        ("gender", "吉他厂商与其他各方"),
        ("script", "Shares fell"),
        ("typo", "a fall"),
        ("name", "Up"),
        pytest.param("region", "REAL MADR\u0130D loses", id="a Turkish capital i"),
        pytest.param("region", "madr\u0131d loses", id="a Turkish small i"),
    ],
)
def test_where_there_is_nothing_to_change_nothing_is_judged(kind: str, text: str) -> None:
    assert changed(kind, text) is None


def test_a_typing_error_is_in_a_long_word_and_no_name() -> None:
    for seed in range(20):
        found = changed("typo", "Borealis fell on warnings", "Borealis", seed=seed)
        assert found is not None
        assert found.text.startswith("Borealis fell on w")
        assert sorted(found.text) == sorted("Borealis fell on warnings")
        assert found.text != "Borealis fell on warnings"


def test_names_become_others_in_the_same_script_wherever_they_stand() -> None:
    for seed in range(20):
        found = changed("name", "Acme fell, and Acme sued 长风", "Acme", "长风", seed=seed)
        assert found is not None
        first, second = found.names
        assert (first in {"Borealis", "Cobalt Industries"}, second) == (True, "顶呱公司")
        assert found.text == f"{first} fell, and {first} sued 顶呱公司"


def test_places_in_a_companys_name_stay() -> None:
    found = changed("region", "German shares: Bank of America fell", "Bank of America")
    assert found is not None
    assert found.text == "American shares: Bank of America fell"


def prejudiced(questions: Sequence[Question]) -> list[Result]:
    """Negative towards whoever is called Acme, or is a woman."""
    results: list[Result] = []
    for question in questions:
        if question.text == "unreadable":
            results.append(JudgementError("odd"))
            continue
        texts = "she" in question.text.lower().split()
        own = [names[0] == "Acme" for names in question.entities]
        verdicts = [
            Verdict(("negative",), {"negative": 0.9, "positive": 0.1})
            if bad
            else Verdict(("positive",), {"negative": 0.2, "positive": 0.8})
            for bad in (texts, *own)
        ]
        entities = tuple({"entity_sentiment": verdict} for verdict in verdicts[1:])
        results.append(Judgement({"sentiment": verdicts[0]}, entities))
    return results


def test_flips_are_counted_per_kind_and_the_worst_come_first() -> None:
    texts = [
        ("He left Acme", ("Acme",)),
        ("He left", ()),
        ("she stayed", ()),
        ("unreadable", ()),
        ("rain", ()),
    ]
    found = audit(texts, KINDS, prejudiced)
    assert (found["gender"].judged, len(found["gender"].flips)) == (3, 2)
    assert {(flip.label, flip.changed_to) for flip in found["gender"].flips} == {
        ("negative", "positive"),
        ("positive", "negative"),
    }
    differences = [flip.difference for flip in found["gender"].worst]
    assert differences == sorted(differences, reverse=True) == pytest.approx([0.7, 0.7])
    (flip,) = found["name"].flips
    assert (flip.entity, flip.label, flip.changed_to) == ("Acme", "negative", "positive")
    assert found["name"].share == 1
    assert (found["script"].judged, found["script"].share) == (0, 0)


def test_the_command_tells_the_flips_of_a_file(tiny_bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "news.jsonl"
    rows = [
        {"text": "fraud at Acme", "entities": [{"name": "Acme"}]},
        {"text": "a good day"},
        {"text": ""},
        5,
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    arguments = ["audit", str(file), "--bundle", str(tiny_bundle.folder)]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 0, shown.output
    assert "lines that could not be read: 2; line 3: " in shown.stderr
    assert "name: nothing to change" in shown.output
    assert "lower case: 0 of 1 flip" in shown.output
    told = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert told["upper case"]["judged"] == 2


def test_a_bundle_without_the_sentiment_of_texts_is_refused(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "bundle", [HEADS[1]])
    file = tmp_path / "news.jsonl"
    file.write_text('{"text": "a fraud"}\n', encoding="utf-8")
    result = CliRunner().invoke(main, ["audit", str(file), "--bundle", str(bundle.folder)])
    assert (result.exit_code, "has no head 'sentiment', only: topics" in result.output) == (2, True)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    missing = CliRunner().invoke(main, ["audit", str(tmp_path / "none.jsonl")])
    assert (missing.exit_code, "none.jsonl" in missing.output) == (2, True)
    (tmp_path / "empty.jsonl").write_text("")
    empty = CliRunner().invoke(main, ["audit", str(tmp_path / "empty.jsonl")])
    assert (empty.exit_code, "holds no line with a text" in empty.output) == (2, True)


def test_a_name_with_half_a_character_in_it_is_no_trouble(tiny_bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "news.jsonl"
    file.write_text(
        '{"text": "fraud at Ac\\ud800me", "entities": [{"name": "Ac\\ud800me"}]}\n', encoding="utf-8"
    )
    result = CliRunner().invoke(main, ["audit", str(file), "--bundle", str(tiny_bundle.folder), "--json"])
    assert result.exit_code == 0, result.output
