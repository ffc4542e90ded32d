"""The eight numerical rules of the design, each a test of its own name."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from cases import (
    GRAPHS,
    OPERATORS,
    combinations,
    from_threads,
    one_of_each_solver,
    one_of_each_solver_and_type,
    over_operators,
    random_theta,
)

import dagdp
from dagdp import (
    Graph,
    HardMax,
    Negentropy,
    SquaredL2,
    Tsallis,
    compile,
    dp_grad,
    dp_hvp,
    dp_jvp_and_hvp,
    dp_value,
    dp_value_and_grad,
)
from dagdp.graphs import dtw_grad, dtw_grid, linear_chain, trellis

ROOT = Path(dagdp.__file__).resolve().parents[1]


@combinations(one_of_each_solver_and_type, omega=OPERATORS, dtype=["float32", "float64"])
def test_rule_1_forbidden_edges_and_infeasible_items(omega, dtype):
    dag = compile(Graph.from_edges([0, 0, 1, 2, 0], [1, 2, 3, 3, 3]))
    theta = np.random.default_rng(0).normal(size=(20, 5)).astype(dtype)
    free = dp_value_and_grad(dag, theta, omega)
    theta[3] = -np.inf  # no path at all
    theta[5, [0, 4]] = -np.inf  # one path left
    theta[7, [2, 3]] = -np.inf
    z = np.ones((20, 5), dtype)
    value, path = dp_value_and_grad(dag, theta, omega)
    slope, product = dp_jvp_and_hvp(dag, theta, z, omega)
    for array in (path, slope, product):
        assert np.isfinite(array).all()
    assert value[3] == -np.inf and (path[3] == 0).all() and slope[3] == 0 and (product[3] == 0).all()
    assert (path[5, [0, 2, 4]] == 0).all() and path[5, [1, 3]].tolist() == [1, 1]
    assert path[7].tolist() == [0, 0, 0, 0, 1]
    others = [b for b in range(20) if b not in (3, 5, 7)]
    np.testing.assert_array_equal(value[others], free[0][others])
    np.testing.assert_array_equal(path[others], free[1][others])
    assert dp_value(dag, -theta, omega, minimize=True)[3] == np.inf


@combinations(lambda dtype, **_: dtype == "float64", lanes=[1, 3, 16, 40], dtype=["float32", "float64"])
def test_rule_2_ties_go_to_the_first_edge(lanes, dtype):
    rng = np.random.default_rng(lanes)
    parents, children = np.repeat([0, 1, 2], 5), np.repeat([1, 2, 3], 5)
    order = rng.permutation(15)
    dag = compile(Graph.from_edges(parents[order], children[order]))
    path = dp_grad(dag, np.zeros((lanes, 15), dtype), HardMax())
    first = [int(np.flatnonzero(parents[order] == p)[0]) for p in range(3)]
    for row in path:
        assert np.flatnonzero(row).tolist() == sorted(first)


@combinations(lambda omega, **_: not isinstance(omega, HardMax | Tsallis), scale=[1.0, 1e4], omega=OPERATORS)
def test_rule_3_weights_sum_to_one_whatever_the_size_of_values(scale, omega):
    """E is a unit flow: here across each of 60 steps of a trellis with large potentials."""
    theta = scale * np.random.default_rng(1).normal(size=(60, 4, 4))
    dag = compile(trellis(60, 4))
    for dtype, bound in ((np.float64, 1e-12), (np.float32, 1e-5)):
        path = dp_grad(dag, theta.astype(dtype), omega)
        np.testing.assert_allclose(path.sum((1, 2)), 1, atol=bound)
        assert path.min() >= 0 and path.max() <= 1 + bound


def test_rule_4_float32_dtw_of_large_values():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 1024, 80)).cumsum(1) * 0.5
    cost = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    exact, single = dtw_grad(cost, Negentropy(0.01)), dtw_grad(cost.astype(np.float32), Negentropy(0.01))
    assert dagdp.graphs.dtw_value(cost, Negentropy(0.01)) > 1e6
    # the same rounded input in both: what is measured is the engine, not the rounding of costs
    rounded = dtw_grad(cost.astype(np.float32).astype(np.float64), Negentropy(0.01))
    assert np.abs(single - rounded).max() < 1e-2
    assert np.isfinite(exact).all()


@combinations(lambda omega: isinstance(omega, Negentropy), omega=[Negentropy(1.0), SquaredL2(1.0)])
def test_rule_4_float32_chain_of_ten_thousand_steps(omega):
    rng = np.random.default_rng(3)
    theta = random_theta(linear_chain(10_000, 3), rng, (), "float32")
    dag = compile(linear_chain(10_000, 3))
    value, single = dp_value_and_grad(dag, theta, omega)
    exact = dp_grad(dag, {name: a.astype(np.float64) for name, a in theta.items()}, omega)
    assert abs(value) > 5e3
    assert np.abs(single["emission"] - exact["emission"]).max() < 1e-5


BOUNDS = {SquaredL2(1.0): 1e-5, Tsallis(1.5): 1e-5, Tsallis(2.0): 1e-5, Tsallis(1.1): 5e-5, Negentropy(1.0): 1e-5}


@combinations(
    lambda shape, omega: isinstance(omega, SquaredL2) and len(shape) == 3,
    shape=[(1000, 4, 4), (16, 1000, 4, 4), (800, 800)],
    omega=[omega for omega in BOUNDS if not isinstance(omega, Negentropy)],
)
def test_rule_4_float32_flow_does_not_leak_where_newton_solves(shape, omega):
    """Each node's weights sum to 1 with errors of either sign; what is always below 1 adds up along a path."""
    theta = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    if len(shape) == 2:
        flow = dtw_grad(np.abs(theta), omega)[0, 0]
    else:
        flow = dagdp.graphs.viterbi_grad(theta, omega).sum((-1, -2), dtype=np.float64)
    assert np.abs(flow - np.float64(1)).max() < BOUNDS[omega]


