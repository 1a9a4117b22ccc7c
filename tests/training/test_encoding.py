"""Entities as tokens: which spell them, and what stands in where none does."""

from pathlib import Path

import numpy as np
import pytest
from tiny_run import make_encoder
from tokenizers import Tokenizer

from stream.bundle import Head
from stream.engine.encoding import pad
from stream.names import places
from training.encoding import encode
from training.model import load_tokenizer, new_classifier
from training.prediction import predict

LABELS = ["negative", "neutral", "positive"]
HEADS = [
    Head(name="sentiment", kind="single", labels=LABELS),
    Head(name="entity_sentiment", kind="single", labels=LABELS, scope="entity", fallback="sentiment"),
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoding") / "encoder")


@pytest.fixture(scope="module")
def tokenizer(encoder: Path) -> Tokenizer:
    return load_tokenizer(str(encoder))


def positions(tokenizer: Tokenizer, text: str, name: str, maximum_tokens: int = 16) -> list[int]:
    return encode(tokenizer, [text], [[places(text, [name])]], maximum_tokens)[0].entities[0]


def test_an_entity_is_its_tokens_wherever_the_text_has_it(tokenizer: Tokenizer) -> None:
    assert positions(tokenizer, "acme loss and Acme profit", "ACME") == [1, 4]
    assert positions(tokenizer, "word1 profit growth word2", "profit growth") == [2, 3]


def test_a_name_within_another_word_is_no_place(tokenizer: Tokenizer) -> None:
    assert positions(tokenizer, "word12 fell", "word1") == []


def test_an_entity_behind_the_cut_has_no_tokens(tokenizer: Tokenizer) -> None:
    assert positions(tokenizer, "loss loss loss loss acme", "acme", maximum_tokens=5) == []


def test_a_batch_without_entities_has_no_inputs_for_them(tokenizer: Tokenizer) -> None:
    assert set(pad(encode(tokenizer, ["loss"], [[]], 8), 0)) == {"input_ids", "attention_mask"}


def test_answers_stand_in_the_order_of_texts_and_entities(encoder: Path, tokenizer: Tokenizer) -> None:
    model = new_classifier(str(encoder), HEADS, dropout=0.0).eval()
    texts = ["acme loss borealis profit word1 word2", "cobalt loss", "no name", "acme profit cobalt"]
    names = [["acme", "borealis"], ["cobalt"], [], ["cobalt", "acme", "dynamo"]]
    spans = [[places(text, [name]) for name in own] for text, own in zip(texts, names, strict=True)]
    encodings = encode(tokenizer, texts, spans, 16)
    together = predict(model, HEADS, encodings, 0, batch_size=2)
    alone = [predict(model, HEADS, [one], 0, batch_size=1) for one in encodings]
    for head in ("sentiment", "entity_sentiment"):
        one_by_one = np.concatenate([logits[head] for logits in alone])
        np.testing.assert_allclose(together[head], one_by_one, atol=1e-5)
    # `dynamo` is not there: its text answers for it.
    np.testing.assert_array_equal(together["entity_sentiment"][5], together["sentiment"][3])
    assert not np.array_equal(together["entity_sentiment"][4], together["sentiment"][3])


def test_where_no_text_has_an_entity_there_are_no_answers(encoder: Path, tokenizer: Tokenizer) -> None:
    model = new_classifier(str(encoder), HEADS, dropout=0.0).eval()
    encodings = encode(tokenizer, ["loss", "profit"], [[], []], 8)
    logits = predict(model, HEADS, encodings, 0, batch_size=2)
    assert logits["entity_sentiment"].shape == (0, 3)
