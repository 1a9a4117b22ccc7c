"""Another text task, by configuration alone: what kind of message a customer sent, and how to handle it."""

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from tiny_run import make_encoder, sentence, write_configuration

from stream.cli import main

INTENTS = {"refund": ["refund", "money"], "delivery": ["parcel", "courier"], "praise": ["thanks", "lovely"]}
FLAGS = {"urgent": "today", "angry": "never"}


def write_messages(path: Path, rows: int, seed: int) -> list[dict[str, str]]:
    """Messages of made-up customers, each with its intent and, apart from it, some of the flags."""
    rng = random.Random(seed)
    messages = []
    for _ in range(rows):
        intent = rng.choice(list(INTENTS))
        flags = [flag for flag in FLAGS if rng.random() < 0.4]
        text = " ".join([sentence(rng, INTENTS[intent]), *(FLAGS[flag] for flag in flags)])
        messages.append({"message": text, "intent": intent, "flags": json.dumps(flags)})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["message", "intent"])
        writer.writeheader()
        writer.writerows({name: row[name] for name in ("message", "intent")} for row in messages)
    with path.with_suffix(".jsonl").open("w", encoding="utf-8") as file:
        for row in messages:
            file.write(json.dumps({"message": row["message"], "flags": json.loads(row["flags"])}) + "\n")
    return messages


def run(*arguments: object) -> None:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


def test_a_classifier_of_customer_messages_is_trained_exported_and_served_by_configuration_alone(
    tmp_path: Path,
) -> None:
    words = [word for group in INTENTS.values() for word in group] + list(FLAGS.values())
    write_messages(tmp_path / "messages.csv", 400, seed=1)
    shared = {"text": "message", "licence": "ours"}
    configuration = {
        "name": "customer-messages",
        "encoder": str(make_encoder(tmp_path / "encoder", words)),
        "output": str(tmp_path / "run"),
        "data_root": str(tmp_path),
        "heads": [
            {"name": "intent", "kind": "single", "labels": list(INTENTS)},
            {"name": "handling", "kind": "multi", "labels": list(FLAGS)},
        ],
        "data": [
            {"name": "desk", "files": {"train": "messages.csv"}, "labels": {"intent": {"column": "intent"}}}
            | shared,
            {
                "name": "flags",
                "files": {"train": "messages.jsonl"},
                "labels": {"handling": {"column": "flags"}},
            }
            | shared,
        ],
        "maximum_tokens": 24,
        "epochs": 12,
        "batch_size": 16,
        "learning_rate": 2e-3,
        "head_learning_rate": 1e-2,
        "evaluate_every": 50,
        "precision": "fp32",
        "device": "cpu",
        "threads": 1,
    }
    run("train", "--config", write_configuration(tmp_path / "messages.yaml", configuration))
    run("export", tmp_path / "run" / "model", "--out", tmp_path / "bundle", "--allowed-loss", 0.05)

    asked = write_messages(tmp_path / "others.csv", 60, seed=2)
    lines = "".join(
        json.dumps({"id": number, "text": row["message"]}) + "\n" for number, row in enumerate(asked)
    )
    served = subprocess.run(
        [Path(sys.executable).with_name("downtick"), "score", "--bundle", tmp_path / "bundle"],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in served.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == list(range(60))
    intents = [answer["intent"] == row["intent"] for answer, row in zip(answers, asked, strict=True)]
    assert sum(intents) / len(intents) > 0.9
    handling = [
        set(answer["handling"]) == set(json.loads(row["flags"]))
        for answer, row in zip(answers, asked, strict=True)
    ]
    assert sum(handling) / len(handling) > 0.8
    assert set(answers[0]["intent_probabilities"]) == set(INTENTS)
