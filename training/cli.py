"""`downtick train`: one flag for every option of the configuration."""

import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic.fields import FieldInfo

from training.configuration import ConfigurationError, Options, read_configuration


class YamlParameter(click.ParamType):
    """A value given as YAML, for options that are lists of mappings."""

    name = "yaml"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError as error:
            self.fail(f"not YAML: {error}", param, ctx)


def _parameter_type(field: FieldInfo) -> click.ParamType | type:
    annotation = field.annotation
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        annotation = next(part for part in typing.get_args(annotation) if part is not types.NoneType)
    if typing.get_origin(annotation) is typing.Literal:
        return click.Choice(typing.get_args(annotation))
    if annotation is Path:
        return click.Path(path_type=Path)
    if annotation in {int, float, str, bool}:
        assert isinstance(annotation, type)
        return annotation
    return YamlParameter()


def option_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command a flag per field of `Options`; one that is not given stays None."""
    for name, field in reversed(Options.model_fields.items()):
        kind = _parameter_type(field)
        flag = f"--{name.replace('_', '-')}"
        shown = flag if kind is not bool else f"{flag}/--no-{flag[2:]}"
        command = click.option(
            shown,
            name,
            type=None if kind is bool else kind,
            default=None,
            help=field.description,
        )(command)
    return command


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file of options; flags go before it.",
)
@click.option("--resume", is_flag=True, help="Go on where an interrupted run stopped.")
@option_flags
def train(config: Path | None, resume: bool, **flags: Any) -> None:
    """Fine-tune a classifier.

    Writes OUTPUT/model (the checkpoint for `downtick export`), report.json, report.html,
    cleaning.json, the test rows, and logs for TensorBoard.
    """

    def run(options: Options) -> None:
        from training.run import train as run_training

        finished = run_training(options, resume=resume)
        click.echo(f"checkpoint: {finished}")
        click.echo(f"report:     {options.output / 'report.html'}")

    _with_options(config, flags, run)


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="YAML file of options to search around; flags go before it.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Runs in all, those of earlier calls with the same OUTPUT counted.",
)
@option_flags
def tune(config: Path, trials: int, **flags: Any) -> None:
    """Search for learning rates, batch size and the like.

    Judged by validation rows. Writes OUTPUT/best.yaml, to train with; what was interrupted goes on with the same
    options.
    """

    def run(options: Options) -> None:
        from training.tuning import tune as search

        given = {name: value for name, value in flags.items() if value is not None}
        found = search(options, config, given, trials, report=lambda line: click.echo(line, err=True))
        click.echo(f"best of {found.trials}: macro-F1 {found.macro_f1:.4f} on validation rows")
        click.echo(f"train with it: downtick train --config {found.configuration}")

    _with_options(config, flags, run)


def _with_options(config: Path | None, flags: dict[str, Any], run: Callable[[Options], None]) -> None:
    """Read the options and run; what goes wrong ends in one message."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        options = read_configuration(config, given)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    try:
        from training.adapters import DataError
        from training.model import CheckpointError
        from training.splits import SplitError
    except ImportError as error:
        raise click.ClickException(
            f"training needs more packages ({error.name} is missing): "
            "run pip install '.[training]' in Downtick's folder"
        ) from error
    try:
        run(options)
    except (ConfigurationError, DataError, CheckpointError, SplitError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"cannot use {error.filename or options.output}: {error.strerror or error}; "
            "see to it, or name another place"
        ) from error
