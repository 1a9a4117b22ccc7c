"""`downtick audit`: how often a label hangs on what it should not."""

import itertools
import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from stream.audit.audit import Kind, audit
from stream.audit.changes import changes
from stream.bundle import load_bundle
from stream.command import UsageError, bundle_option, config_option, reports_errors
from stream.engine.engine import Engine
from stream.labels import SENTIMENT_HEAD
from stream.lines import Line, Unreadable, read_lines
from stream.names import places
from stream.settings import load_settings
from stream.text import normalise

TARGETS = {"name": 0.02}
"""The share of flips that is aimed at."""


@click.command("audit")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@bundle_option
@click.option(
    "--limit", type=click.IntRange(min=1), default=2_000, show_default=True, help="Most texts to read."
)
@click.option(
    "--examples", type=click.IntRange(min=0), default=3, show_default=True, help="Flips to show of each."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@config_option
@reports_errors
def command(
    file: Path, *, bundle: Path | None, limit: int, examples: int, as_json: bool, config: Path | None
) -> None:
    """Say how often the sentiment of the texts in FILE flips where nothing that matters is changed.

    FILE holds JSON lines as for `downtick score`. Companies come from `entities`: their names are exchanged for
    those of the other lines. Further: he and she, places, traditional characters, a typing error, the case.
    """
    try:
        with file.open("rb") as lines:
            entries = list(itertools.islice(read_lines(lines), limit))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    texts = [(line.text, _names(line)) for line in entries if isinstance(line, Line)]
    unreadable = [line for line in entries if isinstance(line, Unreadable)]
    if unreadable:
        first = f"line {unreadable[0].number}: {unreadable[0].reason}"
        click.echo(f"downtick: lines that could not be read: {len(unreadable):,}; {first}", err=True)
    if not texts:
        raise UsageError(f"{file} holds no line with a text")
    settings = load_settings(config)
    loaded = load_bundle(bundle or settings.bundle)
    loaded.manifest.head(SENTIMENT_HEAD)  # refused here where it has none
    engine = Engine(loaded, settings.engine)
    engine.load()
    try:
        found = audit(texts, changes(sorted({name for _, names in texts for name in names})), engine.judge)
    finally:
        engine.close()
    if as_json:
        click.echo(
            json.dumps({name: _plain(kind, examples) for name, kind in found.items()}, ensure_ascii=False)
        )
    else:
        _show(found, examples)


def _names(line: Line) -> tuple[str, ...]:
    """The companies that the text has letter by letter."""
    given = [entity.get("name") for entity in line.entities]
    names = (normalise(name) for name in given if isinstance(name, str))
    return tuple(dict.fromkeys(name for name in names if places(line.text, [name])))


def _plain(kind: Kind, examples: int) -> dict[str, object]:
    worst = [asdict(flip) for flip in kind.worst[:examples]]
    return {"judged": kind.judged, "flips": len(kind.flips), "share": kind.share, "worst": worst}


def _show(found: dict[str, Kind], examples: int) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for name, kind in found.items():
        if not kind.judged:
            console.print(f"{name}: nothing to change", style="dim")
            continue
        target = f", wanted at most {TARGETS[name]:.0%}" if name in TARGETS else ""
        console.print(
            f"{name}: {len(kind.flips)} of {kind.judged} flip, {kind.share:.1%}{target}", style="bold"
        )
        for flip in kind.worst[:examples]:
            about = f" towards {flip.entity}" if flip.entity else ""
            console.print(
                f"  {flip.label} to {flip.changed_to}{about}, by {flip.difference:.2f}", markup=False
            )
            console.print(f"    {flip.before}\n    {flip.after}", style="dim", markup=False)
