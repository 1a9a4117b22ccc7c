"""The figures of a report, on cases small enough to count by hand."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, roc_auc_score

from stream.bundle import Head
from stream.evaluation.rows import Row, Target
from stream.evaluation.scores import (
    area_under_roc,
    calibration_error,
    multi_scores,
    negative_scores,
    recall_at_precision,
    reliability,
    sigmoid,
    single_scores,
    softmax,
)
from stream.evaluation.summary import summarise
from training.calibration import MINIMUM_POSITIVES, calibrate, fit_temperature, tune_thresholds

LABELS = ["negative", "neutral", "positive"]


def one_hot(labels: list[int], size: int = 3) -> np.ndarray:
    return np.eye(size, dtype=bool)[labels]


def test_accuracy_f1_and_confusion_are_counted_by_label() -> None:
    logits = np.array([[2.0, 0, 0], [0, 2.0, 0], [2.0, 0, 0], [0, 0, 2.0]])
    found = single_scores(logits, one_hot([0, 1, 1, 2]), np.ones((4, 3), dtype=bool), LABELS)
    assert found["accuracy"] == 0.75
    assert found["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert found["labels"]["negative"] == {
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "rows": 1,
    }
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_a_set_without_neutral_is_judged_between_the_labels_it_knows() -> None:
    polar = np.array([[True, False, True]])
    found = single_scores(np.array([[0.0, 5.0, 1.0]]), one_hot([2]), polar, LABELS)
    assert found["accuracy"] == 1.0
    assert found["macro_f1"] == 1.0


def test_rows_that_only_rule_a_label_out_give_no_figures_of_labels() -> None:
    allowed = np.array([[False, True, True]])
    assert single_scores(np.zeros((1, 3)), allowed, np.ones((1, 3), dtype=bool), LABELS) == {}


def test_rows_that_only_rule_a_label_out_tell_how_often_it_is_given_all_the_same() -> None:
    target = {"sentiment": Target(frozenset({"neutral", "positive"}), frozenset(LABELS))}
    rows = [Row("a", "alarms", "en", target), Row("b", "alarms", "en", target), Row("c", "news", "en", {})]
    head = Head(name="sentiment", kind="single", labels=LABELS)
    logits = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=np.float32)
    found = summarise([head], {"sentiment": logits}, rows)["sentiment"]
    assert found["all"] == found["by_set"]["alarms"] == {"rows": 2, "accuracy": 0.5}
    assert set(found["by_set"]) == {"alarms"}


def test_who_calls_everything_negative_is_not_precise_where_rows_say_that_they_are_not() -> None:
    allowed = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1], [0, 1, 1]], dtype=bool)
    logits = np.array([[5.0, 0, 0], [5, 0, 0], [5, 0, 0], [5, 0, 0], [0, 5, 0]])
    found = single_scores(logits, allowed, np.ones((5, 3), dtype=bool), LABELS)
    assert (found["rows"], found["accuracy"]) == (5, pytest.approx(3 / 5))
    assert found["labels"]["negative"]["precision"] == pytest.approx(2 / 4)
    assert found["macro_f1"] == pytest.approx(2 / 3)
    assert sum(map(sum, found["confusion"])) == 2


def test_unknown_topics_count_neither_way() -> None:
    probabilities = np.array([[0.9, 0.9], [0.2, 0.9]])
    allowed = np.array([[True, False], [False, False]])
    possible = np.array([[True, False], [True, False]])
    found = multi_scores(probabilities, np.array([0.5, 0.5]), allowed, possible, ["a", "b"])
    assert set(found["labels"]) == {"a"}
    assert found["macro_f1"] == 1.0


def test_negatives_are_ranked_with_not_negative_rows_too() -> None:
    logits = np.array([[3.0, 0, 0], [2.0, 0, 0], [0.0, 1, 0], [1.0, 0, 0]])
    allowed = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1]], dtype=bool)
    found = negative_scores(logits, allowed, np.ones((4, 3), dtype=bool), LABELS)
    assert found["auc"] == 1.0
    assert found["recall_at_precision"] == 1.0
    assert (found["polarity_rows"], found["polarity_accuracy"]) == (3, pytest.approx(2 / 3))


def test_calibration_error_is_the_gap_of_confidence_and_accuracy() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.9])
    assert calibration_error(reliability(confidence, np.array([True, True, True, False]))) == pytest.approx(
        0.15
    )


def test_a_temperature_cools_an_overconfident_model() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(size=(4000, 3))
    labels = [int(rng.choice(3, p=row)) for row in softmax(true)]
    everything = np.ones((4000, 3), dtype=bool)
    assert fit_temperature("single", 3 * true, one_hot(labels), everything) == pytest.approx(3, rel=0.1)


def test_multi_label_temperatures_are_fitted_on_known_labels_only() -> None:
    rng = np.random.default_rng(2)
    true = rng.normal(size=(4000, 2))
    allowed = rng.random((4000, 2)) < sigmoid(true)
    possible = np.ones((4000, 2), dtype=bool)
    possible[:, 1] = False
    logits = np.column_stack([2 * true[:, 0], -50 * true[:, 1]])
    assert fit_temperature("multi", logits, allowed & possible, possible) == pytest.approx(2, rel=0.1)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.3, 0.45, 0.6, 0.8]), st.booleans()), min_size=20, max_size=60
    ).filter(lambda pairs: MINIMUM_POSITIVES <= sum(gold for _, gold in pairs) < len(pairs))
)
@example([(0.3, True)] * 10 + [(0.3, False)] * 20)
def test_a_tuned_threshold_is_right_more_often_than_wrong_or_at_one_half_whatever_it_was(
    pairs: list[tuple[float, bool]],
) -> None:
    score = np.array([[first] for first, _ in pairs])
    gold = np.array([[second] for _, second in pairs])
    [threshold] = tune_thresholds(score, gold, np.ones_like(gold), [0.2])
    given_label = score >= threshold
    assert threshold == 0.5 or gold[given_label].mean() >= 0.5


def test_a_threshold_above_one_half_stays_where_none_is_right_often_enough() -> None:
    score, gold = np.full((30, 1), 0.3), np.arange(30)[:, None] < 10
    assert tune_thresholds(score, gold, np.ones_like(gold), [0.8]) == [0.8]


def test_a_tuned_threshold_finds_what_one_half_misses() -> None:
    score = np.concatenate([np.full((20, 1), 0.3), np.full((200, 1), 0.1)])
    gold = score > 0.2
    [threshold] = tune_thresholds(score, gold, np.ones_like(gold), [0.5])
    assert 0.1 < threshold <= 0.3


def test_a_gap_between_a_few_rows_does_not_put_a_threshold_far_from_where_the_others_have_it() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(size=2000) * 2 - 3
    score = 1 / (1 + np.exp(-logits))
    tuned = []
    for _ in range(20):
        gold = rng.random(2000) < score
        [threshold] = tune_thresholds(score[:, None], gold[:, None], np.ones((2000, 1), dtype=bool), [0.5])
        tuned.append(threshold)
    assert np.ptp(tuned) < 0.1


def test_a_label_with_few_examples_keeps_the_threshold_that_it_has() -> None:
    assert tune_thresholds(
        np.full((5, 1), 0.9), np.ones((5, 1), dtype=bool), np.ones((5, 1), dtype=bool), [0.3]
    ) == [0.3]


def test_calibration_keeps_the_head_and_changes_its_numbers() -> None:
    head = Head(name="topics", kind="multi", labels=["a", "b"], thresholds=[0.5, 0.5])
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(500, 2)).astype(np.float32)
    allowed = logits > 0.7
    tuned = calibrate(head, logits, allowed, np.ones_like(allowed))
    assert tuned.labels == head.labels
    assert tuned.temperature < 1
    assert min(tuned.thresholds) > 0.6


def test_a_summary_is_by_language_and_by_set() -> None:
    target = {"sentiment": Target(frozenset({"negative"}), frozenset(LABELS))}
    rows = [
        Row("跌", "board", "zh", target),
        Row("falls", "news", "en", target),
        Row("?", "topics", "en", {}),
    ]
    head = Head(name="sentiment", kind="single", labels=LABELS)
    logits = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=np.float32)
    found = summarise([head], {"sentiment": logits}, rows)["sentiment"]
    assert found["all"]["rows"] == 2
    assert found["by_language"]["zh"]["accuracy"] == 1.0
    assert found["by_language"]["en"]["accuracy"] == 0.0
    assert set(found["by_set"]) == {"board", "news"}


def test_a_set_for_evaluation_only_has_figures_of_its_own_alone() -> None:
    target = {"sentiment": Target(frozenset({"negative"}), frozenset(LABELS))}
    rows = [Row("falls", "news", "en", target), Row("Profit fell", "other", "en", target)]
    head = Head(name="sentiment", kind="single", labels=LABELS)
    logits = np.array([[1, 0, 0], [0, 0, 1]], dtype=np.float32)
    found = summarise([head], {"sentiment": logits}, rows, apart=["other"])["sentiment"]
    assert found["all"]["rows"] == found["by_language"]["en"]["rows"] == 1
    assert found["by_set"]["other"]["accuracy"] == 0.0


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans()), min_size=2, max_size=60
    ).filter(lambda pairs: len({gold for _, gold in pairs}) == 2)
)
def test_ranking_figures_are_those_of_scikit_learn(pairs: list[tuple[float, bool]]) -> None:
    score, gold = np.array([one for one, _ in pairs]), np.array([one for _, one in pairs])
    assert area_under_roc(score, gold) == pytest.approx(roc_auc_score(gold, score))
    precisions, recalls, _ = precision_recall_curve(gold, score)
    for precision in (0.5, 0.8, 1.0):
        # Its curve ends with an invented point: precision 1 at recall 0.
        expected = recalls[precisions >= precision].max()
        assert recall_at_precision(score, gold, precision) == pytest.approx(expected)
