"""How many processors a process may use, by its affinity and its cgroups."""

import os
from pathlib import Path

import pytest

from stream.engine.processors import available_processors


@pytest.fixture(autouse=True)
def _eight_processors(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content + "\n", encoding="utf-8")
    return root


def test_without_cgroups_the_affinity_decides(tmp_path):
    assert available_processors(tmp_path) == 8


@pytest.mark.parametrize(
    ("quota", "processors"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1)],
)
def test_a_quota_of_version_2_counts_whole_processors(tmp_path, quota, processors):
    root = _write(tmp_path, {"proc/self/cgroup": "0::/pod/main", "sys/fs/cgroup/pod/main/cpu.max": quota})

    assert available_processors(root) == processors


def test_the_tightest_quota_above_a_group_holds(tmp_path):
    root = _write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/main",
            "sys/fs/cgroup/pod/main/cpu.max": "600000 100000",
            "sys/fs/cgroup/pod/cpu.max": "300000 100000",
            "sys/fs/cgroup/cpu.max": "max 100000",
        },
    )

    assert available_processors(root) == 3


def test_in_a_container_the_mount_stands_for_a_path_of_the_host(tmp_path):
    root = _write(
        tmp_path,
        {"proc/self/cgroup": "0::/host/only", "sys/fs/cgroup/cpu.max": "400000 100000"},
    )

    assert available_processors(root) == 4


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_a_quota_of_version_1_is_found_under_either_name(tmp_path, mount):
    root = _write(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/pod\n4:cpu,cpuacct:/pod\n0::/",
            f"sys/fs/cgroup/{mount}/pod/cpu.cfs_quota_us": "250000",
            f"sys/fs/cgroup/{mount}/pod/cpu.cfs_period_us": "100000",
        },
    )

    assert available_processors(root) == 2


def test_version_1_without_a_quota_says_minus_one(tmp_path):
    root = _write(
        tmp_path,
        {
            "proc/self/cgroup": "4:cpu:/",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    )

    assert available_processors(root) == 8


def test_this_very_process_may_use_at_least_one():
    assert available_processors() >= 1
