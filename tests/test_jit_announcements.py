"""The line that says why a first call takes seconds: when it comes, how often, and where it is shown."""

from __future__ import annotations

import io
import logging
import sys
import time

import numba
import numpy as np
import pytest

from dagdp.jit import announcements
from dagdp.jit.announcements import announce_compilation, announced, described


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def fresh(monkeypatch):
    """Nothing announced yet, a short patience, and a logger that nobody has set up."""
    monkeypatch.setattr(announcements, "_announced", set())
    monkeypatch.setattr(announcements, "PATIENCE", 0.05)
    logger = logging.getLogger("dagdp")
    before = logger.level, list(logger.handlers)
    logger.setLevel(logging.NOTSET)
    logger.handlers[:] = []
    yield logger
    logger.setLevel(before[0])
    logger.handlers[:] = before[1]


def errors_go_to(stream: io.StringIO, monkeypatch) -> None:
    """Standard error, without the handler that pytest gives the root logger while a test runs."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(logging.root, "handlers", [])


def wait(what: str, seconds: float = 0.3) -> None:
    with announced(what):
        time.sleep(seconds)


def test_a_terminal_shows_one_line_for_each_operator(fresh, monkeypatch):
    shown = Terminal()
    errors_go_to(shown, monkeypatch)
    for what in ("Negentropy, float32", "Negentropy, float32", "HardMax, float64"):
        wait(what)
    lines = shown.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "dagdp compiles kernels for Negentropy, float32",
        "dagdp compiles kernels for HardMax, float64",
    ]


def test_what_is_quick_is_not_announced(fresh, monkeypatch):
    shown = Terminal()
    errors_go_to(shown, monkeypatch)
    wait("Negentropy, float32", seconds=0.0)
    time.sleep(0.1)
    assert not shown.getvalue()


def test_a_file_is_not_written_to(fresh, monkeypatch):
    shown = io.StringIO()
    errors_go_to(shown, monkeypatch)
    wait("Negentropy, float32")
    assert not shown.getvalue() and not fresh.handlers


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_a_level_of_the_user_silences_the_line(fresh, monkeypatch, level):
    shown = Terminal()
    errors_go_to(shown, monkeypatch)
    fresh.setLevel(level)
    wait("Negentropy, float32")
    assert not shown.getvalue()


def test_a_handler_of_the_user_gets_the_line_and_no_second_one_is_made(fresh, monkeypatch):
    shown, own = Terminal(), io.StringIO()
    errors_go_to(shown, monkeypatch)
    fresh.addHandler(logging.StreamHandler(own))
    fresh.setLevel(logging.INFO)
    wait("Negentropy, float32")
    assert own.getvalue().count("Negentropy, float32") == 1 and not shown.getvalue()


def test_a_dispatcher_announces_what_it_compiles_and_returns_its_result(fresh, monkeypatch):
    shown = Terminal()
    errors_go_to(shown, monkeypatch)
    monkeypatch.setattr(announcements, "PATIENCE", 0.001)
    summed = numba.njit(lambda values: values.sum())
    announce_compilation(summed)
    assert summed(np.ones(3)) == 3.0
    deadline = time.monotonic() + 5.0
    while not shown.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "dagdp compiles kernels for graphs, float64" in shown.getvalue()


def test_a_kernel_is_described_by_its_operator_and_numbers():
    from dagdp import Tsallis

    arguments = tuple(
        map(numba.typeof, (Tsallis(1.5).data(np.float32), np.zeros(2, np.int32), (np.zeros(2, np.float32),)))
    )
    assert described(arguments) == "Tsallis, float32"
