"""Cuts a window of texts into batches of similar length: what a session computes is padded tokens."""

from collections.abc import Sequence

MAXIMUM_PADDING = 0.1
"""Most of a batch that may be padding, where cutting it finer is worth another run."""


def round_up(length: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `length`."""
    return -(-length // multiple) * multiple


def plan(
    lengths: Sequence[int],
    *,
    tokens: int,
    texts: int,
    multiple: int = 1,
    run_tokens: int = 0,
    rows: Sequence[int] | None = None,
) -> list[list[int]]:
    """Cut a window into batches, longest texts first; each is a list of indices into `lengths`.

    lengths     tokens of each text, the special ones counted
    tokens      most tokens in a batch, padding counted; a text longer than this goes alone
    rows        how often each text's tokens are held at once: more than once where they are read again for
                each company; by default once
    texts       most texts in a batch
    multiple    padded lengths are rounded up to a multiple of it: fewer shapes for a GPU to tune
    run_tokens  what a run costs of its own, in tokens: a cut that saves less padding is not made

    Texts are only padded to the longest beside them, and a text joins a batch only while the padding
    that this causes stays under a tenth, or under `run_tokens`. Rounding is not counted as padding
    here, since no cut avoids it.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    batches: list[list[int]] = []
    batch: list[int] = []
    longest = width = padding = held = 0
    for index in order:
        length = lengths[index]
        count = len(batch) + 1
        own = 1 if rows is None else rows[index]
        added = padding + longest - length
        if batch and (
            count > texts
            or (held + own) * width > tokens
            or added > max(MAXIMUM_PADDING * count * longest, run_tokens)
        ):
            batches.append(batch)
            batch, held = [], 0
        if not batch:
            longest, width, added = length, round_up(length, multiple), 0
        batch.append(index)
        held += own
        padding = added
    if batch:
        batches.append(batch)
    return batches
