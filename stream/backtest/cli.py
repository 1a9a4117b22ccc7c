"""`downtick backtest` and `downtick tune-alerts`: what would have alerted in history."""

import functools
import json
import math
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter

from stream.backtest.inputs import printable
from stream.backtest.page import Run, number_of, page
from stream.backtest.play import play_counts, play_events
from stream.backtest.run import Backtest
from stream.backtest.tuning import BUDGETS, SHORTEST, propose, try_budget
from stream.command import UsageError, config_option, make_folder, reports_errors
from stream.records import Alert, Severity
from stream.settings import CONFIG_VARIABLE, Settings, load_settings

ALERTS, PAGE = "alerts.json", "report.html"
CACHE = "judgements.sqlite"
_ALERTS: TypeAdapter[list[Alert]] = TypeAdapter(list[Alert])


def history_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What both commands take: files of history, and how to read them."""
    options = [
        click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False)),
        click.option(
            "--counts", is_flag=True, help="The files hold counts: CSV with the columns timestamp and value."
        ),
        click.option(
            "--cache/--no-cache",
            default=True,
            help=f"Keep what the model says in {CACHE} of `watch.state_directory`, so that it is asked once.",
        ),
        config_option,
    ]
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


def _cache_file(settings: Settings, *, wanted: bool) -> Path | None:
    return settings.watch.state_directory / CACHE if wanted else None


@click.command()
@history_options
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help=f"Print each surge of an alert as a line; write no {ALERTS} and no {PAGE}.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("backtest"),
    show_default=True,
    help=f"Folder for {ALERTS} and {PAGE}.",
)
@click.option(
    "--compare",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A second settings file, to be put beside the first; it may name another bundle or watch list, too.",
)
@reports_errors
def backtest(
    files: tuple[Path, ...],
    *,
    counts: bool,
    cache: bool,
    as_json: bool,
    out: Path,
    compare: Path | None,
    config: Path | None,
) -> None:
    """Say what would have alerted in FILES: raw events, scored events, or counts.

    Events are JSONL or CSV (`.gz` too), as for `downtick replay`, or records of `news.scored`. With --counts
    a row's value is the number of negatives up to its timestamp, and the file's name is the subject.
    """
    settings = [load_settings(config), *([load_settings(compare)] if compare else [])]
    if not as_json:
        # Before the work, which may take long.
        make_folder(out)
    first = config or os.environ.get(CONFIG_VARIABLE) or "default settings"
    names = [printable(str(name)) for name in (first, compare) if name]
    tests, lines = (
        play_counts(files, settings)
        if counts
        else play_events(files, settings, _cache_file(settings[0], wanted=cache))
    )
    if as_json:
        for name, test in zip(names, tests, strict=True):
            by = {"settings": name} if compare else {}
            for alert in test.alerts:
                click.echo(json.dumps(by | _plain(alert, test.told_at(alert)), ensure_ascii=False))
        return
    runs = [Run(name, test.alerts, test.windows) for name, test in zip(names, tests, strict=True)]
    fired = [_fired(run) for run in runs]
    title = f"Backtest of {', '.join(printable(file.name) for file in files)}"
    alerts = _ALERTS.dump_json(list(runs[0].alerts), indent=2, exclude_none=True) + b"\n"
    _write(out / ALERTS, alerts)
    _write(out / PAGE, page(title, [*lines, *fired], runs).encode())
    for line in lines:
        click.echo(line)
    for heading, test in zip(fired, tests, strict=True):
        click.echo(heading)
        for alert in test.alerts:
            click.echo(f"  {_when(alert, test)} {alert.severity.value:6} {alert.subject}: {alert.reason}")
    click.echo(f"see {out / PAGE}")


@click.command("tune-alerts")
@history_options
@click.option(
    "--per-week", type=click.FloatRange(min=0), required=True, help="How many alerts a week you want at most."
)
@reports_errors
def tune_alerts(
    files: tuple[Path, ...], *, counts: bool, cache: bool, per_week: float, config: Path | None
) -> None:
    """Propose settings that give so many alerts a week, judged by FILES of history, as for `backtest`."""
    if not math.isfinite(per_week):
        raise UsageError(f"--per-week {per_week} is no number of alerts")
    settings = load_settings(config)
    tried = [
        settings.model_copy(
            update={"spikes": settings.spikes.model_copy(update={"false_alarms_per_day": budget})}
        )
        for budget in BUDGETS
    ]
    tests, lines = (
        play_counts(files, tried)
        if counts
        else play_events(files, tried, _cache_file(settings, wanted=cache))
    )
    length = tests[0].length
    if length < SHORTEST:
        raise UsageError(
            f"{length.total_seconds() / 86_400:.1f} days of history are too few to tell alerts a week:"
            f" give at least {SHORTEST.days} days"
        )
    trials = [try_budget(budget, test.alerts, length) for budget, test in zip(BUDGETS, tests, strict=True)]
    click.echo(
        f"{lines[0]} in {length.days} days; alerts a week, by the false alarms per day that are allowed:"
    )
    click.echo(f"{'allowed':>8}{'alerts':>9}" + "".join(f"{severity.value:>9}" for severity in Severity))
    for trial in trials:
        shares = "".join(f"{trial.weekly[severity]:9.2f}" for severity in Severity)
        click.echo(f"{trial.budget:8g}{trial.at_least(Severity.YELLOW):9.2f}{shares}")
    proposal = propose(trials, per_week)
    if proposal is None:
        raise UsageError(
            f"no setting stays within {per_week:g} alerts a week: mute subjects by rules instead"
        )
    click.echo(f"for at most {per_week:g} a week ({proposal.weekly:.2f} in this history):")
    click.echo(f"spikes:\n  false_alarms_per_day: {proposal.budget:g}")
    if proposal.minimum_severity is not Severity.YELLOW:
        click.echo(f"and a rule:\n  - {{name: tuned, minimum_severity: {proposal.minimum_severity.value}}}")


def _fired(run: Run) -> str:
    alerts = number_of(run.alerts)
    again = len(run.alerts) - alerts
    return f"{run.name}: alerts that fired: {alerts}" + (f", reopened: {again}" if again else "")


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error


def _when(alert: Alert, test: Backtest) -> str:
    """When people were told of an alert, and when it had fired, if a rule put that off."""
    told = f"{test.told_at(alert):%Y-%m-%d %H:%M}"
    fired = f"{alert.fired_at:%Y-%m-%d %H:%M}"
    return told if told == fired else f"{told} (fired {fired}, muted until then)"


def _plain(alert: Alert, told_at: datetime) -> dict[str, Any]:
    return {
        "subject": alert.subject,
        "fired_at": _moment(alert.fired_at),
        "told_at": _moment(told_at),
        "start": _moment(alert.started_at),
        "end": _moment(alert.resolved_at),
        "peak": alert.peak_negative,
        "severity": alert.severity.value,
        "reason": alert.reason,
        "id": alert.id,
    }


def _moment(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat().replace("+00:00", "Z")
