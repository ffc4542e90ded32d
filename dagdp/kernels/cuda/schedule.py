"""Which kernel a launch takes, how many threads, and what memory: decided by the graph, never by the batch.

An item is processed by a block of threads, or by one warp where levels are narrow. A node is always computed by one
thread in a fixed order, so results have the same bits in either case.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, NamedTuple

import numpy as np

from dagdp.kernels.cuda.plan.device_plan import DevicePlan
from dagdp.kernels.cuda.plan.diagonals import BAND, LINES
from dagdp.kernels.cuda.records import Call, Column, State, Variant
from dagdp.omega import Omega

WARP_SIZE = 32
WIDE_SIZES = (2, 4, 8)  # scores of a node in registers
LARGEST_TEAM = 512  # threads of a block: a kernel takes up to 103 registers, and a block has 65,536
LARGEST_ROWS = 32768  # blocks along the second axis of a grid, half the limit of every device
WARPS = 4  # batch items of a block, at most, where each has one warp
LARGEST_ROW = {4: 64, 8: 16}  # elements of a matrix that a thread keeps in registers, by the bytes of a number
LARGEST_CHAIN = 256  # threads of a chain's item, so that each may have 255 registers
NARROW = 32  # nodes: nine of ten levels are no wider in a graph whose items have one warp


class Passes(Enum):
    """What a launch computes."""

    VALUE = auto()
    GRADIENT = auto()  # and the value
    SLOPE = auto()  # and the value
    HESSIAN = auto()  # and the slope, and the value
    WEIGHTS = auto()  # and the value
    PATH = auto()  # and the value, under HardMax


class Given(NamedTuple):
    """What a call was given beside theta."""

    minimize: bool = False
    starts: bool = False  # each item has a start of its own
    ends: bool = False  # each item has an end of its own
    one_theta: bool = False  # all batch items share theta
    one_z: bool = False
    solver: str = "newton"  # of the operator


class Launch(NamedTuple):
    """A kernel, the numbers that it gets, and the shape of its grid."""

    variant: Variant
    call: Call
    grid: tuple[int, int, int]  # blocks: batch items (of one block each, or a warp each), graphs, more graphs
    threads: int
    shared_bytes: int


def launch_of(plan: DevicePlan, passes: Passes, real: Any, batch: int, given: Given, shared_limit: int) -> Launch:
    """The launch for `batch` items, each of which has all graphs of the plan.

    shared_limit : bytes of dynamic shared memory that a block may have on the device.
    """
    tangent, backward = passes in (Passes.SLOPE, Passes.HESSIAN), passes in (Passes.GRADIENT, Passes.HESSIAN)
    width = np.dtype(real).itemsize
    usual = int(np.quantile(plan.widths, 0.9, method="higher"))
    form = _diagonal_form(plan, passes, given, shared_limit // width)
    bytes_ = width * (form.numbers or (3 if tangent else 2) * plan.ring)
    warp = usual <= NARROW and WARPS * bytes_ <= shared_limit
    shared = warp or bytes_ <= shared_limit
    variant = Variant(
        tangent=tangent,
        backward=backward,
        weights=passes is Passes.WEIGHTS,
        decode=passes is Passes.PATH,
        edge_blocks=plan.edge_blocks,
        node_blocks=plan.node_blocks,
        pairs=plan.pairs,
        readers=plan.readers and backward,
        shared_ring=shared,
        warp=warp,
        starts=given.starts,
        wide=form.depth or (0 if tangent or given.solver == "newton" else _wide(plan)),
        moves=form.moves,
        staged=form.staged,
    )
    warps = min(WARPS, max(1, batch)) if warp else 1
    rows = min(plan.graphs, LARGEST_ROWS)
    call = Call(
        batch=np.int64(batch),
        graphs=np.int64(plan.graphs),
        ring=np.int32(form.numbers // 2 or plan.ring),
        ended=np.int32(given.ends),
        nodes=np.int64(plan.nodes),
        entries=np.int64(results(plan, passes)),
        theta_stride=np.int64(0 if given.one_theta else plan.entries),
        z_stride=np.int64(0 if given.one_z else plan.entries),
        sign=real(-1.0 if given.minimize else 1.0),
    )
    threads = warps * WARP_SIZE if warp else min(LARGEST_TEAM, -(-usual // WARP_SIZE) * WARP_SIZE)
    grid = (-(-batch // warps), rows, -(-plan.graphs // rows))
    launch = Launch(variant, call, grid, threads, warps * bytes_ if shared else 0)
    if given.solver == "exponential" and not given.starts and passes in (Passes.VALUE, Passes.GRADIENT):
        return _for_chain(launch, plan.states, real, shared_limit)
    return launch


def _for_chain(launch: Launch, states: int, real: Any, shared_limit: int) -> Launch:
    """The launch of a chain, with a thread or several for each state; the launch itself where that is not possible."""
    size = np.dtype(real).itemsize
    tied = max(8, 1 << (states - 1).bit_length())
    parts = max(1, tied // LARGEST_ROW[size])
    if states == 0 or tied * parts > LARGEST_CHAIN:
        return launch
    numbers = 2 * tied + WARP_SIZE * (tied + 2) + (2 * tied * parts if parts > 1 else 0)  # see `tied/matrix.py`
    ring = max(int(launch.call.ring), 1 << ((numbers + 1) // 2 - 1).bit_length())
    warp, batch = parts == 1 and tied <= WARP_SIZE, int(launch.call.batch)
    warps = min(WARPS, max(1, batch)) if warp else 1
    bytes_ = warps * 2 * ring * size
    if bytes_ > shared_limit:
        return launch
    _, rows, more = launch.grid
    return Launch(
        variant=launch.variant._replace(tied=tied, parts=parts, warp=warp, shared_ring=True, wide=0),
        call=launch.call._replace(ring=np.int32(ring)),
        grid=(-(-batch // warps), rows, more),
        threads=warps * WARP_SIZE if warp else tied * parts,
        shared_bytes=bytes_,
    )


def launch_bounds(variant: Variant) -> tuple[int, ...]:
    """The most threads of a block, and the fewest blocks at a time, by which a compiler decides on registers.

    A thread of a chain's kernel has a row of the matrix in registers. Told nothing of blocks, a compiler took fewer
    registers than that, for more blocks at a time.
    """
    if variant.tied:
        return max(WARPS * WARP_SIZE, variant.tied * variant.parts), 1
    return (LARGEST_TEAM,)


class DiagonalForm(NamedTuple):
    """How `dagdp.kernels.cuda.texts.diagonals.entry` serves a call; all 0 where it does not."""

    numbers: int = 0  # of an item in shared memory, an even number
    depth: int = 0
    moves: int = 0
    staged: bool = False


def _diagonal_form(plan: DevicePlan, passes: Passes, given: Given, limit: int) -> DiagonalForm:
    """limit : numbers that shared memory holds."""
    found = plan.diagonals
    if found is None or passes not in (Passes.VALUE, Passes.GRADIENT) or given.starts:
        return DiagonalForm()
    ring = (4 if passes is Passes.GRADIENT else 2) * LINES * found.stride
    tile = (found.band_rows * (BAND + 1) + 1) // 2 * 2
    staged = found.level_step == 1 and ring + tile <= limit
    if not staged and ring > limit:
        return DiagonalForm()
    return DiagonalForm(ring + (tile if staged else 0), found.depth, found.moves, staged)


def _wide(plan: DevicePlan) -> int:
    """The number of scores that a kernel keeps in registers, at least the fan-in of every node; 0 where that is large.

    Fewer sizes are fewer kernels. A kernel processes as many scores at every node, so at least half of them must be
    edges. For sm_90 and float32, the kernel of values and gradients has 1168 instructions with four scores in registers
    and 1592 without under HardMax, 1248 and 1768 with a closed form. For operators that Newton's method solves, scores
    are computed anew: with powers, as of Tsallis 1.3, the iterations are not unrolled, and scores lie on a stack.
    """
    for size in WIDE_SIZES:
        if plan.most_parents <= size:
            edges = int(plan.table[0, Column.EDGES])
            return size if 2 * edges >= size * plan.nodes else 0
    return 0


def results(plan: DevicePlan, passes: Passes) -> int:
    """Numbers that a batch item gets beside its values: a gradient, local weights, or the edges of a path."""
    return {Passes.WEIGHTS: plan.edges, Passes.PATH: plan.levels - 1}.get(passes, plan.entries)


def state_names(variant: Variant, omega: Omega) -> tuple[str, ...]:
    """The arrays of `State` that a kernel needs, each [batch, nodes]."""
    names: list[str] = []
    if variant.keeps:
        names += ["v_hi", "v_lo"]
    if variant.decode or ((variant.backward or variant.weights) and omega.solver != "exponential"):
        names.append("kappa")
    if variant.tangent and (variant.backward or not variant.shared_ring):
        names += ["v_dot", "mean"] if variant.backward else ["v_dot"]
    if variant.weights or (variant.backward and (variant.readers or not variant.shared_ring)):
        names.append("bar")
    if variant.backward and variant.tangent and (variant.readers or not variant.shared_ring):
        names.append("bar_dot")
    assert set(names) <= set(State._fields)
    return tuple(names)