@over_operators(BOUNDS)
def test_rule_4_a_million_float32_weights_sum_to_one(omega):
    dag = compile(Graph.from_edges(np.zeros(10**6, int), np.ones(10**6, int)))
    path = dp_grad(dag, np.random.default_rng(6).normal(size=10**6).astype(np.float32), omega)
    assert abs(path.sum(dtype=np.float64) - 1) < BOUNDS[omega]


@combinations(lambda omega, name: isinstance(omega, Negentropy), omega=OPERATORS, name=["wide", "chain", "trellis"])
def test_rule_5_same_bits_with_any_number_of_threads(omega, name):
    graph = GRAPHS[name]()
    dag, rng = compile(graph), np.random.default_rng(4)
    theta = random_theta(graph, rng, (75,), "float32")
    if name == "chain":
        theta["transition"] = theta["transition"][0]  # shared: sums over the batch in a fixed order

    def bits(threads: int) -> list[bytes]:
        value, path = dp_value_and_grad(dag, theta, omega, threads=threads)
        slope, product = dp_jvp_and_hvp(dag, theta, theta, omega, threads=threads)
        arrays = [value, slope]
        for tree in (path, product):
            arrays += tree.values() if isinstance(tree, dict) else [tree]
        return [array.tobytes() for array in arrays]

    assert bits(1) == bits(2) == bits(5) == bits(1)


@combinations(
    lambda omega, dtype: one_of_each_solver(omega) and dtype == "float64", omega=OPERATORS, dtype=["float32", "float64"]
)
def test_rule_5_an_item_s_bits_do_not_hang_on_its_neighbours(omega, dtype):
    """Newton's steps end when the last item of a row is done: that must not be one step more for the others."""
    dag, rng = compile(dtw_grid(9, 12)), np.random.default_rng(11)
    item = rng.normal(size=(9, 12)).astype(dtype)
    found = []
    for _ in range(20):
        theta = rng.normal(size=(16, 9, 12)).astype(dtype)
        theta[3] = item
        value, path = dp_value_and_grad(dag, theta, omega)
        found.append(value[3].tobytes() + path[3].tobytes())
    assert len(set(found)) == 1


def test_rule_6_no_third_derivative_is_on_offer():
    """Nothing public takes two directions; the Hessian product is the last derivative."""
    import inspect

    for name in dir(dagdp):
        if name.startswith("dp_"):
            assert len([p for p in inspect.signature(getattr(dagdp, name)).parameters if p.startswith("z")]) <= 1


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter."""
    full = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=full, timeout=300, check=False
    )


SMALL_CALL = """
import numpy as np, dagdp
dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
assert dagdp.dp_value(dag, np.array([1.0, 1.5, 2.0]), dagdp.HardMax()) == 3.0
"""


def test_rule_7_import_is_quiet_light_and_changes_no_setting():
    code = """
import sys, warnings, logging
warnings.simplefilter("error")
import numpy as np, numba
def settings():
    return (np.geterr(), np.get_printoptions(), logging.getLogger().level, sys.getrecursionlimit(),
            numba.config.CACHE_DIR, numba.config.NUMBA_NUM_THREADS, warnings.filters[:])
