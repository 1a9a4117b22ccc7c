"""A person's labels: a file of JSON lines that `evaluate`, `calibrate` and `train --own-labels` read.

Errors:
    UsageError  the file cannot be read or written, or a line of it is no label
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.command import UsageError
from stream.labels import Sentiment
from stream.records import Mention, ReviewItem, ReviewReason


@dataclass(frozen=True, slots=True)
class Label:
    """What a person says of an event."""

    item: ReviewItem
    sentiment: Sentiment | None
    """Of the text; None where only its companies were judged."""
    entities: Mapping[str, Sentiment] = field(default_factory=dict)
    """By the companies' names."""

    def row(self) -> dict[str, Any]:
        """The label as a line of the file."""
        event = self.item.event
        row: dict[str, Any] = {
            "id": event.id,
            "text": event.text,
            "source": "review",
            "reason": self.item.reason.value,
            "model": event.sentiment,
            "bundle": event.bundle,
            # Those without a label too: the model reads a text by all of its companies.
            "entities": [self._entity(mention) for mention in event.entities],
        }
        return row | ({"sentiment": self.sentiment} if self.sentiment else {})

    def _entity(self, mention: Mention) -> dict[str, str]:
        named = mention.model_dump(include={"name", "ticker"}, exclude_none=True)
        label = self.entities.get(mention.name)
        return named | ({"sentiment": label} if label else {})


class LabelFile:
    """Labels are added to it one by one, and are safe once added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = list(self._read()) if path.exists() else []
        self._known = {row.get("id") for row in self._rows}

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._known

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, label: Label) -> None:
        """Append a label; it is on the disk when this returns."""
        row = label.row()
        try:
            # A file that was written by hand, or torn by a crash, may end within a line.
            torn = self._path.exists() and self._path.read_bytes()[-1:] not in {b"", b"\n"}
            start = b"\n" if torn else b""
            with self._path.open("ab") as file:
                file.write(start + json.dumps(row, ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(f"cannot write {self._path}: {error.strerror}") from error
        self._rows.append(row)
        self._known.add(row["id"])

    def agreement(self) -> dict[ReviewReason, tuple[int, int]]:
        """By reason: how often the model's label of the text was the person's, and of how many."""
        return agreement(self._rows)

    def _read(self) -> Iterable[dict[str, Any]]:
        try:
            lines = self._path.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {self._path}: {error}") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UsageError(f"{self._path}, line {number} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise UsageError(f"{self._path}, line {number}: a JSON object is wanted")
            for name in ("id", "reason"):
                if isinstance(row.get(name), list | dict):
                    raise UsageError(
                        f"{self._path}, line {number}: `{name}` must be a text; write one or leave it out"
                    )
            yield row


def agreement(rows: Iterable[Mapping[str, Any]]) -> dict[ReviewReason, tuple[int, int]]:
    """By reason: rows in which the model gave the person's label, and rows that say both."""
    right: Counter[ReviewReason] = Counter()
    asked: Counter[ReviewReason] = Counter()
    for row in rows:
        if row.get("reason") in set(ReviewReason) and row.get("model") and row.get("sentiment"):
            reason = ReviewReason(row["reason"])
            asked[reason] += 1
            right[reason] += row["model"] == row["sentiment"]
    return {reason: (right[reason], asked[reason]) for reason in ReviewReason if asked[reason]}
