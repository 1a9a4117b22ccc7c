"""Rows as the model takes them, and answers where it gives none."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from stream.bundle import Head
from stream.engine.encoding import Encoding, token_positions
from stream.names import Span
from training.rows import Row


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


def encode_rows(tokenizer: Tokenizer, rows: Sequence[Row], maximum_tokens: int) -> list[Encoding]:
    """Encode rows with their entities."""
    return encode(
        tokenizer,
        [row.text for row in rows],
        [[entity.spans for entity in row.entities] for row in rows],
        maximum_tokens,
    )


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