before = settings()
import dagdp, dagdp.graphs, dagdp.testing, dagdp.reference
assert before == settings()
heavy = [name for name in ("torch", "matplotlib", "numba.cuda.cudadrv", "networkx") if name in sys.modules]
assert not heavy, heavy
"""
    done = run_python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@combinations(lambda place: place == "unwritable", place=["unwritable", "no home", "broken"])
def test_rule_7_import_and_run_without_a_writable_disk(place, tmp_path):
    """Root can write anywhere, so the folder's parent is a file: no directory can be made there.

    Each place is told from a folder by test_disk.py, too, in one process.
    """
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "cache")
    settings = {
        "unwritable": {"DAGDP_CACHE_DIR": nowhere},
        "no home": {"DAGDP_CACHE_DIR": "", "XDG_CACHE_HOME": "", "HOME": nowhere},
        "broken": {"DAGDP_CACHE_DIR": "", "XDG_CACHE_HOME": "relative/path"},
    }[place]
    code = (
        "import warnings\nwarnings.simplefilter('error')\nimport dagdp\nwarnings.simplefilter('default')\n"
        "from dagdp.jit.disk_cache import cache_directory\nassert cache_directory() is None\n"
    )
    done = run_python(code + SMALL_CALL, **settings)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("compiled kernels cannot be kept") == done.stderr.count("Warning") == 1


@pytest.mark.exhaustive  # of three processes that start together two find the kernel of the first: test_disk.py
def test_rule_7_a_second_process_finds_the_kernels(tmp_path):
    code = (
        SMALL_CALL
        + "from dagdp.kernels.cpu.entry import value_kernel as k\nprint(sum(k.bundled.stats.cache_hits.values()))"
    )
    first, second = (run_python(code, DAGDP_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first.stdout.strip() == "0" and second.stdout.strip() == "1", (first.stderr, second.stderr)


@pytest.mark.parametrize("length", [1, 2, 1023, 1024, 1025, 5000])
def test_rule_7_no_length_limit(length):
    dag = compile(trellis(length, 2))
    assert dp_value(dag, np.zeros((length, 2, 2)), Negentropy(1.0)) == pytest.approx(length * np.log(2), rel=1e-12)


def test_rule_8_python_threads_at_once():
    dag, theta = compile(dtw_grid(40, 40)), np.random.default_rng(5).random((24, 40, 40))
    exact = dp_grad(dag, theta, Negentropy(0.5), minimize=True)
    found = from_threads(lambda: dp_grad(dag, theta, Negentropy(0.5), minimize=True, threads=2))
    assert len(found) == 20 and all(np.array_equal(path, exact) for path in found)


def _in_child(queue, dag, theta):
    queue.put(float(dp_grad(dag, theta, Negentropy(0.5), minimize=True, threads=2).sum()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_rule_8_a_forked_child():
    """The parent's pool exists and its threads do not: the child builds its own."""
    dag, theta = compile(dtw_grid(30, 30)), np.random.default_rng(6).random((40, 30, 30))
    here = float(dp_grad(dag, theta, Negentropy(0.5), minimize=True, threads=2).sum())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue, dag, theta))
    child.start()
    assert queue.get(timeout=120) == here
    child.join(60)
    assert child.exitcode == 0


@combinations(lambda omega: not isinstance(omega, SquaredL2), omega=OPERATORS[:4])
def test_no_float64_instruction_in_a_float32_kernel(omega):
    """Read from the machine's instructions: arithmetic on scalar or packed doubles has names of its own.

    A kernel from the disk cache keeps LLVM's optimised text, of which the instructions are made again. cvtsd2ss is
    left out: the wrapper unboxes Python's floats with it.
    """
    from dagdp.kernels.cpu import entry as functions

    dag = compile(GRAPHS["chain" if omega == HardMax() else "trellis"]())
    theta = random_theta(dag.graph, np.random.default_rng(0), (20,), "float32")
    if omega == HardMax():  # which never runs the other kernel
        kernel = functions.gradient_kernel
        dp_grad(dag, theta, omega)
    else:
        kernel = functions.hessian_kernel
        dp_hvp(dag, theta, theta, omega)
    data = omega.data(np.float32)
    made = [kernel.bundled.overloads[kinds] for kinds in kernel.bundled.overloads if kinds[0] == numba.typeof(data)]
    library = made[0].library
    text = library.codegen._tm.emit_assembly(library._get_module_for_linking())
    single = re.compile(r"\s(v?(?:add|sub|mul|fm\w+\d)[sp]s)\b")
    double = re.compile(r"\s(v?(?:add|sub|mul|div|sqrt|max|min|fm\w+\d)[sp]d|v?cvt[sp]s2[sp]d|v?cvtpd2ps)\b")
    assert len(single.findall(text)) > 100
    assert sorted(set(double.findall(text))) == []
