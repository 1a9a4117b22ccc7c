"""Texts as the model takes them: token ids, and for each named entity the tokens that spell it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from stream.bundle import Head
from stream.names import Span
from training.rows import Row

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoding:
    """One text."""

    ids: list[int]
    entities: list[list[int]]
    """Per entity the positions of its tokens; empty where the text has it not, or was cut before it."""


def encode(
    tokenizer: Tokenizer, texts: Sequence[str], spans: Sequence[Sequence[Sequence[Span]]], maximum_tokens: int
) -> list[Encoding]:
    """Encode texts, cut to `maximum_tokens` with the special ones counted.

    `spans` holds, per text and entity, the places where the text has the entity.
    """
    tokenizer.enable_truncation(maximum_tokens)
    try:
        found = tokenizer.encode_batch(list(texts))
    finally:
        tokenizer.no_truncation()
    return [
        Encoding(one.ids, [token_positions(one.offsets, places) for places in entities])
        for one, entities in zip(found, spans, strict=True)
    ]


def token_positions(offsets: Sequence[Span], places: Sequence[Span]) -> list[int]:
    """The tokens that share a character with one of the places. Special tokens have no characters."""
    return [
        position
        for position, (start, end) in enumerate(offsets)
        if any(start < last and first < end for first, last in places)
    ]


def encode_rows(tokenizer: Tokenizer, rows: Sequence[Row], maximum_tokens: int) -> list[Encoding]:
    """Encode rows with their entities."""
    return encode(
        tokenizer,
        [row.text for row in rows],
        [[entity.spans for entity in row.entities] for row in rows],
        maximum_tokens,
    )


def pad(encodings: Sequence[Encoding], padding_id: int) -> dict[str, Integers]:
    """A batch as arrays, named as the model's inputs.

    input_ids, attention_mask   texts × longest
    entity_text                 which text of the batch each entity is in
    entity_mask                 entities × longest: 1 at the entity's tokens

    An entity without tokens has the text's first one, so that a mean exists; its answer means nothing.
    Without any entity the last two are left out.
    """
    longest = max(len(one.ids) for one in encodings)
    input_ids = np.full((len(encodings), longest), padding_id, dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for row, one in enumerate(encodings):
        input_ids[row, : len(one.ids)] = one.ids
        attention_mask[row, : len(one.ids)] = 1
    batch = {"input_ids": input_ids, "attention_mask": attention_mask}
    entities = [(row, positions) for row, one in enumerate(encodings) for positions in one.entities]
    if entities:
        batch["entity_text"] = np.array([row for row, _ in entities], dtype=np.int64)
        batch["entity_mask"] = np.zeros((len(entities), longest), dtype=np.int64)
        for index, (_, positions) in enumerate(entities):
            batch["entity_mask"][index, positions or [0]] = 1
    return batch


def complete(
    heads: Sequence[Head], logits: dict[str, NDArray[np.float32]], encodings: Sequence[Encoding]
) -> None:
    """Let an entity that no token spells have its text's answer, as in the stream; and where no text has
    an entity, give the heads over entities no rows."""
    texts = [row for row, one in enumerate(encodings) for _ in one.entities]
    unplaced = np.array([not positions for one in encodings for positions in one.entities], dtype=bool)
    for head in heads:
        if head.name not in logits:
            logits[head.name] = np.zeros((0, len(head.labels)), dtype=np.float32)
        elif head.fallback is not None and unplaced.any():
            chosen = np.array(texts)[unplaced]
            logits[head.name][unplaced] = logits[head.fallback][chosen]
