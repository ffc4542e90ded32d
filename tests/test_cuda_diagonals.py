"""The kernel of alignment grids, run thread by thread, against the float64 reference and the generic kernel."""

from __future__ import annotations

import inspect
import itertools

import cuda_kernels
import numpy as np
import pytest
from cases import OPERATORS, combinations, one_of_each_solver, over_operators
from cuda_interpreter import BoundsError, Machine, RaceError, UnwrittenError
from cuda_kernels import Problem, names, solve, with_blocks
from cuda_texts import functions_of, module_of
from grid_cases import DIAGONAL, DOWN, RIGHT, written_grid

from dagdp import HardMax, Negentropy, SquaredL2, compile, reference
from dagdp.graphs import dtw_grid
from dagdp.kernels.cuda.compilation.points import entry_name, static_names, texts
from dagdp.kernels.cuda.compilation.specialise import specialised
from dagdp.kernels.cuda.plan.device_plan import device_plan
from dagdp.kernels.cuda.plan.diagonals import BAND, LINES
from dagdp.kernels.cuda.schedule import Given, Passes, launch_of
from dagdp.kernels.cuda.texts.diagonals import bands as diagonal_bands
from dagdp.kernels.cuda.texts.diagonals import cells as diagonal_cells
from dagdp.kernels.cuda.texts.diagonals import entry as diagonals

pytestmark = pytest.mark.specialised  # of graphs of which nothing is proved, no kernel of this kind is taken

BATCH = 3
GRIDS = {
    **{f"{n} x {m}": lambda n=n, m=m: dtw_grid(n, m) for n, m in [(1, 2), (6, 1), (1, 6), (2, 2), (3, 5), (20, 13)]},
    "band": lambda: dtw_grid(6, 9, band=1),
    "without a start before it": lambda: written_grid(5, 4),
    "by columns": lambda: written_grid(5, 4, by_columns=True, before=True),
    "another order": lambda: written_grid(4, 5, (DOWN, RIGHT, DIAGONAL), before=True, seed=2),
    "no diagonal moves": lambda: written_grid(4, 6, (DOWN, RIGHT)),
}


def drawn(name, dtype, seed=0):
    """(compiled grid, theta [BATCH, *shape])"""
    graph = GRIDS[name]()
    shape = graph.potentials()[0].shape
    return compile(graph), np.random.default_rng(seed).normal(size=(BATCH, *shape)).astype(dtype)


def problem_of(dag, theta, omega, **changes):
    return Problem(dag, theta.reshape(len(theta), -1), omega, batch=len(theta), **changes)


def close(found, expected, dtype):
    tolerance = 3e-5 if np.dtype(dtype) == np.float32 else 1e-11
    np.testing.assert_allclose(found, np.reshape(expected, np.shape(found)), rtol=0, atol=tolerance)


def by_moves(launch):
    """A launch of the kernel that is tested here, of a block for each item."""
    assert launch.variant.moves
    return with_blocks(launch)


def in_warps(launch):
    """A warp for each item."""
    assert launch.variant.moves and launch.variant.warp
    return launch


def not_staged(launch):
    """Theta and the gradient are read and written where they lie."""
    return with_blocks(launch._replace(variant=launch.variant._replace(staged=False)))


def solved(problem, passes, machine=None, form=by_moves, **more):
    return solve(problem, passes, machine or Machine(1), form=form, **more)


@pytest.fixture
def generic(monkeypatch):
    """Solves by the generic kernel, whatever the graph is."""

    def run(problem, passes):
        with monkeypatch.context() as patch:
            patch.setattr(cuda_kernels, "device_plan", lambda graphs: device_plan(graphs)._replace(diagonals=None))
            return solve(problem, passes, Machine(1))

    return run


def usual(omega, name, dtype, form):
    """The closed form on every grid; other operators, float64 and the form without bands on two of them."""
    some = name in ("20 x 13", "band")
    return one_of_each_solver(omega) and (
        some or (isinstance(omega, Negentropy) and (dtype, form) == ("float32", by_moves))
    )


@combinations(usual, omega=OPERATORS, name=GRIDS, dtype=["float32", "float64"], form=[by_moves, not_staged])
def test_values_and_gradients_equal_the_reference_and_the_generic_kernel(omega, name, dtype, form, generic):
    dag, theta = drawn(name, dtype)
    problem = problem_of(dag, theta, omega)
    value, gradient = reference.dp_value_and_grad(dag, theta, omega)
    alone, both = (solved(problem, passes, form=form) for passes in (Passes.VALUE, Passes.GRADIENT))
    close(both.values, value, dtype)
    close(both.gradient, gradient, dtype)
    assert alone.gradient is None and alone.fault == both.fault == 0
    known = generic(problem, Passes.GRADIENT)
    assert alone.values.tobytes() == both.values.tobytes() == known.values.tobytes()
    np.testing.assert_allclose(both.gradient, known.gradient, rtol=0, atol=64 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["3 x 5", "another order"])
