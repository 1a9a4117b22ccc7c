"""Which texts train, which tune, which judge: by text hash, stratified, frozen in a file.

A text is in one split whichever set it comes from, so no split can leak into another through a
headline that two sets share. Sentences that one pattern makes are in one split, too: they differ in
their figures alone.

Errors:
    SplitError  the file of frozen splits cannot be read, or divides the sentences of a pattern
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from stream.evaluation.identity import text_key
from stream.evaluation.rows import Row, Split


class SplitError(Exception):
    """The frozen splits cannot be used; the message says which line of which file."""


@dataclass(slots=True)
class Frozen:
    """Splits that were drawn once and stay: texts held out, and the sets that they come from.

    On disk a line each, `set NAME`, `valid KEY` or `test KEY`, separated by a tab; the key is that of a
    text, or of the pattern that makes it. Texts of these sets that are not listed train.
    """

    sources: set[str] = field(default_factory=set)
    held_out: dict[str, Split] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file; `SplitError` where it cannot be read, or names a line that is something else."""
        frozen = cls()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise SplitError(
                f"cannot read {path}: {error.strerror}; name a file of splits, or a new one"
            ) from error
        except UnicodeDecodeError as error:
            raise SplitError(f"{path} is not UTF-8: {error}; name a file of splits, or a new one") from error
        for number, line in enumerate(lines, start=1):
            match line.split("\t"):
                case ["set", name]:
                    frozen.sources.add(name)
                case ["valid", key]:
                    frozen.held_out[key] = "valid"
                case ["test", key]:
                    frozen.held_out[key] = "test"
                case _:
                    raise SplitError(f"{path}, line {number}: wanted set, valid or test, and a tab")
        return frozen

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"set\t{name}" for name in sorted(self.sources)]
        lines += [f"{split}\t{key}" for key, split in sorted(self.held_out.items())]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def split_rows(
    rows: Iterable[Row],
    valid_share: float,
    test_share: float,
    frozen: Frozen,
    patterns: Mapping[str, str] | None = None,
) -> list[Row]:
    """Give every row a split; rows that have one (published test files) keep it.

    Within each set and label the texts are ranked by hash; the first `test_share` of them are for
    the test (none, where the set has a published test file), the next `valid_share` for validation.
    Sets that `frozen` holds are not drawn again; the others are drawn and added to it. Texts whose keys
    `patterns` gives the same key are drawn as one; `SplitError` where `frozen` has such texts one by one.
    """
    rows, made_by = list(rows), patterns or {}

    def drawn_as(row: Row) -> str:
        key = text_key(row.text)
        return made_by.get(key, key)

    judged = {row.source for row in rows if row.split == "test"}
    published = {drawn_as(row): row.split for row in rows if row.split is not None}
    old = set(frozen.sources)
    for row in rows:
        key = text_key(row.text)
        if _pool(row) in old and key in made_by and key in frozen.held_out:
            raise SplitError(
                f"the file of splits holds out single sentences of {_pool(row)}, and others of the same patterns "
                f"would train: remove its line `set {_pool(row)}`, and whole patterns are drawn"
            )
    strata: dict[tuple[str, str], list[str]] = defaultdict(list)
    placed = set(published) | set(frozen.held_out)
    # Texts of frozen sets first: what they share with a new set is no longer free.
    for row in sorted(rows, key=lambda row: _pool(row) not in old):
        key = drawn_as(row)
        if key not in placed:
            placed.add(key)
            if _pool(row) not in old:
                strata[row.source, _stratum(row)].append(key)
    for (source, _), keys in strata.items():
        share = 0.0 if source in judged else test_share
        for rank, key in enumerate(sorted(keys)):
            place = (rank + 0.5) / len(keys)
            if place < share:
                frozen.held_out[key] = "test"
            elif place < share + valid_share:
                frozen.held_out[key] = "valid"
    frozen.sources |= {_pool(row) for row in rows}
    chosen = frozen.held_out | published
    return [row.with_split(chosen.get(drawn_as(row)) or "train") for row in rows]


def _pool(row: Row) -> str:
    """What is drawn at once: a set's texts with labels of their own, and those of whose entities alone
    something is known."""
    return row.source if row.targets else f"{row.source}, entities"


def _stratum(row: Row) -> str:
    """The labels as one word; of a multi head only the alphabetically first, or strata are tiny."""
    return "|".join(
        f"{head}:{min(target.allowed, default='-')}" for head, target in sorted(row.targets.items())
    )
