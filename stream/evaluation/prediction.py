"""What a bundle answers to rows, as logits: by its own tokenizer and session, in batches of like length."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream.bundle import Bundle, Head
from stream.engine.batching import plan
from stream.engine.encoding import Encoding, rows_held
from stream.engine.judgement import Question
from stream.engine.passages import passages
from stream.engine.session import Session
from stream.engine.tokens import BundleTokenizer
from stream.evaluation.rows import Row
from stream.settings import EngineSettings

Logits = dict[str, NDArray[np.float32]]
"""By head. Of a head over texts rows × labels, of one over entities: all rows' entities × labels, in order."""

Run = Callable[[Sequence[Encoding]], Mapping[str, NDArray[np.floating]]]


def predict_rows(
    bundle: Bundle,
    settings: EngineSettings,
    rows: Sequence[Row],
    progress: Callable[[int], None] = lambda _: None,
) -> Logits:
    """Logits of every head; an entity that its text does not have is answered as the text, and one that it has
    behind what is read by the passage that names it: as the engine does.

    Raises what `Session` and `BundleTokenizer` raise. `progress` gets the number of rows just done.
    """
    tokenizer, session = BundleTokenizer(bundle), Session(bundle, settings)
    heads = bundle.manifest.heads

    def run(encodings: list[Encoding], progress: Callable[[int], None]) -> Logits:
        batches = plan(
            [len(one.ids) for one in encodings],
            tokens=settings.batch_tokens,
            texts=settings.batch_texts,
            multiple=session.multiple,
            run_tokens=session.run_tokens,
            rows=rows_held(encodings, heads),
        )
        return run_batches(lambda batch: session.run(batch)[0], encodings, batches, heads, progress)

    questions = [Question(row.text, tuple(one.names or (one.name,) for one in row.entities)) for row in rows]
    encodings = tokenizer.encode(questions)
    logits = run(encodings, progress)
    of_entities = [head.name for head in heads if head.scope == "entity"]
    if of_entities:
        limits = bundle.manifest.maximum_tokens, settings.passages
        asked = [
            (row, *passage)
            for row, (question, encoding) in enumerate(zip(questions, encodings, strict=True))
            for passage in passages(question, encoding, *limits)
        ]
        read = tokenizer.encode([question for _, question, _ in asked])
        found = run(read, lambda _: None)
        starts = np.cumsum([0, *(len(one.entities) for one in encodings)])
        places = [starts[row] + member for row, _, members in asked for member in members]
        for name in of_entities:
            logits[name][places] = found[name]
        for (row, _, members), passage in zip(asked, read, strict=True):
            for member, positions in zip(members, passage.entities, strict=True):
                encodings[row].entities[member] = positions
    complete(heads, logits, encodings)
    return logits


def run_batches(
    run: Run,
    encodings: Sequence[Encoding],
    batches: Sequence[Sequence[int]],
    heads: Sequence[Head],
    progress: Callable[[int], None] = lambda _: None,
) -> Logits:
    """The answers of `run` to each batch (indices into `encodings`), put back into their order."""
    counts = np.array([len(one.entities) for one in encodings], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    results = {
        head.name: np.zeros(
            (int(starts[-1]) if head.scope == "entity" else len(encodings), len(head.labels)), np.float32
        )
        for head in heads
    }
    of_entities = {head.name for head in heads if head.scope == "entity"}
    for batch in batches:
        entities = [place for index in batch for place in range(starts[index], starts[index + 1])]
        for name, logits in run([encodings[index] for index in batch]).items():
            results[name][entities if name in of_entities else list(batch)] = logits
        progress(len(batch))
    return results


def by_length(encodings: Sequence[Encoding], size: int) -> list[list[int]]:
    """Batches of `size` texts of like length."""
    order = sorted(range(len(encodings)), key=lambda index: len(encodings[index].ids))
    return [order[start : start + size] for start in range(0, len(order), size)]


def complete(heads: Sequence[Head], logits: Logits, encodings: Sequence[Encoding]) -> None:
    """Let an entity that no token spells have its text's answer, as in the stream.

    Written so that the head over entities, with its own temperature and offsets, gives the text's probabilities.
    """
    texts = np.array([row for row, one in enumerate(encodings) for _ in one.entities], dtype=np.int64)
    unplaced = np.array([not positions for one in encodings for positions in one.entities], dtype=bool)
    by_name = {head.name: head for head in heads}
    for head in heads:
        if head.fallback is not None and unplaced.any():
            answers = by_name[head.fallback].scaled(logits[head.fallback][texts[unplaced]])
            logits[head.name][unplaced] = (answers - np.array(head.offsets or [0.0])) * head.temperature