def test_ties_are_decided_by_the_order_of_edges(name, generic):
    dag, theta = drawn(name, "float32")
    theta = np.round(theta)
    problem = problem_of(dag, theta, HardMax())
    found = solved(problem, Passes.GRADIENT).gradient
    close(found, reference.dp_grad(dag, theta, HardMax()), "float32")
    np.testing.assert_array_equal(found, generic(problem, Passes.GRADIENT).gradient)


@combinations(lambda omega, minimize: one_of_each_solver(omega) and minimize, omega=OPERATORS, minimize=[True, False])
def test_each_item_has_an_end_of_its_own(omega, minimize):
    """Any cell may be the end, the first one, too. An item without a path has no flow."""
    dag, rng = compile(dtw_grid(5, 7)), np.random.default_rng(1)
    theta = rng.normal(size=(9, 5, 7))
    end = np.array([35, 1, 2, 8, 9, 24, 13, 30, 21])
    ends = dag.terminals(None, end, (9,))[1].astype(np.int32)
    found = solved(problem_of(dag, theta, omega, ends=ends, minimize=minimize), Passes.GRADIENT)
    value, gradient = reference.dp_value_and_grad(dag, theta, omega, end=end, minimize=minimize)
    close(found.values, value, "float64")
    close(found.gradient, gradient, "float64")
    ends[4] = -1
    found = solved(problem_of(dag, theta, omega, ends=ends), Passes.GRADIENT)
    assert found.values[4] == -np.inf and not found.gradient[4].any() and found.fault == 0


@combinations(lambda omega, minimize: one_of_each_solver(omega) and minimize, omega=OPERATORS, minimize=[True, False])
def test_forbidden_entries_and_costs(omega, minimize):
    dag, theta = drawn("20 x 13", "float64", 4)
    forbidden = np.inf if minimize else -np.inf
    theta[:, 1, 2] = theta[:, 8, 5] = theta[2, 3, :6] = forbidden
    theta[1, 0, 0] = forbidden  # no path is left
    found = solved(problem_of(dag, theta, omega, minimize=minimize), Passes.GRADIENT)
    value, gradient = reference.dp_value_and_grad(dag, theta, omega, minimize=minimize)
    close(found.values, value, "float64")
    close(found.gradient, gradient, "float64")
    assert not found.gradient[1].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("omega", [HardMax(), Negentropy(0.7), SquaredL2(0.5)], ids=["first", "closed form", "Newton"])
def test_a_bad_number_poisons_its_own_item(bad, omega):
    dag, theta = drawn("3 x 5", "float32")
    right = solved(problem_of(dag, theta, omega), Passes.GRADIENT)
    theta[1, 1, 2] = bad
    found = solved(problem_of(dag, theta, omega), Passes.GRADIENT)
    assert found.fault == 2 and np.isnan(found.values[1]).all() and np.isnan(found.gradient[1]).all()
    for item in (0, 2):
        assert found.values[item].tobytes() == right.values[item].tobytes()
        assert found.gradient[item].tobytes() == right.gradient[item].tobytes()


@over_operators()
def test_bits_depend_on_nothing_but_the_item(omega):
    """Neither on the order of threads, nor on the team, nor on the batch, nor on whether theta is shared."""
    dag, theta = drawn("20 x 13", "float32")
    problem = problem_of(dag, theta, omega)
    machines = [Machine(1), Machine(2, interleaved=True), Machine(3, watched=False), Machine(4, numpy_integers=True)]
    found = [solved(problem, Passes.GRADIENT, machine) for machine in machines]
    found += [solved(problem, Passes.GRADIENT, form=form) for form in (in_warps, not_staged)]
    assert len({one.values.tobytes() + one.gradient.tobytes() for one in found}) == 1
    alone = solved(problem._replace(theta=problem.theta[1], batch=2), Passes.GRADIENT)
    assert alone.gradient[0].tobytes() == alone.gradient[1].tobytes() == found[0].gradient[1].tobytes()


def test_many_rows_share_the_places_of_a_line():
    dag = compile(dtw_grid(40, 3))
    assert device_plan(dag).diagonals.stride == 8
    theta = np.random.default_rng(0).normal(size=(2, 40, 3))
    found = solved(problem_of(dag, theta, Negentropy(0.7)), Passes.GRADIENT)
    close(found.gradient, reference.dp_grad(dag, theta, Negentropy(0.7)), "float64")


@pytest.mark.parametrize(
    ("passes", "given", "limit"),
    [
        *((passes, Given(), 1 << 20) for passes in Passes if passes not in (Passes.VALUE, Passes.GRADIENT)),
        (Passes.GRADIENT, Given(starts=True), 1 << 20),
        (Passes.GRADIENT, Given(), 100),
    ],
)
def test_other_calls_take_the_generic_kernel(passes, given, limit):
    plan = device_plan(compile(dtw_grid(9, 7)))
    launch = launch_of(plan, passes, np.float32, 2, given, limit)
    assert launch.variant.moves == 0 and entry_name(launch.variant) == "sweep"


