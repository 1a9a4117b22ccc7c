"""Names exchanged for others of the same set: what is said of a company must not hang on which one it is."""

import random
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace

from stream.evaluation.rows import Entity, Row
from stream.names import Span, overlap, rewrite

_CASHTAG = re.compile(r"\$[A-Za-z]{1,5}\b")


class NameSwap:
    """Draws names from those of the rows it is made of; what it draws is decided by `seed` and by `begin`."""

    def __init__(self, rows: Iterable[Row], seed: int) -> None:
        names: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            names[row.source].update(
                row.text[start:end] for entity in row.entities for start, end in entity.spans
            )
            names[row.source].update(_CASHTAG.findall(row.text))
        self._names = {source: sorted(found) for source, found in names.items() if len(found) > 1}
        self._seed = seed
        self._random = random.Random(seed)

    def begin(self, epoch: int, index: int) -> None:
        """Draw as for this row in this pass, whatever was drawn before: so an interrupted run goes on alike."""
        self._random = random.Random(f"{self._seed} {epoch} {index}")

    def chance(self, share: float) -> bool:
        """True in that share of the calls."""
        return self._random.random() < share

    def __call__(self, row: Row) -> Row:
        """The row with other names for its entities, or for its cashtags where it has no entity.

        One name stays one name. The row itself where it names nothing, or where its names overlap.
        """
        spans = _named(row)
        if not spans or row.source not in self._names or overlap(spans):
            return row
        others: dict[str, str] = {}
        for span in spans:
            name = row.text[slice(*span)]
            if name.casefold() not in others:
                others[name.casefold()] = self._draw(row.source, name, others.values())
        words = [others[row.text[slice(*span)].casefold()] for span in spans]
        text, places = rewrite(row.text, zip(spans, words, strict=True))
        moved = dict(zip(spans, places, strict=True))
        entities = [
            Entity(entity.name, tuple(moved[span] for span in entity.spans), entity.targets)
            for entity in row.entities
        ]
        return replace(row, text=text, entities=tuple(entities))

    def _draw(self, source: str, name: str, taken: Collection[str]) -> str:
        for _ in range(20):
            other = self._random.choice(self._names[source])
            # A cashtag for a cashtag, a name for a name, and two companies stay two.
            if other.startswith("$") == name.startswith("$") and other not in taken:
                return other
        return name


def _named(row: Row) -> list[Span]:
    if row.entities:
        return sorted({span for entity in row.entities for span in entity.spans})
    return [match.span() for match in _CASHTAG.finditer(row.text)]
