"""Companies that a long text names behind what the model reads of it."""

from collections.abc import Collection
from pathlib import Path

from tiny_bundle import ENTITY_HEADS, make_tiny_bundle

from stream.engine.encoding import Encoding
from stream.engine.engine import READ_AT_ONCE, Engine
from stream.engine.judgement import Judgement, Question
from stream.engine.passages import BEFORE_CHARACTERS, passages
from stream.settings import EngineSettings

TOKENS = 64
FILLING = "The court heard witnesses. " * 40


def asked(
    question: Question, behind: Collection[int], most: int = 8
) -> list[tuple[Question, tuple[int, ...]]]:
    """The passages of a text that was cut, with these entities behind the cut."""
    entities = [[] if number in behind else [1] for number in range(len(question.entities))]
    return passages(question, Encoding([1] * TOKENS, entities), TOKENS, most)


def test_a_text_that_is_read_to_its_end_has_no_passages() -> None:
    question = Question(f"{FILLING}Acme fell.", (("Acme",),))
    assert len(passages(question, Encoding([1] * TOKENS, [[]]), TOKENS, 8)) == 1
    assert passages(question, Encoding([1] * (TOKENS - 1), [[]]), TOKENS, 8) == []


def test_a_passage_begins_with_the_sentence_that_names_the_company_first() -> None:
    text = f"Bolt wins. {FILLING}Then Acme fell. Acme rose."
    (found,) = asked(Question(text, (("Bolt",), ("Acme",), ("Nobody",))), [1, 2])
    assert found == (Question("Then Acme fell. Acme rose.", (("Acme",),)), (1,))


def test_companies_of_one_sentence_are_asked_about_together_in_the_order_of_the_text() -> None:
    names = (("Acme",), ("博特",), ("Bolt",), ("Corto", "艾克米"))
    text = f"{FILLING}Bolt and Acme fell. Corto rose. 艾克米公司下跌。博特公司上涨。"
    found = asked(Question(text, names), range(4))
    assert [members for _, members in found] == [(2, 0), (3,), (1,)]
    assert found[0][0].entities == (("Bolt",), ("Acme",))
    assert [question.text[:4] for question, _ in found] == ["Bolt", "Cort", "博特公司"]


def test_of_a_sentence_without_an_end_what_stands_near_the_name_is_asked_about() -> None:
    for filling in ("word " * 200, "字" * 1_000):
        ((question, _),) = asked(Question(f"{filling}Acme", (("Acme",),)), [0])
        assert len(question.text) <= BEFORE_CHARACTERS + len("Acme")
        assert question.text.startswith(filling[:4].strip())


def test_a_company_is_judged_where_its_own_name_stands_and_not_in_another_s() -> None:
    text = f"Acme Steel collapses. {FILLING}Acme rose."
    ((question, members),) = asked(Question(text, (("Acme",), ("Acme Steel",))), [0])
    assert (question.text, members) == ("Acme rose.", (0,))


def test_a_text_that_names_everybody_is_not_asked_about_without_end() -> None:
    names = tuple((f"Acme{number}",) for number in range(50))
    text = FILLING + " ".join(f"{name} fell." for (name,) in names)
    assert [members for _, members in asked(Question(text, names), range(50), most=3)] == [(0,), (1,), (2,)]


def test_a_company_named_late_is_judged_by_the_passage_that_names_it(tmp_path: Path) -> None:
    engine = Engine(make_tiny_bundle(tmp_path, ENTITY_HEADS), EngineSettings(provider="cpu", threads=1))
    engine.load()
    question = Question(f"good Bolt. {FILLING}Then bad Acme fell.", (("Bolt",), ("Acme",), ("Nobody",)))
    (judgement,) = engine.judge([question])
    again = engine.judge([Question("good Bolt", (("Bolt",),)), question])
    engine.close()
    assert isinstance(judgement, Judgement)
    assert judgement["sentiment"].label == "positive"
    towards = [judgement.towards(index, "entity_sentiment", "sentiment").label for index in range(3)]
    assert towards == ["positive", "negative", "positive"]
    assert judgement.entities[2] == {}
    assert again[1] == judgement


def test_a_bundle_that_knows_no_companies_is_asked_about_the_text_alone(tmp_path: Path) -> None:
    engine = Engine(make_tiny_bundle(tmp_path), EngineSettings(provider="cpu", threads=1))
    engine.load()
    (judgement,) = engine.judge([Question(f"good Bolt. {FILLING}Then bad Acme fell.", (("Acme",),))])
    assert isinstance(judgement, Judgement)
    assert judgement.entities == ({},)
    assert engine.steps == 2
    engine.judge([Question(f"bad {number}") for number in range(READ_AT_ONCE + 1)])
    engine.close()
    assert engine.steps > 4


def test_passages_can_be_left_alone(tmp_path: Path) -> None:
    settings = EngineSettings(provider="cpu", threads=1, passages=0)
    engine = Engine(make_tiny_bundle(tmp_path, ENTITY_HEADS), settings)
    engine.load()
    (judgement,) = engine.judge([Question(f"good Bolt. {FILLING}Then bad Acme fell.", (("Acme",),))])
    engine.close()
    assert isinstance(judgement, Judgement)
    assert judgement.entities == ({},)