def test_bands_are_staged_where_shared_memory_holds_them():
    plan, columns = (device_plan(compile(grid)) for grid in (dtw_grid(50, 60), written_grid(50, 60, by_columns=True)))
    ring, tile = 4 * LINES * plan.diagonals.stride, plan.diagonals.band_rows * (BAND + 1)
    launches = [launch_of(plan, Passes.GRADIENT, np.float32, 2, Given(), 4 * size) for size in (ring + tile + 1, ring)]
    assert [launch.variant.staged for launch in launches] == [True, False]
    assert [launch.variant.moves for launch in launches] == [plan.diagonals.moves] * 2
    assert launches[1].shared_bytes == 4 * ring < launches[0].shared_bytes
    transposed = launch_of(columns, Passes.GRADIENT, np.float32, 2, Given(), 1 << 20).variant
    assert transposed.moves and transposed.staged


def test_sizes_of_one_grid_have_one_kernel():
    plans = [device_plan(compile(dtw_grid(n, m))) for n, m in [(40, 50), (45, 70), (60, 50)]]
    variants = {launch_of(plan, Passes.GRADIENT, np.float32, 2, Given(), 1 << 20).variant for plan in plans}
    assert len(variants) == 1


WRONG = (AssertionError,)  # an error of memory, or other numbers than the right kernel's
BUGS = {
    "no barrier behind the start": ("    level = level_of(work, frame, 1)\n    meet()\n",
        "    level = level_of(work, frame, 1)\n", (RaceError, UnwrittenError)),
    "no barrier behind a level": ("level.number + 1)\n        meet()\n", "level.number + 1)\n",
        (RaceError, UnwrittenError)),
    "no barrier behind the cleared ring": ("        load_band(work, frame, level)\n    meet()\n",
        "        load_band(work, frame, level)\n", (RaceError,)),
    "no barrier behind a level of the backward pass": ("level.number - 1)\n        meet()\n", "level.number - 1)\n",
        (RaceError,)),
    "no barrier between the passes": ("BACKWARD:\n        meet()\n        if sound", "BACKWARD:\n        if sound",
        (RaceError,)),
    "lines of too few levels": ("(level & (LINES - 1)) * frame.stride", "(level & 1) * frame.stride",
        (RaceError, UnwrittenError)),
    "no fence below": ("    if row == level.low:\n", "    if row == level.low + 99:\n", (UnwrittenError,)),
    "no fence above": ("    if row == level.high - 1:\n", "    if row == level.high + 99:\n", (UnwrittenError,)),
    "a row off by one": ("row - rows_of_move(d)", "row - rows_of_move(d) - 1", (UnwrittenError, RaceError)),
    "a level too many": ("level.before + level.low <= frame.end", "level.before + level.low <= frame.end + 1",
        (AssertionError, OverflowError)),
    "no barrier behind a band that is read": ("load_band(work, frame, level)\n            meet()\n        row",
        "load_band(work, frame, level)\n        row", (RaceError, UnwrittenError)),
    "no barrier behind a band of the backward pass": ("level)\n            meet()\n\n\ndef sweep",
        "level)\n\n\ndef sweep", (RaceError,)),
    "a band off by one": ("    number = level.number - (level", "    number = 1 + level.number - (level", WRONG),
    "results of levels beyond the end": ("strip_of(work, frame, level, reached)",
        "strip_of(work, frame, level, frame.levels)", WRONG),
    "a tile without a row": ("(row - level.band_low) * (BAND + 1)", "(row - level.band_low - 1) * (BAND + 1)", WRONG),
    "an entry off by one": ("INTEGER(frame.first +", "INTEGER(1 + frame.first +", (BoundsError, UnwrittenError)),
    "states that overlap": ("at = work.item.state + cell_of(level, row)", "at = cell_of(level, row)", (RaceError,)),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_found(bug, tmp_path):
    old, new, kinds = BUGS[bug]
    (module,) = [one for one in (diagonal_bands, diagonal_cells, diagonals) if old in inspect.getsource(one)]
    source = inspect.getsource(module)
    assert source.count(old) == 1
    planted = {text.__name__: text for text in functions_of(module_of(source.replace(old, new), tmp_path))}
    changed = [planted.get(text.__name__, text) if text.__module__ == module.__name__ else text for text in texts()]

    def kernel(variant, data, real):
        return specialised(changed, names(data, real), static_names(variant, data), "yield")["sweep_diagonals"]

    found = 0
    for name, form in itertools.product(("20 x 13", "without a start before it", "band"), (by_moves, not_staged)):
        dag, theta = drawn(name, "float32")
        ends = np.full(BATCH, dag.num_nodes // 2, np.int32)
        problem = problem_of(dag, theta, Negentropy(0.7), ends=ends if "beyond the end" in bug else None)
        right = solved(problem, Passes.GRADIENT, form=form)
        try:
            other = solved(problem, Passes.GRADIENT, form=form, kernel=kernel)
            np.testing.assert_array_equal(other.gradient, right.gradient)
        except kinds:
            found += 1
    assert found
