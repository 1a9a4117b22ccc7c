"""Rows as the model takes them."""

from collections.abc import Sequence

from tokenizers import Tokenizer

from stream.engine.encoding import Encoding, token_positions
from stream.evaluation.rows import Row
from stream.names import Span
from stream.reading import AS_IT_STANDS, Reading


def encode(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    spans: Sequence[Sequence[Sequence[Span]]],
    maximum_tokens: int,
    reading: Reading = AS_IT_STANDS,
) -> list[Encoding]:
    """Encode texts, cut to `maximum_tokens` with the special ones counted.

    `spans` holds, per text and entity, the places where the text has the entity.
    """
    read = [reading(text, places) for text, places in zip(texts, spans, strict=True)]
    tokenizer.enable_truncation(maximum_tokens)
    try:
        found = tokenizer.encode_batch([text for text, _ in read])
    finally:
        tokenizer.no_truncation()
    return [
        Encoding(one.ids, [token_positions(one.offsets, places) for places in entities])
        for one, (_, entities) in zip(found, read, strict=True)
    ]


def encode_rows(
    tokenizer: Tokenizer, rows: Sequence[Row], maximum_tokens: int, reading: Reading = AS_IT_STANDS
) -> list[Encoding]:
    """Encode rows with their entities."""
    return encode(
        tokenizer,
        [row.text for row in rows],
        [[entity.spans for entity in row.entities] for row in rows],
        maximum_tokens,
        reading,
    )
