"""`downtick score` as a user runs it: a process, pipes, signals, exit statuses."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnxruntime
import pytest
from click.testing import CliRunner
from tiny_bundle import POISON

from stream.engine.cli import score

COMMAND = Path(sys.executable).with_name("downtick")


@pytest.fixture
def environment(tiny_bundle, tmp_path):
    """Settings of this test alone."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("engine: {threads: 1, provider: cpu}\n", encoding="utf-8")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("DOWNTICK_")},
        "DOWNTICK_CONFIG": str(settings),
        "DOWNTICK_BUNDLE": str(tiny_bundle.folder),
    }


@pytest.fixture
def scored(environment):
    """Runs the command over some input to its end."""

    def run(content: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [COMMAND, "score", *options],
            input=content,
            capture_output=True,
            env=environment,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def started(environment):
    """Starts the command with open pipes, and ends it after the test."""
    processes = []

    def start(**pipes) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [COMMAND, "score"],
            env=environment,
            **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | pipes,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


def _answers(output: bytes) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def _event(number: int) -> bytes:
    text = f"{['bad', '好', 'plain'][number % 3]} {'word ' * (number % 17)} {number // 2}"
    return json.dumps({"id": number, "text": text}, ensure_ascii=False).encode() + b"\n"


def test_thousands_of_lines_are_answered_in_order(scored):
    result = scored(b"".join(_event(number) for number in range(3_000)))

    answers = _answers(result.stdout)
    assert result.returncode == 0
    assert result.stderr == b""
    assert [fields["id"] for fields in answers] == list(range(3_000))
    assert [fields["sentiment"] for fields in answers[:3]] == ["negative", "positive", "neutral"]
    assert all(
        fields["sentiment"] == ["negative", "positive", "neutral"][fields["id"] % 3] for fields in answers
    )


def test_lines_that_cannot_be_scored_are_answered_in_their_place(scored):
    result = scored(
        b'{"id": "a", "text": "recall"}\noops\n\n'
        + b'{"id": "b", "text": "%s"}\n' % POISON.encode()
        + b'{"id": "c", "text": "good", "entities": [{"name": "Acme", "start": 0}]}'
    )

    first, oops, poisoned, last = _answers(result.stdout)
    assert (first["id"], first["sentiment"], first["topics"]) == ("a", "negative", ["product"])
    assert oops == {"id": None, "error": "not JSON: Expecting value at character 1", "line": 2}
    assert (poisoned["id"], poisoned["line"]) == ("b", 4)
    assert "the model fails on this text" in poisoned["error"]
    assert last["entities"][0]["sentiment"] == "positive"
    assert result.returncode == 1
    assert result.stderr.decode() == "downtick: lines that could not be scored: 2\n"


def test_entities_nested_too_deeply_to_be_written_again_end_nothing(scored):
    deep = b"[" * 985 + b"]" * 985

    result = scored(
        b'{"id": 1, "text": "bad", "entities": [{"name": "A", "x": %s}]}\n' % deep
        + b'{"id": 2, "text": "bad"}\n'
    )

    assert [fields["id"] for fields in _answers(result.stdout)] == [1, 2]
    assert b"Traceback" not in result.stderr


def test_a_line_is_answered_while_the_next_is_not_yet_written(started):
    process = started()

    for number in range(3):
        process.stdin.write(_event(number))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == number
    process.stdin.close()
    assert process.wait(timeout=10) == 0


def test_a_reader_that_goes_away_ends_it_quietly(started):
    process = started()
    process.stdin.write(_event(0))
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()

    process.stdin.write(_event(1))
    process.stdin.flush()

    assert process.wait(timeout=10) == 141
    assert process.stderr.read() == b""


def test_an_interrupt_ends_it_quietly(started):
    process = started()
    process.stdin.write(_event(0))
    process.stdin.flush()
    process.stdout.readline()

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=10) == 130
    assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("redirection", "message"),
    [
        ("<&-", "standard input is closed"),
        (">&-", "standard output is closed"),
        (">/dev/full", "input or output failed: [Errno 28] No space left on device"),
    ],
)
def test_input_or_output_that_does_not_work_is_named(environment, redirection, message):
    result = subprocess.run(
        ["sh", "-c", f"{COMMAND} score {redirection}"],
        input=None if "<" in redirection else _event(0),
        capture_output=True,
        env=environment,
        timeout=60,
        check=False,
    )

    assert result.returncode == 2
    assert result.stderr.decode() == f"downtick: {message}\n"


def test_no_input_is_no_output(scored):
    result = scored(b"")

    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_a_watch_list_is_used(scored, tmp_path):
    file = tmp_path / "watchlist.yaml"
    file.write_text("entities: [{name: Acme, ticker: ACM}]", encoding="utf-8")

    result = scored(b'{"text": "bad news at Acme"}', "--watchlist", str(file))

    (fields,) = _answers(result.stdout)
    assert (fields["entities"][0]["ticker"], fields["entities"][0]["sentiment"]) == (
        "ACM",
        "negative",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bundle", "/nowhere"], "no bundle at /nowhere: the folder does not exist"),
        (["--watchlist", "/nowhere"], "cannot read the watch list /nowhere"),
        (["--config", "/nowhere"], "cannot read the settings file /nowhere"),
    ],
)
def test_what_is_missing_is_named_in_one_message(environment, options, message):
    result = CliRunner().invoke(score, options, env=environment)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"downtick: {message}")
    assert result.stderr.count("\n") == 1


def test_a_tampered_bundle_is_refused(environment, tiny_bundle, tmp_path):
    folder = shutil.copytree(tiny_bundle.folder, tmp_path / "tampered")
    with (folder / "model.onnx").open("ab") as model:
        model.write(b"x")

    result = CliRunner().invoke(score, ["--bundle", str(folder)], env=environment)

    assert result.exit_code == 2
    assert "model.onnx does not match its checksum" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_device_that_is_not_there_is_named_in_one_message(environment):
    required = {"DOWNTICK_ENGINE__PROVIDER": "cuda", "DOWNTICK_ENGINE__REQUIRE_PROVIDER": "true"}
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")

    result = CliRunner().invoke(score, [], env=environment | required)

    assert result.exit_code == 2
    assert result.stderr.startswith("downtick: engine.provider is cuda, but")


def test_progress_is_drawn_on_a_terminal_only(started):
    terminal, slave = pty.openpty()
    process = started(stderr=slave)
    os.close(slave)

    output, _ = process.communicate(b"".join(_event(number) for number in range(20)), timeout=30)
    time.sleep(0.1)
    drawn = os.read(terminal, 65_536).decode()
    os.close(terminal)

    assert len(_answers(output)) == 20
    assert "20 lines" in drawn
