import os

import psutil
import pytest

from workers.engines import cores


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of eight cores with two threads each, and nothing that limits the process."""
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 16 if logical else 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(cores, "CGROUP_LIMIT", tmp_path / "cpu.max")
    return tmp_path / "cpu.max"


def test_it_is_the_physical_cores(machine):
    assert cores.usable_cores() == 8


def test_a_process_that_is_pinned_uses_what_it_is_pinned_to(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert cores.usable_cores() == 3


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("20000 100000\n", 1),
        ("6400000 100000\n", 8),
        ("max 100000\n", 8),
        ("nonsense", 8),
        ("", 8),
    ],
)
def test_a_container_uses_what_it_is_granted(machine, limit, expected):
    machine.write_text(limit)
    assert cores.usable_cores() == expected


def test_a_machine_that_does_not_tell_has_one(machine, monkeypatch):
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: None)
    assert cores.usable_cores() == 1
