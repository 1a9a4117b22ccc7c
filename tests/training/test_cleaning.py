"""Cleaning says what it did, and splits never share a text."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.evaluation.identity import text_key
from stream.evaluation.rows import Entity, Row, Split, Target
from stream.names import places
from training.adapters import Reading
from training.cleaning import clean, cross_set_conflicts
from training.splits import Frozen, SplitError, split_rows

ALL = frozenset({"negative", "neutral", "positive"})
BAD = {"entity_sentiment": Target(frozenset({"negative"}), ALL)}


def row(text: str, label: str = "neutral", source: str = "set", split: Split | None = None) -> Row:
    return Row(text, source, "en", {"sentiment": Target(frozenset({label}), ALL)}, split)


def many(count: int, source: str = "set", start: int = 0) -> list[Row]:
    return [
        row(f"text number {number}", ["negative", "neutral", "positive"][number % 3], source)
        for number in range(start, start + count)
    ]


def test_copies_that_differ_in_punctuation_or_case_are_one_text() -> None:
    cleaned = clean({"set": Reading([row("Shares fall!"), row("shares  FALL"), row("Shares rise")], read=3)})
    assert [item.text for item in cleaned.rows] == ["Shares fall!", "Shares rise"]
    assert cleaned.report["set"].duplicates == 1


def test_a_text_in_traditional_and_in_simplified_characters_is_one_text() -> None:
    cleaned = clean({"set": Reading([row("騰訊業績大幅下滑"), row("腾讯业绩大幅下滑")], read=2)})
    assert [item.text for item in cleaned.rows] == ["騰訊業績大幅下滑"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Profit -5%", "Profit +5%"),
        ("Yield 1.5%", "Yield 15%"),
        ("$TSLA 🚀", "$TSLA 📉"),
        ("EPS ↑ 5%", "EPS ↓ 5%"),
        ("Index ▲5", "Index ▼5"),
        ("利润 >5%", "利润 <5%"),
        ("Profit \u22125%", "Profit 5%"),
    ],
)
def test_texts_that_differ_in_a_sign_or_a_symbol_keep_their_labels_and_stay_in_one_split(
    one: str, other: str
) -> None:
    copies = [row(one, "positive"), row(other, "negative")]
    cleaned = clean({"set": Reading(copies, read=2)})
    assert (cleaned.rows, cleaned.report["set"].conflicts) == (copies, 0)
    assert cross_set_conflicts(copies) == {}
    assert len({item.split for item in split_rows(cleaned.rows, 0.3, 0.3, Frozen())}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Profit: -5%!", "profit \u22125 %"),
        ("2019-2020", "2019/2020"),
        ("1,000 jobs.", "1000 jobs"),
        ("a-b", "a b"),
    ],
)
def test_copies_that_differ_in_dashes_and_commas_are_one_text(one: str, other: str) -> None:
    assert len(clean({"set": Reading([row(one), row(other)], read=2)}).rows) == 1


def test_labels_that_stand_under_keys_are_those_of_all_texts_with_that_key() -> None:
    copies = [row("Profit -5%"), row("Profit +5%")]
    assert clean({"set": Reading(copies, read=2, by_key=True)}).rows == copies[:1]


def test_of_conflicting_labels_the_majority_is_kept() -> None:
    copies = [row("Flat.", "neutral"), row("flat", "neutral"), row("flat!", "negative")]
    cleaned = clean({"set": Reading(copies, read=3)})
    assert [item.targets["sentiment"].allowed for item in cleaned.rows] == [{"neutral"}]
    assert cleaned.report["set"].conflicts == 1


def test_a_tie_of_labels_leaves_none() -> None:
    cleaned = clean({"set": Reading([row("Flat.", "neutral"), row("flat", "negative")], read=2)})
    assert cleaned.rows == []
    assert (cleaned.report["set"].conflicts, cleaned.report["set"].unlabelled) == (1, 1)


def test_of_copies_the_one_that_labels_its_companies_is_kept() -> None:
    companies = [(), (Entity("Acme", ((0, 4),), {}),), (Entity("Acme", ((0, 4),), BAD),)]
    copies = [Row("Acme falls", "set", "en", entities=entities) for entities in companies]
    assert clean({"set": Reading(copies, read=3)}).rows == copies[2:]
    texts = [replace(row("Acme falls"), entities=entities) for entities in companies[:2]]
    assert clean({"set": Reading(texts, read=2)}).rows == texts[1:]


def about(text: str, **labels: str) -> Row:
    """A row with a label for each company."""
    entities = (
        Entity(
            name,
            tuple(places(text, [name])),
            {"entity_sentiment": Target(frozenset({label}), ALL)},
        )
        for name, label in labels.items()
    )
    return Row(text, "set", "en", entities=tuple(entities))


def test_copies_that_label_different_companies_of_a_text_are_one_row_of_all() -> None:
    text = "Acme sues Bolt"
    copies = [about(text, Acme="positive"), about("Acme sues Bolt!", Bolt="negative")]
    cleaned = clean({"set": Reading(copies, read=2)})
    assert cleaned.rows == [about(text, Acme="positive", Bolt="negative")]
    assert cleaned.report["set"].conflicts == 0


def test_of_conflicting_labels_of_a_company_the_majority_is_kept() -> None:
    labels = ["positive", "negative", "negative"]
    text = "Acme sues Bolt"
    cleaned = clean({"set": Reading([about(text, Acme=label) for label in labels], read=3)})
    assert cleaned.rows == [about(text, Acme="negative")]
    assert cleaned.report["set"].conflicts == 1
    tied = clean({"set": Reading([about(text, Acme=label) for label in labels[:2]], read=2)})
    assert (tied.rows, tied.report["set"].unlabelled) == ([], 1)


def test_what_copies_say_of_topics_is_united() -> None:
    topics = frozenset({"earnings", "people", "capital"})
    copies = [
        Row("Results, new chief", "set", "en", {"topics": Target(frozenset(named), topics)})
        for named in (["earnings"], ["people"], [])
    ]
    cleaned = clean({"set": Reading(copies, read=3)}, {"topics"})
    assert [item.targets["topics"] for item in cleaned.rows] == [
        Target(frozenset({"earnings", "people"}), topics)
    ]
    assert cleaned.report["set"].conflicts == 0


def test_a_text_whose_companies_have_no_label_is_unlabelled() -> None:
    bare = Row("Acme falls", "set", "en", entities=(Entity("Acme", ((0, 4),), {}),))
    cleaned = clean({"set": Reading([bare], read=1)})
    assert (cleaned.rows, cleaned.report["set"].unlabelled) == ([], 1)


def test_training_texts_that_stand_in_a_published_test_file_are_dropped() -> None:
    cleaned = clean(
        {
            "a": Reading([row("seen", source="a", split="test")], read=1),
            "b": Reading([row("Seen!", source="b"), row("new", source="b")], read=2),
        }
    )
    assert [(item.text, item.split) for item in cleaned.rows] == [("seen", "test"), ("new", None)]
    assert cleaned.report["b"].leaks == 1


def test_sets_that_contradict_each_other_are_counted() -> None:
    rows = [row("same", "negative", "a"), row("same", "positive", "b"), row("other", "neutral", "b")]
    assert cross_set_conflicts(rows) == {"sentiment": 1}


def test_every_row_read_is_accounted_for() -> None:
    reading = Reading([row("one"), row("One!"), row("two", split="test"), row("Two")], read=6, empty=1)
    report = clean({"set": reading}).report["set"]
    parts = (
        report.empty + report.same_text + report.duplicates + report.unlabelled + report.leaks + report.kept
    )
    assert parts == report.read


def test_a_text_of_symbols_alone_has_a_key_of_its_own() -> None:
    assert text_key("🚀") != text_key("💩")


@given(st.sets(st.integers(0, 3000), min_size=1, max_size=60), st.sets(st.integers(0, 3000), max_size=60))
def test_no_text_is_in_two_splits_whichever_set_it_comes_from(first: set[int], second: set[int]) -> None:
    rows = [row(f"text {number}", source="a") for number in sorted(first)]
    rows += [row(f"Text, {number}!", source="b") for number in sorted(second)]
    places: dict[str, set[Split | None]] = {}
    for item in split_rows(rows, 0.2, 0.3, Frozen()):
        places.setdefault(text_key(item.text), set()).add(item.split)
    assert all(len(splits) == 1 for splits in places.values())


def test_each_label_has_its_share_in_each_split() -> None:
    counts = Counter(
        (item.split, min(item.targets["sentiment"].allowed))
        for item in split_rows(many(300), 0.1, 0.2, Frozen())
    )
    for label in ALL:
        assert (counts["train", label], counts["valid", label], counts["test", label]) == (70, 10, 20)


def test_frozen_splits_stay_when_a_set_grows_and_new_sets_are_drawn(tmp_path: Path) -> None:
    frozen = Frozen()
    before = {item.text: item.split for item in split_rows(many(100), 0.1, 0.1, frozen)}
    frozen.write(tmp_path / "splits.tsv")

    again = Frozen.read(tmp_path / "splits.tsv")
    rows = many(150) + many(100, "other", 1000)
    after = split_rows(rows, 0.1, 0.1, again)
    assert {item.text: item.split for item in after if item.text in before} == before
    assert {item.split for item in after if item.source == "other"} == {"train", "valid", "test"}
    assert all(item.split == "train" for item in after if item.source == "set" and item.text not in before)


def test_a_set_with_a_published_test_file_gives_up_no_training_rows_for_another() -> None:
    rows = [*many(100), row("judge by me", split="test")]
    splits = Counter(item.split for item in split_rows(rows, 0.1, 0.2, Frozen()))
    assert splits["test"] == 1


def test_the_sentences_of_a_pattern_are_in_one_split_also_those_that_come_later(tmp_path: Path) -> None:
    rows = many(400)
    patterns = {text_key(item.text): f"pattern {number // 8}" for number, item in enumerate(rows)}

    def splits(count: int) -> dict[str, set[Split | None]]:
        frozen = Frozen.read(tmp_path / "splits.tsv") if (tmp_path / "splits.tsv").exists() else Frozen()
        places: dict[str, set[Split | None]] = {}
        for item in split_rows(rows[:count], 0.1, 0.2, frozen, patterns):
            places.setdefault(patterns[text_key(item.text)], set()).add(item.split)
        frozen.write(tmp_path / "splits.tsv")
        return places

    # The last pattern has made one sentence of its eight.
    before = splits(393)
    assert {split for found in before.values() for split in found} == {"train", "valid", "test"}
    assert all(len(found) == 1 for found in before.values())
    assert splits(400) == before


def test_splits_that_divide_the_sentences_of_a_pattern_are_refused_until_they_are_drawn_anew() -> None:
    rows = many(80, "figures")
    patterns = {text_key(item.text): f"pattern {number // 8}" for number, item in enumerate(rows)}
    frozen = Frozen()
    split_rows(rows, 0.1, 0.2, frozen)
    with pytest.raises(SplitError, match="remove its line `set figures`"):
        split_rows(rows, 0.1, 0.2, frozen, patterns)
    frozen.sources.remove("figures")
    places = {
        (patterns[text_key(item.text)], item.split) for item in split_rows(rows, 0.1, 0.2, frozen, patterns)
    }
    assert len(places) == 10


def test_a_damaged_file_of_splits_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "splits.tsv").write_text("set\tnews\ntrain\tabc\n", encoding="utf-8")
    with pytest.raises(SplitError, match="line 2"):
        Frozen.read(tmp_path / "splits.tsv")


def test_copies_that_write_a_company_otherwise_name_one_company() -> None:
    copies = [about("台積電大跌", 台積電="negative"), about("台积电大跌", 台积电="negative")]
    (merged,) = clean({"set": Reading(copies, read=2)}).rows
    assert [(one.name, one.spans) for one in merged.entities] == [("台積電", ((0, 3),))]
