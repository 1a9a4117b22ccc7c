"""Names exchanged for others, so that a model learns what is said and not of whom."""

from stream.evaluation.rows import Entity, Row, Target
from stream.names import places
from training.augmentation import NameSwap

BAD = {"entity_sentiment": Target(frozenset({"negative"}), frozenset({"negative", "positive"}))}


def row(text: str, *names: str, source: str = "news") -> Row:
    entities = tuple(Entity(name, tuple(places(text, [name])), BAD) for name in names)
    return Row(text, source, "en", entities=entities)


def test_a_name_becomes_another_of_its_set_wherever_the_text_has_it() -> None:
    swap = NameSwap([row("Acme fell as Acme lost", "Acme"), row("Borealis won", "Borealis")], seed=1)
    seen = [swap(row("Why Acme fell: Acme lost a case", "Acme")) for _ in range(30)]
    assert {found.text for found in seen} == {
        "Why Acme fell: Acme lost a case",
        "Why Borealis fell: Borealis lost a case",
    }
    for found in seen:
        (entity,) = found.entities
        assert {found.text[start:end] for start, end in entity.spans} in ({"Acme"}, {"Borealis"})
        assert entity.targets == BAD


def test_two_names_keep_their_places_and_their_labels() -> None:
    known = [row(f"{name} fell", name) for name in ("Acme", "Borealis", "Cobalt Industries")]
    given = row("Acme gains as Borealis recalls", "Borealis", "Acme")
    for _ in range(20):
        found = NameSwap(known, seed=2)(given)
        first, second = (found.text[slice(*entity.spans[0])] for entity in found.entities)
        assert first != second
        assert found.text == f"{second} gains as {first} recalls"


def test_a_cashtag_becomes_another_cashtag() -> None:
    swap = NameSwap([row("$ACME fell"), row("$BRLS won"), row("Cobalt won", "Cobalt")], seed=3)
    assert {swap(row("sell $ACME now")).text for _ in range(30)} == {"sell $ACME now", "sell $BRLS now"}


def test_names_come_from_the_same_set_only() -> None:
    swap = NameSwap([row("Acme fell", "Acme"), row("腾讯下跌", "腾讯", source="新闻")], seed=4)
    assert swap(row("Acme fell", "Acme")).text == "Acme fell"


def test_names_that_overlap_and_texts_without_names_stay() -> None:
    swap = NameSwap([row("Acme fell", "Acme"), row("Acme Bank won", "Acme Bank")], seed=5)
    overlapping = row("Acme Bank fell", "Acme", "Acme Bank")
    assert swap(overlapping) is overlapping
    plain = row("nothing is named")
    assert swap(plain) is plain
