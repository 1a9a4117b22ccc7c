"""A running worker takes another bundle over: every event is scored by one of the two, and none is lost."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from deliveries import events, expected
from processes import SystemUnderTest, WorkerProcess

from stream.bundle import MANIFEST, MODEL, Bundle, load_bundle, put_in_place, write_manifest


def uses(worker: WorkerProcess, bundle: Bundle) -> bool:
    return any(name.startswith("downtick_bundle_info{") and bundle.hash in name for name in worker.metrics())


def refuses(worker: WorkerProcess) -> bool:
    return worker.metrics()["downtick_bundle_refused"] == 1


def wait_until(worker: WorkerProcess, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, worker.output()
        time.sleep(0.1)


def put(folder: Path, temperature: float) -> Bundle:
    """Put a bundle that is less sure in the place of the one in `folder`."""
    staging = folder.with_name("staging")
    shutil.copytree(folder, staging)
    manifest = load_bundle(staging).manifest
    heads = [head.model_copy(update={"temperature": temperature}) for head in manifest.heads]
    write_manifest(staging, manifest.model_copy(update={"heads": heads}))
    return put_in_place(staging, folder)


def test_a_bundle_that_is_put_in_place_is_used_from_the_next_window_on_and_a_bad_one_never(
    system: SystemUnderTest, tiny_bundle: Bundle
) -> None:
    folder = system.folder / "bundle"
    shutil.copytree(tiny_bundle.folder, folder)
    system.variables |= {"DOWNTICK_BUNDLE": str(folder), "DOWNTICK_BUNDLE_CHECK_SECONDS": "0.2"}
    rows = events(900)
    worker = system.start_worker()
    system.send(rows[:600])
    # In the midst of the work.
    second = put(folder, temperature=1.5)
    wait_until(worker, lambda: uses(worker, second))
    system.wait_for_count(600)
    (folder / MODEL).write_bytes(b"no model")
    (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes() + b" ")
    wait_until(worker, lambda: refuses(worker))
    system.send(rows[600:])
    assert system.wait_for_count(900) == expected(rows)
    scored = system.scored()
    assert sorted(event.id for event in scored) == sorted(row["id"] for row in rows)
    by_bundle: dict[str, set[str]] = {}
    for event in scored:
        by_bundle.setdefault(event.bundle, set()).add(event.id)
    assert set(by_bundle) == {tiny_bundle.hash, second.hash}
    assert by_bundle[second.hash] >= {row["id"] for row in rows[600:]}
    assert uses(worker, second)
    assert worker.stop() == 0
