"""Companies under invented names: what is replaced, by what, and where it stands then."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bundle import ENTITY_HEADS, make_tiny_bundle

from stream.engine.judgement import Question
from stream.engine.tokens import BundleTokenizer
from stream.names import Span, places
from stream.pseudonyms import NO_PSEUDONYMS, Pseudonyms, pseudonymise
from stream.reading import Reading

PSEUDONYMS = Pseudonyms(latin=("Norvex", "Talbrook"), chinese=("甲公司", "乙公司"))


def under_pseudonyms(text: str, *names: str) -> str:
    return pseudonymise(text, [places(text, [name]) for name in names], PSEUDONYMS)[0]


@pytest.mark.parametrize(
    ("text", "names", "wanted"),
    [
        (
            "Acme beats Borealis, says Acme's head",
            ("Borealis", "Acme"),
            "Norvex beats Talbrook, says Norvex's head",
        ),
        ("ACME rises, Acme falls", ("Acme",), "Norvex rises, Norvex falls"),
        ("华为起诉中兴", ("中兴", "华为"), "甲公司起诉乙公司"),
        ("TCL业绩预增，腾讯下跌", ("TCL", "腾讯"), "甲公司业绩预增，乙公司下跌"),
        (
            "Tencent, or 腾讯, has sued a rival in London",
            ("腾讯",),
            "Tencent, or Norvex, has sued a rival in London",
        ),
        ("sell $TSLA now", ("$TSLA",), "sell $NORVEX now"),
        ("sell $TSLA now", ("TSLA",), "sell $NORVEX now"),
        ("Acme, Borealis, Cobalt", ("Acme", "Borealis", "Cobalt"), "Norvex, Talbrook, Cobalt"),
        ("Bank of America falls", ("Bank of America", "America"), "Norvex falls"),
        ("nothing is named", ("Acme",), "nothing is named"),
    ],
)
def test_each_company_has_a_name_of_its_own_script_in_the_order_of_the_text(
    text: str, names: tuple[str, ...], wanted: str
) -> None:
    assert under_pseudonyms(text, *names) == wanted


def test_places_move_with_the_names() -> None:
    text = "Acme sues Borealis Bank; Acme wins, and Bank loses"
    names = ["Borealis Bank", "Bank", "Acme", "Cobalt"]
    changed, moved = pseudonymise(text, [places(text, [name]) for name in names], PSEUDONYMS)
    assert changed == "Norvex sues Talbrook; Norvex wins, and Bank loses"
    assert [[changed[slice(*place)] for place in own] for own in moved] == [
        ["Talbrook"],
        # It has no pseudonym left, but a place of its own: what is said of the other is not said of it.
        ["Bank"],
        ["Norvex", "Norvex"],
        [],
    ]


def test_a_company_has_one_pseudonym_however_it_is_written() -> None:
    text = "Acme ($ACM) falls, sell $ACM: all is lost"
    found = places(text, ("Acme", "$ACM"))
    assert pseudonymise(text, [found], PSEUDONYMS)[0] == "Norvex ($NORVEX) falls, sell $NORVEX: all is lost"


def test_who_is_named_only_within_anothers_name_is_where_that_stands() -> None:
    text = "Alibaba Health collapses on fraud"
    _, moved = pseudonymise(
        text, [places(text, [name]) for name in ("Alibaba", "Alibaba Health")], PSEUDONYMS
    )
    assert moved[0] == moved[1] != []


def test_without_pseudonyms_too_what_is_said_of_a_longer_name_is_not_said_of_the_shorter() -> None:
    text = "Apple Hospitality collapses; Apple beats"
    found = [places(text, [name]) for name in ("Apple", "Apple Hospitality")]
    assert pseudonymise(text, found, NO_PSEUDONYMS)[1] == [[(29, 34)], [(0, 17)]]


def test_without_pseudonyms_a_text_stays_as_it_is() -> None:
    found = [places("Acme falls", ["Acme"])]
    assert pseudonymise("Acme falls", found, NO_PSEUDONYMS) == ("Acme falls", found)


texts = st.text(alphabet="ab$ 华为", max_size=20)
spans = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda pair: (min(pair), max(pair)))


@given(texts, st.lists(st.lists(spans, max_size=3), max_size=4))
def test_what_is_no_name_stays_and_every_company_keeps_its_places(
    text: str, companies: list[list[Span]]
) -> None:
    inside = [[(start, end) for start, end in own if start < end <= len(text)] for own in companies]
    changed, moved = pseudonymise(text, inside, PSEUDONYMS)
    named = {place for own in inside for start, end in own for place in range(start, end)}
    renamed = {place for own in moved for start, end in own for place in range(start, end)}
    assert [c for i, c in enumerate(changed) if i not in renamed] == [
        c for i, c in enumerate(text) if i not in named
    ]
    assert [bool(own) for own in moved] == [bool(own) for own in inside]


def test_a_text_in_capitals_is_read_in_small_letters_though_its_company_is_renamed() -> None:
    text = "THE REGULATOR FINES ACME HEAVILY"
    assert Reading(PSEUDONYMS)(text, [places(text, ["Acme"])])[0] == "the regulator fines Norvex heavily"


def test_the_model_reads_the_same_whoever_is_named(tmp_path: Path) -> None:
    """Nothing that it says can hang on the name then."""
    tokenizer = BundleTokenizer(make_tiny_bundle(tmp_path, ENTITY_HEADS, pseudonyms=PSEUDONYMS))
    first, second = tokenizer.encode(
        [
            Question("Acme sues Borealis", (("Acme",), ("Borealis",))),
            Question("Cobalt sues Deutsche Dynamo", (("Cobalt",), ("Deutsche Dynamo",))),
        ]
    )
    assert first == second
    assert all(first.entities)


def test_who_is_no_company_of_the_question_keeps_the_name(tmp_path: Path) -> None:
    tokenizer = BundleTokenizer(make_tiny_bundle(tmp_path, pseudonyms=PSEUDONYMS))
    named, unnamed, pseudonym = tokenizer.encode(
        [
            Question("profit falls", (("profit",),)),
            Question("profit falls"),
            Question("Norvex falls"),
        ]
    )
    assert named.ids == pseudonym.ids != unnamed.ids


def test_many_companies_named_many_times_take_no_time() -> None:
    text = "涨" * 4_000
    companies = [[(start, start + 1) for start in range(number, 4_000, 100)] for number in range(100)]
    began = time.perf_counter()
    for pseudonyms in (PSEUDONYMS, NO_PSEUDONYMS):
        changed, moved = pseudonymise(text, companies, pseudonyms)
        assert [len(spans) for spans in moved] == [40] * 100
        assert changed[slice(*moved[0][1])] == changed[slice(*moved[0][0])]
    assert time.perf_counter() - began < 1
