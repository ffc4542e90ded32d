"""The report of a machine, as a user would run it, and what it says where something is missing."""

from __future__ import annotations

import subprocess
import sys

import dagdp
from dagdp import doctor


def test_the_report_of_this_machine():
    done = subprocess.run([sys.executable, "-m", "dagdp.doctor"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"Python {doctor.versions()['Python']}", f"dagdp {dagdp.__version__}"]
    starts = ("machine: ", "threads: ", "kernels on disk: ", "CUDA: ", "self-test: passed, ")
    assert [line[: len(start)] for line, start in zip(lines[-5:], starts, strict=True)] == list(starts)


def test_versions_are_shown(capsys):
    dagdp.show_versions()
    shown = capsys.readouterr().out
    assert f"dagdp {dagdp.__version__}\n" in shown and "numpy " in shown and "threads: " in shown


def test_a_wrong_value_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(dagdp, "dp_value_and_grad", lambda dag, theta: (0.0, [0.0] * 5))
    assert doctor.main() == 1
    assert "self-test: FAILED, value 0.0, expected 2.6041" in capsys.readouterr().out


def test_without_torch_the_device_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert doctor._device() == 'not available: torch is not installed; pip install "dagdp[torch,cuda13]"'


def test_without_a_cache_folder_the_reason_is_given(monkeypatch):
    monkeypatch.setattr(doctor, "cache_directory", lambda: None)
    monkeypatch.setattr(doctor, "why_there_is_none", lambda: "no home")
    assert doctor._cache() == "none, no home"
