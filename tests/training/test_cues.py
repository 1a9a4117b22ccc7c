"""Words teach a topic where a published set says nothing of it, and never against one."""

from typing import Any

import pytest
from pydantic import ValidationError

from stream.evaluation.rows import Row, Target
from training.configuration import Head
from training.dataset import add_cues
from training.taxonomy import Taxonomy


def topics(**changes: Any) -> Head:
    taxonomy = Taxonomy.model_validate(
        {
            "labels": {"credit-risk": "default", "capital": "shares", "macro": "growth"},
            "cues": {"credit-risk": [r"\bdefaulted\b", "违约"], "capital": ["减持"]},
            **changes,
        }
    )
    return Head(name="topics", kind="multi", labels=tuple(taxonomy.labels), taxonomy=taxonomy)


def cued(
    head: Head, text: str, allowed: set[str] | None = None, possible: set[str] | None = None
) -> Target | None:
    known = {"topics": Target(frozenset(allowed or ()), frozenset(possible))} if possible is not None else {}
    [row], _ = add_cues([Row(text, "set", "en", known)], [head])
    return row.targets.get("topics")


def test_a_cue_gives_its_topic_in_either_language() -> None:
    for text in ("Acme DEFAULTED on its bonds", "公司债券违约"):
        target = cued(topics(), text)
        assert target == Target(frozenset({"credit-risk"}), frozenset({"credit-risk"}))


def test_a_cue_does_not_overrule_the_set() -> None:
    target = cued(topics(), "it defaulted", set(), {"credit-risk", "macro"})
    assert target == Target(frozenset(), frozenset({"credit-risk", "macro"}))


def test_what_the_set_says_is_kept_beside_a_cue() -> None:
    target = cued(topics(), "growth slowed, one bank defaulted", {"macro"}, {"macro"})
    assert target == Target(frozenset({"macro", "credit-risk"}), frozenset({"macro", "credit-risk"}))


def test_without_a_cue_nothing_is_denied_unless_cues_decide() -> None:
    assert cued(topics(), "a dull day") is None
    deciding = topics(decided_by_cues=["capital"])
    assert cued(deciding, "a dull day") == Target(frozenset(), frozenset({"capital"}))
    assert cued(deciding, "股东减持") == Target(frozenset({"capital"}), frozenset({"capital"}))


def test_labels_from_cues_are_counted() -> None:
    rows = [Row(text, "set", "zh", {}) for text in ("违约", "减持", "违约，减持")]
    assert add_cues(rows, [topics()])[1] == {"credit-risk": 2, "capital": 2}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"cues": {"credit": ["x"]}}, "cues.credit"),
        ({"cues": {"macro": ["("]}}, "is no pattern"),
        ({"decided_by_cues": ["macro"]}, "has no cues"),
    ],
)
def test_a_cue_that_cannot_work_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        topics(**changes)
