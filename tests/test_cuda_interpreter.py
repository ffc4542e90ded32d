"""The interpreter finds what is wrong with a kernel text: bugs are planted in a text that is right."""

from __future__ import annotations

import inspect
from itertools import pairwise
from pathlib import Path

import cuda_kernels
import cuda_sweep
import numpy as np
import pytest
from cases import combinations
from cuda_interpreter import (
    CUDA,
    BarrierError,
    BoundsError,
    Grid,
    InputError,
    KernelError,
    Machine,
    NumberError,
    RaceError,
    RealMath,
    Roles,
    UnwrittenError,
)
from cuda_kernels import Problem, kernel_of, names, solve, with_blocks
from cuda_sweep import Arrays, Sizes
from cuda_texts import functions_of, module_of

from dagdp import Graph, Negentropy, compile, reference
from dagdp.kernels.cuda.compilation.points import static_names, texts
from dagdp.kernels.cuda.compilation.specialise import specialised
from dagdp.kernels.cuda.schedule import Passes
from dagdp.kernels.cuda.texts import backward, entry, forward, work

WARP_SIZE = 4
ROLES = Roles(outputs=("values", "gradient"))


def grid_edges(rows: int, columns: int) -> list[tuple[int, int]]:
    cells = [(i, j) for i in range(rows) for j in range(columns)]
    number = {cell: at for at, cell in enumerate(sorted(cells, key=lambda cell: (sum(cell), cell)))}
    steps = [((i, j), (i + a, j + b)) for i, j in cells for a, b in ((1, 0), (0, 1), (1, 1))]
    return [(number[a], number[b]) for a, b in steps if b in number]


def random_edges() -> list[tuple[int, int]]:
    """Nodes of one level have no edges between them; edges reach over up to three levels."""
    rng = np.random.default_rng(3)
    levels = np.repeat(np.arange(9), [1, 4, 6, 3, 7, 5, 6, 2, 1])
    edges = set()
    for child in range(1, len(levels)):
        before = np.flatnonzero(levels == levels[child] - 1)
        edges.add((int(rng.choice(before)), child))
        for parent in rng.integers(0, child, 3):
            if 0 < levels[child] - levels[parent] <= 3:
                edges.add((int(parent), child))
    return sorted(edges)


GRAPHS = {
    "random": random_edges(),
    "chain": [(k, k + 1) for k in range(12)],
    "grid": grid_edges(5, 6),
}


def level_starts(edges):
    """The first node of each level, and the number of nodes; nodes are numbered by level."""
    level = {0: 0}
    for parent, child in sorted(edges, key=lambda edge: edge[1]):
        level[child] = max(level.get(child, 0), level[parent] + 1)
    listed = [level[node] for node in range(len(level))]
    assert listed == sorted(listed)
    return [listed.index(one) for one in range(listed[-1] + 1)] + [len(listed)]


def problem(name, items, warps, real):
    """(sizes, arrays) with a ring that is just large enough."""
    edges = GRAPHS[name]
    starts = level_starts(edges)
    nodes, levels = starts[-1], len(starts) - 1
    incoming = sorted(range(len(edges)), key=lambda e: (edges[e][1], e))
    outgoing = sorted(range(len(edges)), key=lambda e: (edges[e][0], e))
    plan = [*starts]
    for order, side in ((incoming, 1), (outgoing, 0)):
        counts = np.bincount([edges[e][side] for e in order], minlength=nodes)
        plan += [0, *np.cumsum(counts).tolist(), *(edges[e][1 - side] for e in order), *order]
    spans = {node: span for span in pairwise(starts) for node in range(*span)}
    ring = max(max(spans[child][1] - parent, child + 1 - spans[parent][0]) for parent, child in edges)
    rng = np.random.default_rng(8)
    theta = rng.normal(size=items * len(edges)).astype(real)
    empty = [np.full(count * items, np.nan, real) for count in (1, len(edges), nodes)]
    return Sizes(items, warps, nodes, len(edges), levels, ring), Arrays(np.array(plan, np.int32), theta, *empty)


def small_kernel(text, folder, real, warp, **more):
    functions = functions_of(module_of(text, folder)) if folder else functions_of(cuda_sweep)
    space = {
        **{"Seat": cuda_sweep.Seat, "cuda": CUDA, "math": RealMath(real), "WARP_SIZE": WARP_SIZE},
        **{"REAL": real, "REAL_TYPE": real, "ZERO": real(0), "ONE": real(1), "INFINITY": real(np.inf), "int": int},
    }
    return specialised(functions, {**space, **more}, {"WARP": warp}, "yield")["sweep"]


