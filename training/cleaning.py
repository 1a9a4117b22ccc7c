"""Cleaning by rule: what is dropped, what loses its label, and a report that says so."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from pydantic import BaseModel

from stream.evaluation.identity import statement, text_key
from stream.evaluation.rows import Entity, Row, Target
from stream.names import places
from training.adapters import Reading


class SetReport(BaseModel):
    """What happened to one set."""

    read: int
    empty: int = 0
    same_text: int = 0
    """Rows merged with another of the same text: several entities or events of one text, and
    repeats."""
    disagreeing: int = 0
    """Texts whose own rows or entities give a single head different labels: it gets none."""
    unplaced_entities: int = 0
    """Entities that do not stand in their text letter by letter: they train nothing."""
    overlapping: int = 0
    """Labels of names in or around another one of their text, which is labelled otherwise: they are left out."""
    duplicates: int = 0
    """Texts that say the same as another one, and differ in links, case, script or punctuation."""
    conflicts: int = 0
    """Texts whose copies give them or their entities different labels; the majority's label is kept, without one
    none."""
    unlabelled: int = 0
    """Texts that say nothing of any head, and were dropped."""
    odd_labels: dict[str, dict[str, int]] = {}
    leaks: int = 0
    """Training texts that stand in a published test file too, here or in another set; dropped."""
    kept: int = 0


@dataclass(slots=True)
class Cleaned:
    """Rows that may be split, and what was done to get them."""

    rows: list[Row] = field(default_factory=list)
    report: dict[str, SetReport] = field(default_factory=dict)


def clean(readings: dict[str, Reading], multi: Collection[str] = ()) -> Cleaned:
    """Merge duplicates within each set, settle conflicts by majority, remove leaks.

    What copies say of heads in `multi`, of whose labels a text may have several, is united.
    """
    cleaned = Cleaned()
    for name, reading in readings.items():
        report = SetReport(
            read=reading.read,
            empty=reading.empty,
            same_text=reading.read - reading.empty - len(reading.rows),
            disagreeing=reading.disagreeing,
            unplaced_entities=reading.unplaced,
            overlapping=reading.overlapping,
            odd_labels={head: dict(odd.most_common()) for head, odd in reading.odd.items() if odd},
        )
        cleaned.report[name] = report
        groups: dict[tuple[str, str | None], list[Row]] = defaultdict(list)
        for row in reading.rows:
            key = text_key(row.text) if reading.by_key else statement(row.text)
            groups[key, row.split].append(row)
        for copies in groups.values():
            report.duplicates += len(copies) - 1
            row, in_conflict = _merge(copies, multi)
            report.conflicts += in_conflict
            if row.labelled:
                cleaned.rows.append(row)
            else:
                report.unlabelled += 1
    _remove_leaks(cleaned)
    for row in cleaned.rows:
        cleaned.report[row.source].kept += 1
    return cleaned


def _merge(copies: list[Row], multi: Collection[str]) -> tuple[Row, bool]:
    """One row for all copies of a text, and whether they disagreed."""
    if len(copies) == 1:
        return copies[0], False
    targets, in_conflict = _settle([row.targets for row in copies], multi)
    row = max(copies, key=lambda row: (_labels_entities(row), bool(row.entities)))
    by_name: dict[str, list[Entity]] = defaultdict(list)
    for entity in (
        *row.entities,
        *(entity for copy in copies if copy is not row for entity in copy.entities),
    ):
        by_name[text_key(entity.name)].append(entity)
    entities = []
    for given in by_name.values():
        known, disagree = _settle([entity.targets for entity in given], multi)
        in_conflict |= disagree
        # Places belong to the wording that they were found in.
        spans = tuple(places(row.text, given[0].names or (given[0].name,)))
        entities.append(replace(given[0], spans=spans, targets=known))
    return replace(row, targets=targets, entities=tuple(entities)), in_conflict


def _settle(given: Sequence[dict[str, Target]], multi: Collection[str]) -> tuple[dict[str, Target], bool]:
    """Per head what the copies say, and whether any disagree: of a single head the majority's label."""
    targets: dict[str, Target] = {}
    in_conflict = False
    for head in sorted({head for known in given for head in known}):
        said = [known[head] for known in given if head in known]
        if head in multi:
            targets[head] = Target(
                frozenset().union(*(target.allowed for target in said)),
                frozenset().union(*(target.possible for target in said)),
            )
            continue
        ranked = Counter(said).most_common(2)
        in_conflict |= len(ranked) > 1
        if len(ranked) == 1 or ranked[0][1] > ranked[1][1]:
            targets[head] = ranked[0][0]
    return targets, in_conflict


def _labels_entities(row: Row) -> bool:
    return any(entity.targets for entity in row.entities)


def _remove_leaks(cleaned: Cleaned) -> None:
    fixed = {text_key(row.text) for row in cleaned.rows if row.split is not None}
    kept = []
    for row in cleaned.rows:
        if row.split is None and text_key(row.text) in fixed:
            cleaned.report[row.source].leaks += 1
        else:
            kept.append(row)
    cleaned.rows = kept


def cross_set_conflicts(rows: Iterable[Row]) -> dict[str, int]:
    """Per head: texts to which two sets give labels that exclude each other."""
    seen: dict[tuple[str, str], list[Target]] = defaultdict(list)
    for row in rows:
        for head, target in row.targets.items():
            seen[head, statement(row.text)].append(target)
    conflicts: Counter[str] = Counter()
    for (head, _), targets in seen.items():
        shared = frozenset.intersection(*(target.possible for target in targets))
        conflicts[head] += len({target.allowed & shared for target in targets}) > 1
    return {head: count for head, count in conflicts.items() if count}
