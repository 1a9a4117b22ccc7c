"""How many processors this process may use: in a container far fewer than the host has."""

import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def available_processors(root: Path = _ROOT) -> int:
    """What affinity and the cgroup's quota (v1 and v2) leave to this process, at least 1.

    A part of a processor is not counted: a thread too many is put to sleep in the middle of its
    work whenever the quota is used up, and the others wait for it.
    """
    limits = [_affinity(), *map(int, _quotas_v2(root)), *map(int, _quotas_v1(root))]
    return max(1, min(limits))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows know no affinity here


def _groups(root: Path) -> Iterator[tuple[list[str], Path]]:
    """The controllers and the path of each cgroup of this process."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        parts = line.split(":", 2)
        if len(parts) == 3:
            yield parts[1].split(","), Path(parts[2].lstrip("/"))


def _with_parents(mount: Path, group: Path) -> Iterator[Path]:
    """The group's folder and those above it: the tightest quota among them holds.

    In a container the path may be the host's, of which only the mount itself is visible.
    """
    for part in (group, *group.parents):
        yield mount / part


def _quotas_v2(root: Path) -> Iterator[float]:
    for controllers, group in _groups(root):
        if controllers == [""]:
            for folder in _with_parents(root / "sys/fs/cgroup", group):
                quota, _, period = _read(folder / "cpu.max").partition(" ")
                yield from _ratio(quota, period)


def _quotas_v1(root: Path) -> Iterator[float]:
    for controllers, group in _groups(root):
        if "cpu" in controllers:
            for name in ("cpu", ",".join(controllers)):
                for folder in _with_parents(root / "sys/fs/cgroup" / name, group):
                    yield from _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _ratio(quota: str, period: str) -> Iterator[float]:
    """Quota by period in processors; nothing where there is no quota (`max`, -1, no file)."""
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        yield int(quota) / int(period)
