"""What a bundle answers to labelled rows: as it answers to the stream."""

from pathlib import Path

from tiny_bundle import ENTITY_HEADS, make_tiny_bundle

from stream.engine.engine import Engine
from stream.engine.judgement import Judgement, Question
from stream.evaluation.prediction import predict_rows
from stream.evaluation.rows import Entity, Row
from stream.settings import EngineSettings

FILLING = "The court heard witnesses. " * 40


def test_companies_are_judged_as_in_the_stream_wherever_a_text_names_them(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path, ENTITY_HEADS)
    texts = {
        "bad news, Acme": ("Acme",),
        f"good Bolt. {FILLING}Then bad Acme fell.": ("Bolt", "Acme", "Nobody"),
        f"{FILLING}Then good Corto rose.": ("Corto",),
    }
    rows = [
        Row(text, "set", "en", {}, entities=tuple(Entity(name, (), {}, (name,)) for name in names))
        for text, names in texts.items()
    ]
    for most in (8, 0):
        settings = EngineSettings(provider="cpu", threads=1, passages=most)
        logits = predict_rows(bundle, settings, rows)["entity_sentiment"]
        labels = ENTITY_HEADS[-1].labels
        found = [labels[index] for index in logits.argmax(axis=1)]
        engine = Engine(bundle, settings)
        engine.load()
        told = []
        for text, names in texts.items():
            (judgement,) = engine.judge([Question(text, tuple((name,) for name in names))])
            assert isinstance(judgement, Judgement)
            told += [
                judgement.towards(number, "entity_sentiment", "sentiment").label
                for number in range(len(names))
            ]
        engine.close()
        assert found == told
        assert found[1:] == (
            ["positive", "negative", "positive", "positive"]
            if most
            else ["positive", "positive", "positive", "neutral"]
        )
