"""A fine-tuning run small enough for a test: a random encoder of two layers, a vocabulary of words
that are good, bad or about something, and sets of sentences made of them."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

GOOD = ["profit", "growth", "win", "涨", "好"]
BAD = ["loss", "default", "fraud", "跌", "坏"]
DULL = ["meeting", "report", "notice", "会", "日"]
TOPICS = {"money": ["profit", "loss", "涨", "跌"], "crime": ["fraud", "default", "坏"]}
NAMES = ["acme", "borealis", "cobalt", "dynamo"]
FORMS = ["inc", "plc", "corp"]
FILLER = [f"word{number}" for number in range(200)]


def make_encoder(folder: Path, more_words: Sequence[str] = ()) -> Path:
    """A `BertModel` with random weights and a word-level tokenizer, as the hub would give it."""
    torch.manual_seed(3)
    words = ["<pad>", "<unk>", "<s>", "</s>", *GOOD, *BAD, *DULL, *NAMES, *FORMS, *FILLER, *more_words]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    tokenizer.enable_padding(pad_id=0, pad_token="<pad>")
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            pad_token_id=0,
        )
    ).save_pretrained(folder)
    return folder


def sentence(rng: random.Random, words: list[str]) -> str:
    """Filler around one of `words`; four of two hundred fillers make repeats unlikely."""
    parts = [rng.choice(words), *rng.sample(FILLER, 4)]
    rng.shuffle(parts)
    return " ".join(parts)


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8"
    )
    return path


def make_data(root: Path, rows: int = 240) -> Path:
    """Four sets: all three classes, two classes without neutral, topics alone, and classes by company."""
    rng = random.Random(5)
    classes = {"negative": BAD, "neutral": DULL, "positive": GOOD}
    write_jsonl(
        root / "news.jsonl",
        [
            {"text": sentence(rng, classes[label]), "sentiment": label}
            for label in rng.choices(list(classes), k=rows)
        ],
    )
    write_jsonl(
        root / "board.jsonl",
        [
            {"text": sentence(rng, classes[label]), "mood": "up" if label == "positive" else "down"}
            for label in rng.choices(["negative", "positive"], k=rows // 2)
        ],
    )
    write_jsonl(
        root / "flashes.jsonl",
        [
            {"text": sentence(rng, TOPICS[topic]), "about": [topic]}
            for topic in rng.choices(list(TOPICS), k=rows)
        ],
    )
    pairs = []
    for _ in range(rows):
        # The name itself speaks, so that a tiny model can tell the two apart.
        names = [
            f"{rng.choice(classes[label])} {form}"
            for label, form in zip(classes, rng.sample(FORMS, 3), strict=True)
        ]
        labels = list(classes)
        chosen = rng.sample(range(3), 2)
        text = " ".join(f"{names[index]} {rng.choice(FILLER)}" for index in chosen)
        entities = [{"name": names[index], "mood": labels[index]} for index in chosen]
        pairs.append({"text": text, "entities": entities})
    write_jsonl(root / "pairs.jsonl", pairs)
    return root


def configuration(encoder: Path, data: Path, output: Path, /, **changes: Any) -> dict[str, Any]:
    """The options of a tiny run over `make_data`."""
    options = {
        "name": "tiny",
        "encoder": str(encoder),
        "output": str(output),
        "data_root": str(data),
        "heads": [
            {"name": "sentiment", "kind": "single", "labels": ["negative", "neutral", "positive"]},
            {"name": "topics", "kind": "multi", "labels": ["money", "crime"]},
            {
                "name": "entity_sentiment",
                "kind": "single",
                "scope": "entity",
                "labels": ["negative", "neutral", "positive"],
                "fallback": "sentiment",
            },
        ],
        "data": [
            {
                "name": "news",
                "files": {"train": "news.jsonl"},
                "licence": "MIT",
                "labels": {"sentiment": {"column": "sentiment"}},
            },
            {
                "name": "board",
                "files": {"train": "board.jsonl"},
                "licence": "not stated",
                "labels": {
                    "sentiment": {
                        "column": "mood",
                        "values": {"up": "positive", "down": "negative"},
                        "possible": ["negative", "positive"],
                    }
                },
            },
            {
                "name": "flashes",
                "files": {"train": "flashes.jsonl"},
                "licence": "MIT",
                "labels": {"topics": {"column": "about"}},
            },
            {
                "name": "pairs",
                "files": {"train": "pairs.jsonl"},
                "licence": "MIT",
                "labels": {"entity_sentiment": {"column": "entities.mood", "entity": "entities.name"}},
            },
        ],
        "test_share": 0.2,
        "valid_share": 0.15,
        "maximum_tokens": 24,
        "epochs": 12,
        "batch_size": 16,
        "learning_rate": 2e-3,
        "head_learning_rate": 1e-2,
        "evaluate_every": 25,
        "precision": "fp32",
        "device": "cpu",
        "threads": 1,
    }
    return {**options, **changes}


def write_configuration(path: Path, options: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(options, allow_unicode=True), encoding="utf-8")
    return path
