"""Rows as a model in training takes them: encoded, in batches of tensors, and in which order."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import Dataset
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices

from stream.engine.encoding import pad
from stream.evaluation.rows import Row, rows_of
from stream.evaluation.scores import masks
from stream.reading import AS_IT_STANDS, Reading
from training.augmentation import NameSwap
from training.configuration import Head
from training.distillation import ORIGINAL
from training.encoding import encode_rows


class Encoded(Dataset[dict[str, Any]]):
    """Rows as token ids and target masks."""

    def __init__(
        self,
        rows: Sequence[Row],
        heads: Sequence[Head],
        tokenizer: Tokenizer,
        maximum_tokens: int,
        reading: Reading = AS_IT_STANDS,
        *,
        swap: NameSwap | None = None,
        swap_share: float = 0.0,
    ) -> None:
        """With `swap`, that share of what is asked for comes with other names, others each time."""
        self.rows = rows
        self.heads = heads
        self.epoch = 0
        """Which pass over the rows it is."""
        self.encodings = encode_rows(tokenizer, rows, maximum_tokens, reading)
        self._encode = partial(encode_rows, tokenizer, maximum_tokens=maximum_tokens, reading=reading)
        self._swap, self._swap_share = swap, swap_share
        self.masks = {head.name: masks(rows_of(head.scope, rows), head.name, head.labels) for head in heads}
        self.placed = np.array(
            [bool(places) for one in self.encodings for places in one.entities], dtype=bool
        )
        """By entity: whether a token spells it, so that a head over entities answers."""
        self._starts = np.cumsum([0, *(len(row.entities) for row in rows)])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        encoding = self.encodings[index]
        if self._swap is not None:
            self._swap.begin(self.epoch, index)
            swapped = (
                self._swap(self.rows[index]) if self._swap.chance(self._swap_share) else self.rows[index]
            )
            if swapped is not self.rows[index]:
                (encoding,) = self._encode([swapped])
        item: dict[str, Any] = {
            # Trainer groups rows by its length.
            "input_ids": encoding.ids,
            "encoding": encoding,
            "original": self.encodings[index],
            "number": index,
            "weight": self.rows[index].weight,
        }
        placed = np.array([bool(positions) for positions in encoding.entities], dtype=bool)
        for head in self.heads:
            allowed, possible = self.masks[head.name]
            if head.scope == "entity":
                own = slice(self._starts[index], self._starts[index + 1])
                item[f"{head.name}.allowed"] = allowed[own]
                # Nothing is learnt from an entity that no token spells.
                item[f"{head.name}.possible"] = possible[own] & placed[:, None]
            else:
                item[f"{head.name}.allowed"] = allowed[index : index + 1]
                item[f"{head.name}.possible"] = possible[index : index + 1]
        return item


def collate(items: list[dict[str, Any]], padding_id: int, *, taught: bool) -> dict[str, Tensor]:
    """A batch of padded tensors from items of `Encoded`.

    Where it is `taught`, also the texts as they stand, for teachers; `ORIGINAL` begins their names.
    """
    versions = {"": "encoding"} | ({ORIGINAL: "original"} if taught else {})
    batch = {
        prefix + name: torch.from_numpy(array)
        for prefix, version in versions.items()
        for name, array in pad([item[version] for item in items], padding_id).items()
    }
    batch["number"] = torch.tensor([item["number"] for item in items])
    batch["weight"] = torch.tensor([item["weight"] for item in items])
    for name in items[0]:
        if "." in name:
            batch[name] = torch.from_numpy(np.concatenate([item[name] for item in items]))
    return batch


class Passes(LengthGroupedSampler):
    """Rows of like length together, in an order that hangs on the seed and the number of the pass alone."""

    def __init__(self, rows: Encoded, batch_size: int, seed: int) -> None:
        super().__init__(batch_size, lengths=[len(one.ids) for one in rows.encodings])
        self._rows, self._seed = rows, seed

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self._rows.epoch + self._seed)
        order: list[int] = get_length_grouped_indices(  # type: ignore[no-untyped-call]  # it has no types
            self.lengths, self.batch_size, generator=generator
        )
        return iter(order)
