"""From the configured sets to rows ready for training: read, clean, split, cap, add cues."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stream.evaluation.identity import text_key
from stream.evaluation.labelled import LabelledError, labelled_only, read_labelled
from stream.evaluation.rows import Row, Split, Target
from training.adapters import DataError, Reading, read_set
from training.cleaning import SetReport, clean, cross_set_conflicts
from training.configuration import Head, Options
from training.splits import Frozen, split_rows


@dataclass(slots=True)
class Corpus:
    """All rows by split, and how they came to be."""

    rows: dict[Split, list[Row]]
    cleaning: dict[str, SetReport]
    cross_set_conflicts: dict[str, int]
    cued: dict[str, int]
    """Per label: training rows that have it from a cue."""


def build_corpus(options: Options, heads: list[Head]) -> Corpus:
    """Read and prepare every configured set. Freezes the splits in `options.splits` if new."""
    readings = {data.name: read_set(data, heads, options.data_root) for data in options.data if data.labels}
    readings |= {own_name(path): _own(path, heads, options.own_weight) for path in options.own_labels}
    cleaned = clean(readings, {head.name for head in heads if head.kind == "multi"})
    path = options.splits
    frozen = Frozen.read(path) if path is not None and path.exists() else Frozen()
    known = set(frozen.sources)
    own = {own_name(file) for file in options.own_labels}
    published = [row for row in cleaned.rows if row.source not in own]
    patterns = {key: pattern for reading in readings.values() for key, pattern in reading.patterns.items()}
    rows = split_rows(published, options.valid_share, options.test_share, frozen, patterns)
    rows += _split_own([row for row in cleaned.rows if row.source in own], rows, options)
    if path is not None and frozen.sources != known:
        frozen.write(path)
    conflicts = cross_set_conflicts(rows)
    train = [row for row in rows if row.split == "train"]
    if options.teachers:
        train += _unlabelled(options, {text_key(row.text) for row in rows})
    train = _cap(train, options)
    labelled = {name for row in train for name in row.targets}
    # Cues beside labels make them richer; alone they would spoil a head that had learnt from labels.
    train, cued = add_cues(train, [head for head in heads if head.name in labelled])
    if options.learning_heads:
        train = [row for row in train if _teaches(row, options.learning_heads)]
    if not train:
        odd = {name: found.odd_labels for name, found in cleaned.report.items() if found.odd_labels}
        raise DataError(
            "no row is left to train on: do the columns and the values of `labels` fit the files?"
            + (f" Values that mean nothing yet: {odd}" if odd else "")
        )
    random.Random(options.seed).shuffle(train)
    return Corpus(
        rows={
            "train": train,
            "valid": [row for row in rows if row.split == "valid"],
            "test": [row for row in rows if row.split == "test"],
        },
        cleaning=cleaned.report,
        cross_set_conflicts=conflicts,
        cued=cued,
    )


def _teaches(row: Row, heads: Sequence[str]) -> bool:
    """Whether something of these heads can be learnt from the row."""
    known = set(row.targets).union(*(entity.targets for entity in row.entities))
    return not known.isdisjoint(heads)


def own_name(path: Path) -> str:
    """Under which name a file of own labels is a set: never that of a published one."""
    return f"own labels: {path.stem}"


def _own(path: Path, heads: list[Head], weight: float) -> Reading:
    try:
        rows = read_labelled(path, heads, bare=True)
        labelled_only(rows, path, heads)
    except LabelledError as error:
        raise DataError(str(error)) from error
    return Reading(
        [replace(row, source=own_name(path), weight=weight) for row in rows],
        len(rows),
        unplaced=sum(bool(entity.targets) and not entity.spans for row in rows for entity in row.entities),
    )


def _split_own(own: list[Row], others: list[Row], options: Options) -> list[Row]:
    """Own rows by a threshold on their hash, so that a file may grow and no row ever changes its split."""
    placed = {text_key(row.text): row.split for row in others}
    rows = []
    for row in own:
        key = text_key(row.text)
        share = int(key, 16) / 16 ** len(key)
        split: Split = "train"
        if share < options.test_share:
            split = "test"
        elif share < options.test_share + options.valid_share:
            split = "valid"
        rows.append(row.with_split(placed.get(key) or split))
    return rows


def _unlabelled(options: Options, known: set[str]) -> list[Row]:
    """The texts of sets without labels, each once, but for those that a set with labels has."""
    rows = []
    for data in options.data:
        if not data.labels and not data.evaluate_only:
            for row in read_set(data, [], options.data_root).rows:
                key = text_key(row.text)
                if key not in known and row.split != "test":
                    known.add(key)
                    rows.append(row.with_split("train"))
    return rows


def _cap(rows: list[Row], options: Options) -> list[Row]:
    limits = {data.name: data.maximum_rows for data in options.data}
    by_set: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_set[row.source].append(row)
    # Not the order of the splits' ranking: its first texts are the ones that were held out.
    return [
        row
        for name, members in by_set.items()
        for row in sorted(members, key=lambda row: text_key(row.text)[::-1])[: limits.get(name)]
    ]


def add_cues(rows: list[Row], heads: list[Head]) -> tuple[list[Row], dict[str, int]]:
    """Give a row the labels whose cues its text matches, where its own set says nothing of them,
    and deny it those that are decided by cues and have none.

    Public sets in English name no credit risk and no fraud; words like "Chapter 11" do. And a set
    of risk events that never denies a risk would teach that every text has it. Only for training:
    what the model is judged by are published labels alone.
    """
    counts: dict[str, int] = defaultdict(int)
    for head in heads:
        if head.taxonomy is None or head.kind == "single":
            continue
        patterns = head.taxonomy.patterns()
        decided = frozenset(head.taxonomy.decided_by_cues)
        for index, row in enumerate(rows):
            target = row.targets.get(head.name, Target(frozenset(), frozenset()))
            found = frozenset(
                label
                for label, pattern in patterns.items()
                if label not in target.possible and pattern.search(row.text)
            )
            for label in found:
                counts[label] += 1
            if found or decided - target.possible:
                richer = Target(target.allowed | found, target.possible | found | decided)
                rows[index] = replace(row, targets={**row.targets, head.name: richer})
    return rows, dict(counts)
