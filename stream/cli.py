"""The `downtick` command. Each subcommand imports what is heavy only when it runs."""

import importlib

import click

# name: (module, attribute, one line of help); the module is imported when the command is used.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "train": ("training.cli", "train", "Fine-tune a classifier."),
    "tune": ("training.cli", "tune", "Search for the options of a training run."),
    "export": ("export.cli", "export", "Turn a checkpoint into a model bundle."),
    "score": (
        "stream.engine.cli",
        "score",
        "Score JSON lines from standard input, without a broker.",
    ),
    "backtest": ("stream.backtest.cli", "backtest", "Say what would have alerted in history."),
    "tune-alerts": (
        "stream.backtest.cli",
        "tune_alerts",
        "Propose settings for a number of alerts a week.",
    ),
    "explain": ("stream.explanation.cli", "command", "Say which words drive a text's sentiment."),
    "audit": ("stream.audit.cli", "command", "Say how often a label hangs on what it should not."),
    "evaluate": ("stream.evaluation.cli", "evaluate", "Say how good a bundle is on labelled rows."),
    "calibrate": ("stream.evaluation.cli", "calibrate", "Fit a bundle to labelled rows of your own."),
    "review": ("stream.review.cli", "command", "Label a sample of the stream's events."),
    "worker": ("stream.worker", "worker", "Run the score, watch and notify stages."),
    "topics": ("stream.topics", "topics", "Create the topics."),
    "replay": ("stream.replay", "replay", "Send a file's events to the broker at a chosen speed."),
    "alerts": ("stream.alerts", "alerts", "Follow the alerts."),
    "doctor": ("stream.doctor", "doctor", "Check broker, topics, provider, bundle and versions."),
    "schema": ("stream.contract", "schema", "Write the wire contract as JSON Schema and AsyncAPI."),
    "broker": ("stream.broker", "broker", "Run the embedded broker alone."),
    "demo": ("demo.cli", "demo", "Replay a stream through real workers and show it live."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"`downtick {cmd_name}` is not part of this installation ({error.name} is missing): "
                "install it with the extra `training` for train, tune and export, `broker` for demo and broker"
            ) from error
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, _, help_) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="downtick")
def main() -> None:
    """Downtick watches financial opinion in real time and says when it turns."""
