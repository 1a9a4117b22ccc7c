"""Texts as the model takes them: token ids, and for each named entity the tokens that spell it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.bundle import Head
from stream.names import Span

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoding:
    """One text."""

    ids: list[int]
    entities: list[list[int]]
    """Per entity the positions of its tokens; empty where the text has it not, or was cut before it."""


def token_positions(offsets: Sequence[Span], places: Sequence[Span]) -> list[int]:
    """The tokens that share a character with one of the places. Special tokens have no characters."""
    named = {character for first, last in places for character in range(first, last)}
    return [
        position
        for position, (start, end) in enumerate(offsets)
        if any(character in named for character in range(start, end))
    ]


def rows_held(encodings: Sequence[Encoding], heads: Sequence[Head]) -> list[int]:
    """For each text, how many rows of its tokens a model of these heads holds at once, for `batching.plan`."""
    reads_again = any(head.own_layers for head in heads)
    return [1 + (len(one.entities) if reads_again else 0) for one in encodings]


def pad(encodings: Sequence[Encoding], padding_id: int, width: int | None = None) -> dict[str, Integers]:
    """A batch as arrays, named as the model's inputs.

    input_ids, attention_mask   texts × width, by default the longest
    entity_text                 which text of the batch each entity is in
    entity_mask                 entities × width: 1 at the entity's tokens

    An entity without tokens has the text's first one, so that a mean exists; its answer means nothing.
    Without any entity the last two are left out.
    """
    width = width or max(len(one.ids) for one in encodings)
    input_ids = np.full((len(encodings), width), padding_id, dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for row, one in enumerate(encodings):
        input_ids[row, : len(one.ids)] = one.ids
        attention_mask[row, : len(one.ids)] = 1
    batch = {"input_ids": input_ids, "attention_mask": attention_mask}
    entities = [(row, positions) for row, one in enumerate(encodings) for positions in one.entities]
    if entities:
        batch["entity_text"] = np.array([row for row, _ in entities], dtype=np.int64)
        batch["entity_mask"] = np.zeros((len(entities), width), dtype=np.int64)
        for index, (_, positions) in enumerate(entities):
            batch["entity_mask"][index, positions or [0]] = 1
    return batch


def with_an_entity(batch: dict[str, Integers]) -> dict[str, Integers]:
    """The same batch with one entity if it has none, since a graph over entities wants one."""
    if "entity_text" in batch:
        return batch
    return batch | {"entity_text": np.zeros(1, dtype=np.int64), "entity_mask": batch["attention_mask"][:1]}
