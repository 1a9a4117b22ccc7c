"""A checkpoint for tests of what is made of one: it tells good words from bad ones, and nothing else."""

import json
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner
from tiny_run import BAD, GOOD, make_encoder

from export.cli import export
from stream.bundle import Head
from stream.engine.encoding import Encoding, pad
from stream.evaluation.rows import Entity, Row, Target, write_rows
from stream.names import places
from training.encoding import encode
from training.model import (
    Classifier,
    Description,
    load_tokenizer,
    new_classifier,
    save_checkpoint,
)

LABELS = ["negative", "neutral", "positive"]
HEADS = [
    Head(name="sentiment", kind="single", labels=LABELS, temperature=1.5),
    Head(name="topics", kind="multi", labels=["money", "crime"], thresholds=[0.4, 0.6]),
    Head(name="entity_sentiment", kind="single", labels=LABELS, scope="entity", fallback="sentiment"),
]


def fit(model: Classifier, encodings: list[Encoding], labels: list[int]) -> None:
    """Make the answers confident: parity of a random model would be a matter of ties."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    batch = {name: torch.from_numpy(array) for name, array in pad(encodings, 0).items()}
    target = torch.tensor(labels)
    model.train()
    for _ in range(40):
        optimizer.zero_grad()
        logits = model(**batch)
        topics = torch.nn.functional.one_hot(target, 3)[:, :2].float()
        loss = torch.nn.functional.cross_entropy(logits["sentiment"], target)
        loss = loss + torch.nn.functional.cross_entropy(logits["entity_sentiment"], target)
        loss = loss + torch.nn.functional.binary_cross_entropy_with_logits(logits["topics"], topics)
        loss.backward()
        optimizer.step()
    model.eval()


def make_checkpoint(root: Path) -> Path:
    """A checkpoint in `root` that tells good words from bad ones, with labelled rows beside it."""
    encoder = make_encoder(root / "encoder")
    tokenizer = load_tokenizer(str(encoder))
    model = new_classifier(str(encoder), HEADS, 0.0)
    texts = [f"{word} word{number}" for word in [*BAD, *GOOD] for number in range(20)]
    labels = [0] * 100 + [2] * 100
    spans = [[places(text, [text.split()[1]])] for text in texts]
    fit(model, encode(tokenizer, texts, spans, 16), labels)
    description = Description(
        name="tiny",
        encoder="a random encoder",
        encoder_configuration=json.loads((encoder / "config.json").read_text(encoding="utf-8")),
        heads=HEADS,
        maximum_tokens=16,
        padding_id=0,
        languages=["en"],
        data=[{"name": "words", "rows": 200, "licence": "not stated"}],
        metrics={"sentiment": {"all": {"rows": 200, "macro_f1": 0.98, "labels": {}}}},
    )
    save_checkpoint(root / "model", model, tokenizer, description)
    write_rows(
        root / "test.jsonl",
        [
            Row(
                text,
                "words",
                "en",
                {"sentiment": target},
                "test",
                entities=(Entity(text.split()[1], tuple(own[0]), {"entity_sentiment": target}),),
            )
            for text, label, own in zip(texts, labels, spans, strict=True)
            for target in (Target(frozenset({LABELS[label]}), frozenset(LABELS)),)
        ],
    )
    return root / "model"


def run_export(*arguments: Any) -> Any:
    return CliRunner().invoke(export, [str(argument) for argument in arguments])
