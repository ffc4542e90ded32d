"""The checked build: every kind of access out of bounds is refused, and kernels stay within their bounds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dagdp.jit.bounds import CHECKED

ROOT = Path(__file__).resolve().parents[1]

ACCESSES = """
import sys, numba, numpy as np
from dagdp.jit.decorators import OPTIONS
from dagdp.lanes.gather import gather, gather_pair, gather_present, scatter, scatter_add, scatter_present
from dagdp.lanes.prefetch import prefetch_row
from dagdp.lanes.rows import load, splat, store
from dagdp.lanes.transpose import load_strided, store_strided, transpose_tile
from dagdp.lanes.views import get, get_invariant, offset_view, view

def outcome(function, *given):
    try:
        numba.njit(**OPTIONS)(function)(*given)
    except IndexError as error:
        assert "checked build" in str(error) or "out of bounds" in str(error), error
        return "refused"
    return "done"

x, y, numbers = np.zeros(40), np.zeros(640), np.arange(40)
places = np.array([3, 0, 39, -1, 5, 6, 7, 8, 40], np.int32)
inside = {
    "load": lambda: store(y, 0, load(x, 32)),
    "store": lambda: store(x, 0, splat(x, 1)),
    "get": lambda: get(x, 39),
    "view": lambda: view(x, 8, 32).shape[0],
    "before": lambda: get(offset_view(x, -3), 3),
    "behind": lambda: store(y, 0, load(offset_view(x, 8), 24)),
    "gather": lambda: store(y, 0, gather(x, places, 4, 0, 4)),
    "gather none": lambda: store(y, 0, gather(x, places, 100, 0, 0)),
    "absent": lambda: store(y, 0, gather_present(x, places, 0, 0, 8)),
    "shift": lambda: store(y, 0, gather(x, places, 4, -5, 4)),
    "tile": lambda: transpose_tile(y, 0, 8, y, 100, 64, 3),
    "column": lambda: load_strided(x, 32, y, 0, 600, 2),
    "prefetch": lambda: prefetch_row(x, 10**6),
    "element": lambda: x[39],
    "invariant": lambda: get_invariant(numbers, 39),
}
outside = {
    "load": lambda: store(y, 0, load(x, 33)),
    "load before": lambda: store(y, 0, load(x, -1)),
    "store": lambda: store(x, 40, splat(x, 1)),
    "get": lambda: get(x, 40),
    "get before": lambda: get(x, -1),
    "view": lambda: view(x, 8, 33).shape[0],
    "before": lambda: get(offset_view(x, -3), 2),
    "behind": lambda: store(y, 0, load(offset_view(x, 8), 25)),
    "gather": lambda: store(y, 0, gather(x, places, 7, 0, 2)),
    "gather list": lambda: store(y, 0, gather(x, places, 4, 0, 6)),
    "no edge": lambda: store(y, 0, gather(x, places, 0, 0, 8)),
    "shift": lambda: store(y, 0, gather(x, places, 4, -6, 4)),
    "absent": lambda: store(y, 0, gather_present(x, places, 1, 0, 8)),
    "pair": lambda: store(y, 0, gather_pair(x, x, places, 8, 1)[0]),
    "scatter": lambda: scatter(x, places, 8, 0, 1, splat(x, 1)),
    "element": lambda: x[40],
    "scatter present": lambda: scatter_present(x, places, 8, 0, 1, splat(x, 1)),
    "scatter add": lambda: scatter_add(x, places, 8, 0, 1, splat(x, 1)),
    "tile": lambda: transpose_tile(y, 0, 8, y, 200, 64, 30),
    "tile to": lambda: transpose_tile(x, 0, 8, y, 0, 64, 1),
    "column": lambda: load_strided(x, 0, y, 0, 600, 3),
    "column to": lambda: store_strided(x, 0, y, 0, 8, True),
    "invariant": lambda: get_invariant(numbers, 40),
}
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, "DAGDP_CHECKED": "1", **environment}
    return subprocess.run([sys.executable, "-c", code], env=known, capture_output=True, text=True, cwd=ROOT)


def test_every_access_out_of_bounds_is_refused():
    """Arrays are passed to the functions: Numba would take globals for constants."""
    calls = ACCESSES.replace("lambda:", "lambda x, y, numbers, places:") + (
        "for name, function in inside.items():\n"
        "    assert outcome(function, x, y, numbers, places) == 'done', name\n"
        "for name, function in outside.items():\n"
        "    assert outcome(function, x, y, numbers, places) == 'refused', name\n"
        "print(len(inside) + len(outside))\n"
    )
    done = run(calls)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 35


@pytest.mark.skipif(CHECKED, reason="this is the checked build")
def test_checked_kernels_have_a_folder_of_their_own():
    code = "from dagdp.jit.disk_cache import cache_directory as where; print(where())"
    checked, plain = (run(code, DAGDP_CHECKED=flag).stdout.strip() for flag in ("1", "0"))
    assert checked == f"{plain}-checked"


@pytest.mark.skipif(CHECKED, reason="this is the checked build")
def test_a_slice_of_the_suite_in_the_checked_build():
    """The gradient of a grid, scattered edges and tied levels, each by another sweep, beside the reference.

    The whole suite runs in the checked build with DAGDP_CHECKED=1 in the environment.
    """
    code = """if True:
        import sys
        sys.path.insert(0, "tests")
        import numpy as np, dagdp
        from cases import GRAPHS, random_theta
        rng = np.random.default_rng(0)
        for name, batch, shared in (("grid", (11,), False), ("wide", (), False), ("chain", (11,), True)):
            graph = GRAPHS[name]()
            dag, theta = dagdp.compile(graph), random_theta(graph, rng, batch)
            if shared:
                theta["transition"] = theta["transition"][0]
            want = dagdp.reference.dp_value_and_grad(dag, theta)
            value, path = dagdp.dp_value_and_grad(dag, theta)
            np.testing.assert_allclose(value, want[0], rtol=1e-12)
            for key in want[1] if isinstance(want[1], dict) else [...]:
                np.testing.assert_allclose(path[key], want[1][key], rtol=1e-9, atol=1e-11, err_msg=name)
    """
    done = run(code)
    assert done.returncode == 0, done.stderr[-3000:]
