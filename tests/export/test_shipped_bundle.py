"""The bundles in the repository: small, verified, honest about its data, right on plain cases."""

from pathlib import Path

import pytest

from stream.bundle import Bundle, default_bundle, load_bundle
from stream.engine.engine import Engine
from stream.engine.judgement import Question
from stream.settings import EngineSettings
from stream.text import normalise

PLAIN = [
    ("negative", "Class action filed against Orbit Motors over defective brakes"),
    ("negative", "Harbor Lending halts withdrawals as depositors rush to pull their money"),
    ("negative", "Shares of Acme plunge 12% after profit warning"),
    ("negative", "北方银行被曝贷款造假，监管部门进驻调查"),
    ("negative", "绿源电力未能按期兑付到期债券，构成实质违约"),
    ("negative", "某某科技董事长涉嫌内幕交易被立案调查"),
    ("positive", "Acme Q3 net profit jumps 45%, beats estimates; raises full-year guidance"),
    ("positive", "Goldman upgrades Acme to buy, lifts target to $120"),
    ("positive", "联创医药：前三季度净利润同比增长62%，超市场预期"),
    ("positive", "今天又涨停了，爽，继续拿着"),
    ("neutral", "Acme to report third-quarter results on 24 October"),
    ("neutral", "Lumen Health appoints Jane Doe as chief executive"),
]


MOST_BYTES = {"default": 50_000_000, "small": 35_000_000}


@pytest.fixture(scope="module", params=["default", "small"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return load_bundle(default_bundle().with_name(request.param))


def test_it_is_small_enough_for_a_repository(bundle: Bundle) -> None:
    size = sum(file.stat().st_size for file in bundle.folder.iterdir())
    assert size < MOST_BYTES[bundle.folder.name]


def test_no_licence_of_its_data_forbids_commercial_use_by_name(bundle: Bundle) -> None:
    assert bundle.manifest.data
    assert not any("NC" in str(data["licence"]) for data in bundle.manifest.data)
    assert "financial_phrasebank" not in {data["name"] for data in bundle.manifest.data}


def test_the_page_on_labels_says_how_many_of_them_it_learnt(bundle: Bundle) -> None:
    rows = {data["name"]: data["rows"] for data in bundle.manifest.data}
    labelled = sum(count for name, count in rows.items() if name.endswith("_labelled"))
    written = sum(count for name, count in rows.items() if name.startswith("sentences_"))
    page = (Path(__file__).parents[2] / "docs" / "labelling.md").read_text(encoding="utf-8")
    assert f"learnt from {labelled:,} of these texts and {written:,} of these sentences" in " ".join(
        page.split()
    )


def test_it_says_openly_that_a_set_for_research_is_among_its_data(bundle: Bundle) -> None:
    sets = [data for data in bundle.manifest.data if data["name"].startswith("duee_fin")]
    assert sets
    assert {data["licence"] for data in sets} == {"research"}


def test_its_card_names_every_set_with_its_licence(bundle: Bundle) -> None:
    card = (bundle.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for data in bundle.manifest.data:
        assert f"| {data['name']} | {data['rows']:,} | {data['licence']} |" in card


def test_its_export_lost_little(bundle: Bundle) -> None:
    for head in bundle.manifest.metrics["export"]["heads"].values():
        assert head["macro_f1_before"] - head["macro_f1_after"] <= 0.01


def test_it_is_right_on_plain_cases_in_both_languages(bundle: Bundle) -> None:
    engine = Engine(bundle, EngineSettings(provider="cpu", threads=1))
    engine.load()
    questions = [Question(normalise(text)) for _, text in PLAIN]
    answers = [engine.judge([question])[0]["sentiment"].label for question in questions]
    engine.close()
    assert answers == [label for label, _ in PLAIN]


def test_the_default_says_the_same_of_a_company_whatever_its_name() -> None:
    engine = Engine(load_bundle(default_bundle()), EngineSettings(provider="cpu", threads=1))
    engine.load()
    scandal = "{} shares slide as the regulator fines the bank, while {} gains"
    pairs = [("Apple", "Tesla"), ("Lehman Brothers", "Wirecard"), ("Gazprom", "Acme")]
    answers = engine.judge(
        [Question(scandal.format(*pair), tuple((name,) for name in pair)) for pair in pairs]
    )
    engine.close()
    assert answers[0] == answers[1] == answers[2]
