"""What a model's training texts are like, for the stream to compare its own with."""

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer

from stream.drift import Mix, Profile, aspects
from stream.engine.encoding import Encoding
from stream.engine.judgement import judgements
from stream.engine.tokens import unknown_id
from stream.evaluation.prediction import Logits
from stream.evaluation.rows import Row
from training.model import Description

LEAST_ROWS = 100
"""With fewer a profile says more of chance than of the texts: any stream would seem to have drifted."""


def training_profile(
    description: Description,
    tokenizer: Tokenizer,
    rows: Sequence[Row],
    encodings: Sequence[Encoding],
    logits: Logits,
) -> Profile:
    """The profile of the sets that the model was trained on, by rows of theirs that it was not trained on.

    Each set has the weight of its training rows. Empty where fewer than `LEAST_ROWS` are of such sets.
    """
    trained = {str(data["name"]): float(data["rows"]) for data in description.data}
    held_out = Counter(row.source for row in rows if row.source in trained)
    if held_out.total() < LEAST_ROWS:
        return {}
    heads = [head for head in description.heads if head.scope == "text"]
    judged = judgements(heads, {head.name: logits[head.name] for head in heads}, [[] for _ in rows])
    unknown = unknown_id(tokenizer)
    mix = Mix()
    for row, encoding, judgement in zip(rows, encodings, judged, strict=True):
        if row.source in trained:
            weight = trained[row.source] / held_out[row.source]
            mix.add(aspects(row.text, encoding.ids, unknown, judgement, heads), weight)
    return mix.profile
