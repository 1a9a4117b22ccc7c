"""Rules and dashboard: every metric, label and value that they name is one that a worker exposes."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql
import pytest
from deployment import DEPLOY, ROOT, bind_mounts, compose, document, environment, text
from prometheus_client import CollectorRegistry, ProcessCollector

from stream.labels import SENTIMENTS
from stream.metrics import (
    DRIFT_TEXTS,
    EngineMetrics,
    NotifyMetrics,
    ScoreMetrics,
    SwitchMetrics,
    WatchMetrics,
)
from stream.records import AlertState, DeadLetterReason, ReviewReason, Severity
from stream.settings import Settings, WebSettings
from stream.spikes.subject import Outcome
from stream.web import WebServer

SCRAPE_LABELS = {"job", "instance"}
"""What Prometheus itself adds to every series."""
DASHBOARD: dict[str, Any] = json.loads(text("grafana/dashboards/downtick.json"))
RULES: list[dict[str, Any]] = document("prometheus/rules.yaml")["groups"][0]["rules"]
DURATION = re.compile(r"\d+[smhd]")

Series = dict[str, dict[str, set[str]]]
"""Name of a series: each of its labels with the values seen."""


def used_registry() -> CollectorRegistry:
    """A registry in which every metric has been used."""
    registry = CollectorRegistry()
    engine, score = EngineMetrics(registry), ScoreMetrics(registry)
    watch = WatchMetrics(registry, ["all"])
    SwitchMetrics(registry).in_use()
    NotifyMetrics(registry).told()
    engine.batch_ran(texts=2, tokens=20, padded_tokens=24, seconds=0.01)
    engine.cache_looked_up(hits=1, misses=1)
    engine.text_failed()
    engine.trained_on({"language": {"en": 1.0}})
    for _ in range(DRIFT_TEXTS):
        engine.text_judged({"language": ["zh"]})
    engine.bundle_in_use("tiny", "0123456789abcdef", "int8", "cpu")
    score.events_read(1)
    score.event_in_future()
    score.events_expired(1)
    score.lag_is({0: 5})
    for step in ("decode", "judge", "publish"):
        score.step_took(step, 0.01)
    for reason in DeadLetterReason:
        score.dead_letter(reason)
    for why in ReviewReason:
        score.put_aside(why)
    for sentiment in SENTIMENTS:
        score.event_scored("en", sentiment, 0.1)
        for outcome in Outcome:
            watch.observed("all", sentiment, outcome)
    for state in AlertState:
        for severity in Severity:
            for muted in (False, True):
                watch.alert_published(state.value, severity.value, 0.1, muted=muted)
    watch.surges_are({"all": 3.0})
    watch.windows_published(1)
    watch.unreadable()
    watch.records_expired(1)
    watch.owns(1)
    watch.event_counted_at(1.0)
    watch.lag_is({0: 1})
    WebServer(WebSettings(), registry, {"score": lambda: True, "watch": lambda: True})
    return registry


def test_counters_of_rare_things_stand_at_zero_before_the_first() -> None:
    """Prometheus sees no increase in a counter that begins at 1, and most alerts would be such a first.

    So would be the first negative of a company of which there was none before.
    """
    registry = CollectorRegistry()
    WatchMetrics(registry, ["all"])
    for name in ("downtick_alerts_published_total", "downtick_alerts_muted_total"):
        for state in AlertState:
            for severity in Severity:
                labels = {"state": state.value, "severity": severity.value}
                assert registry.get_sample_value(name, labels) == 0
    for sentiment in SENTIMENTS:
        labels = {"subject": "all", "sentiment": sentiment}
        assert registry.get_sample_value("downtick_subject_events_total", labels) == 0


def series_of(registry: CollectorRegistry) -> Series:
    series: Series = {}
    for family in registry.collect():
        for sample in family.samples:
            labels = series.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return series


@pytest.fixture(scope="module")
def exposed() -> Series:
    """All series of a worker, and `up`, which Prometheus makes for each target."""
    registry = used_registry()
    ProcessCollector(registry=registry)
    return series_of(registry) | {"up": {}}


def panels() -> list[dict[str, Any]]:
    found = []
    for panel in DASHBOARD["panels"]:
        found += [panel, *panel.get("panels", [])]
    return found


def plain(expression: str) -> str:
    """An expression with Grafana's variables filled in."""
    return re.sub(r"\$(__rate_interval|window)\b", "5m", expression).replace("$subject", ".*")


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, with a name to find it by."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel.get("targets", []):
            yield f"{panel['title']} {target['refId']}", plain(target["expr"])


