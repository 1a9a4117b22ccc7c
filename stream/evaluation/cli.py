"""`downtick evaluate` and `downtick calibrate`: what a bundle is worth on labelled rows, fitting it to them."""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from stream.bundle import Bundle, load_bundle, require_replaceable
from stream.command import UsageError, bundle_option, config_option, make_folder, reports_errors
from stream.evaluation.calibrated import calibrated_heads, moved_with, write_calibrated
from stream.evaluation.labelled import (
    LabelledError,
    labelled_only,
    read_labelled,
    require_known_labels,
)
from stream.evaluation.prediction import Logits, predict_rows
from stream.evaluation.rows import Row
from stream.evaluation.summary import summarise
from stream.settings import Settings, load_settings
from stream.watchlist import load_watchlist

COLUMNS = {
    "rows": "rows",
    "accuracy": "acc.",
    "macro_f1": "F1",
    "micro_f1": "micro F1",
    "polarity_accuracy": "polar",
    "auc": "AUC",
    "recall_at_precision": "R@P.8",
}


@click.command()
@bundle_option
@click.option(
    "--data",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Labelled rows (JSONL or CSV).",
)
@click.option("--json", "as_json", is_flag=True, help="Print every figure as JSON.")
@config_option
@reports_errors
def evaluate(bundle: Path | None, file: Path, *, as_json: bool, config: Path | None) -> None:
    """Say how good a bundle is on labelled rows.

    A row has `text` and a label under the name of each head that it knows (`sentiment`, `topics`), or
    `negative: true` or `false`; `entities` with `name` and `sentiment` judge the head over entities; the
    watch list's companies are read as in the stream. `opposed`
    are texts that are for one entity and against another, `by text` what a label of the text would say of them.
    F1 is the macro mean, polar the accuracy between good and bad alone, AUC that of the probability of
    negative, R@P.8 the recall of negatives at a precision of 0.8.
    """
    judged_by, rows, logits = _predicted(bundle, file, load_settings(config))
    summary = summarise(judged_by.manifest.heads, logits, rows)
    if as_json:
        click.echo(json.dumps({"bundle": judged_by.hash, "data": file.name, "heads": summary}, indent=2))
        return
    console = Console()
    for head, groups in summary.items():
        shown = _shown(groups)
        if not shown:
            continue
        columns = [name for name in COLUMNS if any(name in found for _, found in shown)]
        table = Table(
            Column(head, no_wrap=True), *(COLUMNS[name] for name in columns), box=SIMPLE_HEAD, pad_edge=False
        )
        for group, found in shown:
            table.add_row(Text(group), *(_figure(found.get(name)) for name in columns))
        console.print(table)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@bundle_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the new bundle; one that is there is replaced.",
)
@click.option("--anyway", is_flag=True, help="Write the bundle also where it is no better on rows held out.")
@config_option
@reports_errors
def calibrate(file: Path, bundle: Path | None, out: Path, *, anyway: bool, config: Path | None) -> None:
    """Fit a bundle to some fifty labelled rows of your own stream.

    Moves the boundaries between labels, above all where neutral ends: a temperature and an offset per label.
    What that brings is measured by cross-validation and printed; the new bundle has a hash of its own.
    Where too few companies are labelled, the head over companies moves with that over texts, unmeasured.
    """
    out = out.absolute()
    make_folder(out.parent)
    require_replaceable(out)
    before, rows, logits = _predicted(bundle, file, load_settings(config))
    try:
        heads, changes = calibrated_heads(before.manifest.heads, logits, rows)
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from error
    table = Table("head", "rows", "", "accuracy", "macro-F1", "log loss", box=SIMPLE_HEAD, pad_edge=False)
    for change in changes:
        for name, figures in (("before", change.before), ("after", change.after)):
            table.add_row(
                change.head if name == "before" else "",
                str(change.rows) if name == "before" else "",
                name,
                *(_figure(figures[key]) for key in ("accuracy", "macro_f1", "log_loss")),
            )
    Console().print(table)
    for sentence in moved_with(before.manifest.heads, heads, changes):
        click.echo(f"{sentence}: label companies, under `entities`, to know", err=True)
    worse = [change.head for change in changes if not change.helps]
    if worse and not anyway:
        raise UsageError(
            f"no bundle written: {', '.join(worse)} would be no better on rows that were not fitted to; "
            "label more rows, or write it with --anyway"
        )
    written = write_calibrated(before, heads, changes, out)
    click.echo(f"bundle {written.hash}: {out}")


def _predicted(folder: Path | None, file: Path, settings: Settings) -> tuple[Bundle, list[Row], Logits]:
    bundle = load_bundle(folder or settings.bundle)
    watchlist = load_watchlist(settings.watchlist) if settings.watchlist else None
    heads = bundle.manifest.heads
    try:
        every = read_labelled(file, heads, bare=True, watchlist=watchlist)
        rows = labelled_only(every, file, heads)
        require_known_labels(rows, file, heads)
    except LabelledError as error:
        raise UsageError(str(error)) from error
    if len(rows) < len(every):
        click.echo(f"{len(every) - len(rows)} of {len(every)} rows have no label and are left out", err=True)
    return bundle, rows, predict_rows(bundle, settings.engine, rows)


def _shown(groups: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The groups of a head that have figures, by the name to show them under."""
    named = [
        ("all", groups["all"]),
        *((f"  {name}", found) for name, found in groups["by_language"].items()),
        *((f"  {name}", found) for name, found in groups["by_set"].items()),
        ("opposed", groups.get("opposed", {})),
        ("opposed, by text", groups.get("opposed_as_text", {})),
    ]
    return [(name, found) for name, found in named if found]


def _figure(value: float | None) -> str:
    if value is None or np.isnan(value):
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