def run(text, name, machine, *, folder=None, real=np.float32, warp=False, threads=8, items=3, shared=None, **more):
    """Launch the text on a graph; returns the arrays, and the reference's value and gradient."""
    warps = 2 if warp else 1
    sizes, arrays = problem(name, items, warps, real)
    team = WARP_SIZE if warp else threads
    ring_bytes = warps * sizes.ring * np.dtype(real).itemsize if shared is None else shared
    grid = Grid((-(-items // warps), 1, 1), team * warps, team, ring_bytes, real)
    machine.launch(small_kernel(text, folder, real, warp, **more), grid, [sizes, arrays], ROLES)
    edges = GRAPHS[name]
    dag = compile(Graph.from_edges(*np.transpose(edges), ends=[max(map(max, edges))]))
    theta = arrays.theta.reshape(items, -1).astype(float)
    value, gradient = reference.dp_value_and_grad(dag, theta, Negentropy(1.0))
    return arrays, value, gradient


@combinations(
    lambda real, way, **_: real is np.float32 or way == "interleaved",
    name=GRAPHS,
    real=[np.float32, np.float64],
    warp=[False, True],
    way=["one by one", "interleaved", "numpy", "fast"],
)
def test_a_text_that_is_right(name, real, warp, way):
    machine = Machine(5, watched=way != "fast", interleaved=way == "interleaved", numpy_integers=way == "numpy")
    arrays, value, gradient = run("", name, machine, real=real, warp=warp)
    tolerance = 2e-5 if real is np.float32 else 1e-12
    np.testing.assert_allclose(arrays.values, value, atol=tolerance)
    np.testing.assert_allclose(arrays.gradient.reshape(gradient.shape), gradient, atol=tolerance)
    assert (machine.accesses > 1000) == (way != "fast")


#: Name, the source text, what replaces it, and the errors that may tell of it.
BUGS = [
    ("no barrier in the forward pass", "i += seat.team\n        meet()\n        level += 1",
     "i += seat.team\n        level += 1", (RaceError, UnwrittenError)),
    ("no barrier in the backward pass", "i += seat.team\n        meet()\n        level -= 1",
     "i += seat.team\n        level -= 1", (RaceError, UnwrittenError)),
    ("a barrier that idle threads do not reach",
     "        while i < last:\n            advance(i, seat, sizes, arrays)\n            i += seat.team\n        meet()",
     "        if i < last:\n            advance(i, seat, sizes, arrays)\n            meet()",
     (BarrierError, UnwrittenError)),
    ("two barriers, of which threads choose", "        meet()\n        level += 1",
     "        if seat.rank < 2:\n            meet()\n        else:\n            meet()\n        level += 1",
     (BarrierError,)),
    ("a thread that returns early", "    level = sizes.levels - 1\n",
     "    level = sizes.levels - 1\n    if seat.rank > 2:\n        return\n", (BarrierError,)),
    ("a parent off by one", "parent = arrays.plan[in_parent + e]\n", "parent = arrays.plan[in_parent + e] + 1\n",
     (RaceError, UnwrittenError)),
    ("an index array off by one", "in_ptr = sizes.levels + 1\n", "in_ptr = sizes.levels\n", (KernelError,)),
    ("an entry of the gradient that is not written", "        arrays.gradient[own + entry] = flow\n",
     "        if flow > 0.01:\n            arrays.gradient[own + entry] = flow\n", (UnwrittenError,)),
    ("items that overlap", "at, own = seat.item * sizes.nodes, seat.item * sizes.edges",
     "at, own = seat.item * sizes.nodes, 0", (RaceError,)),
    ("the state of another item", "arrays.v[seat.item * sizes.nodes + i] = value", "arrays.v[i] = value",
     (RaceError, UnwrittenError)),
    ("a child's value in place of the parent's", "x - most)", "x - most + arrays.v[seat.item * sizes.nodes + i])",
     (UnwrittenError,)),
    ("a widened number", "flow = q *", "flow = WIDE * q *", (NumberError,)),
    ("a widened argument of exp", "math.exp(x - most)", "math.exp((x - most) * WIDE)", (NumberError,)),
    ("a negative index", "seat.item * sizes.edges + arrays.plan[in_entry + e]",
     "seat.item * sizes.edges + arrays.plan[in_entry + e] - sizes.edges", (BoundsError,)),
    ("an input that is written", "arrays.gradient[own + entry] = flow", "arrays.theta[own + entry] = flow",
     (InputError,)),
]  # fmt: skip


def found_by(graphs, kinds, run_one):
    """The graphs on which one of these errors is raised; any other error of a kernel is an error of the test."""
    found = []
    for name in graphs:
        try:
            run_one(name)
        except kinds as error:
            found.append((name, str(error)))
    return found


@pytest.mark.parametrize(("old", "new", "kinds"), [bug[1:] for bug in BUGS], ids=[bug[0] for bug in BUGS])
def test_planted_bugs_are_found(tmp_path, old, new, kinds):
    text = inspect.getsource(cuda_sweep)
    assert old in text
    text = text.replace(old, new)
    found = found_by(GRAPHS, kinds, lambda name: run(text, name, Machine(1), folder=tmp_path, WIDE=np.float64(1.0)))
    assert found
    assert all("text.py:" in message or "unwritten" in message or "barrier" in message for _, message in found)


@pytest.mark.parametrize("seed", range(3))
def test_a_ring_that_is_one_too_small(tmp_path, seed):
    """It is found on the graphs in which the largest distance between a parent and a child is in one stretch."""
    text = inspect.getsource(cuda_sweep).replace("% sizes.ring", "% (sizes.ring - 1)")
    assert found_by(GRAPHS, (RaceError,), lambda name: run(text, name, Machine(seed), folder=tmp_path))


def test_shared_memory_that_is_too_small():
    with pytest.raises(BoundsError, match=r"cuda_sweep.py:\d+: shared memory of block .*\[\d+\] is .*, of 3,"):
        run("", "grid", Machine(), shared=12)


def test_a_barrier_of_warps_where_one_of_blocks_is_needed():
    """The item has a block of two warps, and they meet each by itself."""
    sizes, arrays = problem("grid", 1, 1, np.float32)
    grid = Grid((1, 1, 1), 2 * WARP_SIZE, WARP_SIZE, 4 * sizes.ring, np.float32)
    with pytest.raises((RaceError, UnwrittenError)):
        Machine(2, interleaved=True).launch(small_kernel("", None, np.float32, False), grid, [sizes, arrays], ROLES)


def test_a_warp_without_an_item_returns():
    arrays, value, _ = run("", "chain", Machine(), warp=True, items=5)
    np.testing.assert_allclose(arrays.values, value, atol=1e-5)


def test_an_integer_widens_a_float32(tmp_path):
    text = inspect.getsource(cuda_sweep).replace("flow = q *", "flow = (arrays.plan[0] + 1) * q *")
    run(text, "grid", Machine(), folder=tmp_path)  # Python's integers do not
    with pytest.raises(NumberError, match=r"text.py:\d+: gradient\[\d+\] is given a float64 .*thread \d of block \(\d"):
        run(text, "grid", Machine(numpy_integers=True), folder=tmp_path)


def test_blocks_never_share_what_one_writes(tmp_path):
    """One block after another, in one thread each: only the teams tell them apart."""
    text = inspect.getsource(cuda_sweep).replace("arrays.values[seat.item] = value", "arrays.values[0] = value")
    with pytest.raises(RaceError, match=r"values\[0\] is written by thread 0 of block .* was written by thread 0"):
        run(text, "chain", Machine(), folder=tmp_path, threads=1)


def test_reads_of_several_threads_are_no_race_and_a_write_among_them_is(tmp_path):
    text = """
    def sweep(arrays):
        seen = arrays.v[0]
        if cuda.threadIdx.x == WRITER:
            arrays.v[0] = seen
        meet()
        arrays.v[1 + cuda.threadIdx.x] = seen
    """
    functions = functions_of(module_of(text, tmp_path))
    roles, grid = Roles(inputs=(), given=("v",)), Grid((1, 1, 1), 3, 3, 0, np.float32)
    for writer in (-1, 1):
        made = specialised(functions, {"REAL": np.float32, "cuda": CUDA, "WRITER": writer}, {}, "yield")["sweep"]
        for seed in range(6):
            arrays = Arrays(None, None, None, None, np.arange(4, dtype=np.float32))
            if writer < 0:
                Machine(seed).launch(made, grid, [arrays], roles)
                assert arrays.v.tolist() == [0.0] * 4
            else:
                with pytest.raises(RaceError, match=r"several threads|thread [012]"):
                    Machine(seed).launch(made, grid, [arrays], roles)


def test_maths_follows_ieee_754_in_the_real_type():
    for real in (np.float32, np.float64):
        maths = RealMath(real)
        with np.errstate(all="ignore"):
            found = [maths.exp(real(1e4)), maths.log(real(0)), maths.log(real(-1)), maths.exp(real(-1e4)), maths.inf]
        assert all(type(one) is real for one in found)
        np.testing.assert_equal(np.array(found, float), [np.inf, -np.inf, np.nan, 0.0, np.inf])
        assert maths.exp(real(1)) == real(np.e)
    with pytest.raises(NumberError, match=r"math\.exp of"):
        RealMath(np.float32).exp(1.0)


def test_places_name_the_text():
    text = Path(cuda_sweep.__file__).read_text().splitlines()
    with pytest.raises(BoundsError) as caught:
        run("", "chain", Machine(), shared=4)
    line = int(str(caught.value).split(":")[1])
    assert "ring[" in text[line - 1]


#: Bugs in the package's own texts by name: module, text, what replaces it, and the errors that may tell of it.
BUGS_OF_KERNELS = {
    "no barrier between levels of the forward pass": (forward, "        meet()\n        level += 1\n",
     "        level += 1\n", (RaceError, UnwrittenError)),
    "no barrier behind the starts": (forward, "        node += work.item.team\n    meet()\n",
     "        node += work.item.team\n", (RaceError, UnwrittenError)),
    "no barrier between levels of the backward pass": (backward, "        meet()\n        level -= 1\n",
     "        level -= 1\n", (RaceError,)),
    "no barrier between the passes": (entry, "    if BACKWARD:\n        meet()\n", "    if BACKWARD:\n", (RaceError,)),
    "a barrier that idle threads do not reach": (forward, "        meet()\n        level += 1\n",
     "        if work.item.rank < last - listed(work, levels + level):\n            meet()\n        level += 1\n",
     (BarrierError, RaceError, UnwrittenError)),
    "half a ring": (work, "node & (work.call.ring - 1)", "node & (work.call.ring // 2 - 1)", (RaceError,)),
    "a ring that is one too large": (work, "(node & (work.call.ring - 1))", "node % (work.call.ring + 1)",
     (BoundsError, RaceError)),
    "a parent off by one": (work, "listed(work, incoming.parent + edge))\n    if EDGE",
     "listed(work, incoming.parent + edge) + 1)\n    if EDGE", (RaceError, UnwrittenError)),
    "a level that is left out": (forward, "    level = 1\n", "    level = 2\n", (UnwrittenError,)),
    "an entry of the gradient that is not written": (backward,
     "outgoing.edges)\n        if target >= 0:", "outgoing.edges)\n        if target > 0:", (UnwrittenError,)),
    "gradients that overlap": (work, "        batch * call.entries,\n", "        0 * call.entries,\n", (RaceError,)),
    "states that overlap": (work, "batch * call.nodes + arrays", "arrays", (RaceError,)),
    "theta of the next item": (work, "        batch * call.theta_stride,\n",
     "        (batch + 1) * call.theta_stride,\n", (BoundsError,)),
    "a widened number": (backward, "bar += e\n", "bar += e * DOUBLE\n", (NumberError,)),
    "a value that is not written": (work, "    if KEEPS:\n        work.state.v_hi",
     "    if KEEPS and node > 1:\n        work.state.v_hi", (UnwrittenError,)),
}  # fmt: skip


@pytest.fixture(scope="module")
def compiled_graphs():
    return {name: compile(Graph.from_edges(*np.transpose(e), ends=[max(map(max, e))])) for name, e in GRAPHS.items()}


def as_planned(launch):
    """Small graphs have a warp for each item."""
    assert launch.variant.warp
    return launch


def solved(dag, kernel=kernel_of, real=np.float32, form=with_blocks):
    theta = np.random.default_rng(2).normal(size=(3, dag.graph.num_edges)).astype(real)
    return solve(Problem(dag, theta, Negentropy(0.8), batch=3), Passes.GRADIENT, Machine(1), kernel=kernel, form=form)


@combinations(
    lambda bug, form: form is with_blocks or "barrier" in bug or "overlap" in bug,
    bug=BUGS_OF_KERNELS,
    form=[with_blocks, as_planned],
)
def test_bugs_planted_in_the_kernels_are_found(tmp_path, compiled_graphs, bug, form):
    module, old, new, kinds = BUGS_OF_KERNELS[bug]
    source = inspect.getsource(module)
    assert source.count(old) == 1
    planted = {text.__name__: text for text in functions_of(module_of(source.replace(old, new), tmp_path))}
    changed = [planted.get(text.__name__, text) if text.__module__ == module.__name__ else text for text in texts()]

    def kernel(variant, data, real):
        space = {**names(data, real), "DOUBLE": np.float64(1.0)}
        return specialised(changed, space, static_names(variant, data), "yield")["sweep"]

    for dag in compiled_graphs.values():
        solved(dag, form=form)
    assert found_by(compiled_graphs, kinds, lambda name: solved(compiled_graphs[name], kernel, form=form))


def test_a_kernel_of_blocks_with_barriers_of_warps(compiled_graphs, monkeypatch):
    """The block has two warps, whose barriers do not join them."""
    monkeypatch.setattr(
        cuda_kernels, "grid_of", lambda launch, real: Grid(launch.grid, 8, 4, launch.shared_bytes, real)
    )
    with pytest.raises((RaceError, UnwrittenError)):
        solved(compiled_graphs["random"])