EXPRESSIONS = dict(expressions())
each_expression = pytest.mark.parametrize("name", EXPRESSIONS)


@each_expression
def test_every_metric_that_is_named_is_exposed(name: str, exposed: Series) -> None:
    selectors = promql.read(EXPRESSIONS[name]).selectors
    assert selectors
    assert [item.metric for item in selectors if item.metric not in exposed] == []


@each_expression
def test_every_label_that_is_selected_by_exists_with_that_value(name: str, exposed: Series) -> None:
    for selector in promql.read(EXPRESSIONS[name]).selectors:
        known = exposed[selector.metric]
        for label, (operator, value) in selector.matchers.items():
            assert label in known.keys() | SCRAPE_LABELS
            if operator in {"=", "!="} and label in known:
                assert value in known[label]
            if label == "job":
                assert value in {job["job_name"] for job in scrape_jobs()}


@each_expression
def test_every_label_that_is_grouped_by_exists_on_what_is_grouped(name: str, exposed: Series) -> None:
    for labels, metrics in promql.read(EXPRESSIONS[name]).groups:
        assert metrics
        for metric in metrics:
            assert labels <= exposed[metric].keys() | SCRAPE_LABELS


@each_expression
def test_counters_are_read_as_rates_and_gauges_as_they_are(name: str) -> None:
    """But for a counter as it is when its process is young, and a gauge whose changes are counted."""
    expression = promql.read(EXPRESSIONS[name])
    metrics = [selector.metric for selector in expression.selectors]
    looks_at_age = "process_start_time_seconds" in metrics
    for selector in expression.selectors:
        is_counter = selector.metric.endswith(("_total", "_bucket", "_sum", "_count"))
        is_ranged = is_counter or "changes" in expression.calls
        of_the_young = is_counter and looks_at_age and metrics.count(selector.metric) > 1
        assert selector.ranged == is_ranged or of_the_young, selector.metric


@each_expression
def test_quantiles_keep_the_buckets_apart(name: str) -> None:
    expression = promql.read(EXPRESSIONS[name])
    assert ("histogram_quantile" in expression.calls) == ("le" in expression.grouped)


def test_every_metric_of_the_workers_is_on_the_dashboard() -> None:
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", selector.metric)
        for name, expression in EXPRESSIONS.items()
        if name not in {rule["alert"] for rule in RULES}
        for selector in promql.read(expression).selectors
    }
    suffixes = {"counter": "_total", "info": "_info"}
    ours = {family.name + suffixes.get(family.type, "") for family in used_registry().collect()}
    assert ours - shown == set()


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("sum(rate(a_total[5m])", "stays open"),
        ("sum(a))", "closes nothing"),
        ("summ(a)", "unknown function"),
        ('a{b~"c"}', "cannot read the matcher"),
    ],
)
def test_a_broken_expression_is_noticed(expression: str, complaint: str) -> None:
    with pytest.raises(promql.PromqlError, match=complaint):
        promql.read(expression)


def test_an_expression_is_taken_apart() -> None:
    expression = promql.read('sum by (a, b) (rate(m_total{c="d", e!="f"}[5m])) / on (a) n > 0.5')
    first, second = expression.selectors
    assert (first.metric, first.ranged, second.metric, second.ranged) == ("m_total", True, "n", False)
    assert first.matchers == {"c": ("=", "d"), "e": ("!=", "f")}
    assert expression.groups == [({"a", "b"}, {"m_total"})]
    assert expression.calls == {"sum", "rate"}


# Prometheus


def scrape_jobs() -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = document("prometheus/prometheus.yaml")["scrape_configs"]
    return jobs


def test_prometheus_finds_the_workers_of_compose() -> None:
    (discovery,) = next(job for job in scrape_jobs() if job["job_name"] == "downtick")["dns_sd_configs"]
    assert set(discovery["names"]) <= set(compose()["services"])
    assert discovery["names"] == ["worker"]
    assert discovery["type"] == "A"
    assert discovery["port"] == Settings().web.port


def test_prometheus_reads_the_configuration_that_is_mounted() -> None:
    service = compose()["services"]["prometheus"]
    ((folder, target),) = bind_mounts(service).items()
    (option,) = [word for word in service["command"] if word.startswith("--config.file=")]
    path = option.partition("=")[2]
    assert path.startswith(f"{target}/")
    assert (folder / path.removeprefix(f"{target}/")).is_file()
    for name in document("prometheus/prometheus.yaml")["rule_files"]:
        assert (folder / name).is_file()


def test_the_names_of_the_rules_are_unique() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names)) >= 10


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "action"}
    assert DURATION.fullmatch(rule.get("for", "0s"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_speaks_only_of_labels_that_it_keeps(rule: dict[str, Any]) -> None:
    expression = promql.read(rule["expr"])
    spoken = set(re.findall(r"\$labels\.(\w+)", "".join(rule["annotations"].values())))
    absent = {label for one in expression.selectors if one.absent for label in one.matchers}
    assert spoken <= absent | (expression.grouped if expression.aggregates else SCRAPE_LABELS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (of Prometheus) is not installed")
def test_the_rules_fire_when_they_should_and_only_then() -> None:
    folder = Path(__file__).parent
    for arguments in (
        ["check", "config", str(DEPLOY / "prometheus" / "prometheus.yaml")],
        ["test", "rules", str(folder / "rules.test.yaml")],
    ):
        result = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_rule_that_the_readme_gives_is_one_that_was_tried() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [expression] = re.findall(r"a Prometheus rule of your own, `([^`]+)`", readme)
    assert expression in (Path(__file__).parent / "rules.test.yaml").read_text(encoding="utf-8")


# Grafana


def test_the_dashboard_uses_the_data_source_that_is_provisioned() -> None:
    (source,) = document("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    variable = next(entry for entry in DASHBOARD["templating"]["list"] if entry["type"] == "datasource")
    assert variable["query"] == source["type"]
    assert variable["current"]["value"] == source["uid"]
    named = [panel.get("datasource") for panel in panels() if panel["type"] != "row"]
    named += [target["datasource"] for panel in panels() for target in panel.get("targets", [])]
    named += [entry["datasource"] for entry in DASHBOARD["templating"]["list"] if entry["type"] == "query"]
    assert all(entry == {"type": source["type"], "uid": f"${{{variable['name']}}}"} for entry in named)


def test_the_data_source_is_the_prometheus_of_compose() -> None:
    (source,) = document("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    host, port = source["url"].removeprefix("http://").split(":")
    entry = compose()["services"][host]
    assert entry["ports"] == [f"127.0.0.1:{port}:{port}"]
    (own,) = next(job for job in scrape_jobs() if job["job_name"] == "prometheus")["static_configs"]
    assert own["targets"] == [f"localhost:{port}"]


def test_grafana_finds_the_dashboard_where_it_is_mounted() -> None:
    service = compose()["services"]["grafana"]
    mounts = {target: path for path, target in bind_mounts(service).items()}
    (provider,) = document("grafana/provisioning/dashboards/downtick.yaml")["providers"]
    folder = mounts[provider["options"]["path"]]
    home = environment(service)["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (folder / home.removeprefix(provider["options"]["path"] + "/")).is_file()
    assert mounts["/etc/grafana/provisioning"] == DEPLOY / "./grafana/provisioning"


def test_the_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))


def test_every_panel_has_a_title_and_a_unit() -> None:
    for panel in panels():
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["targets"]


def test_the_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_the_dashboard_has_its_four_rows() -> None:
    rows = [panel["title"] for panel in panels() if panel["type"] == "row"]
    assert rows == ["Opinion", "Flow", "Engine", "Health"]


def test_every_variable_of_the_dashboard_is_declared_and_used() -> None:
    declared = {entry["name"] for entry in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(DASHBOARD["panels"])))
    assert used == declared


def test_the_variable_for_subjects_lists_values_that_exist(exposed: Series) -> None:
    variable = next(entry for entry in DASHBOARD["templating"]["list"] if entry["name"] == "subject")
    match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    assert match is not None
    assert match[2] in exposed[match[1]]
