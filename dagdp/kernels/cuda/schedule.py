"""Which kernel a launch takes, how many threads, and what memory: decided by the graph, never by the batch.

An item is processed by a block of threads, or by one warp where levels are narrow. A node is always computed by one
thread in a fixed order, so results have the same bits in either case.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, NamedTuple

import numpy as np

from dagdp.kernels.cuda.plan import DevicePlan
from dagdp.kernels.cuda.records import Call, State, Variant
from dagdp.omega import Omega

WARP_SIZE = 32
LARGEST_TEAM = 1024  # threads of a block, the limit of every device
WARPS = 4  # items of a block, where an item has one warp
NARROW = 32  # nodes: nine of ten levels are no wider in a graph whose items have one warp


class Passes(Enum):
    """What a launch computes."""

    VALUE = auto()
    GRADIENT = auto()  # and the value
    SLOPE = auto()  # and the value
    HESSIAN = auto()  # and the slope, and the value
    WEIGHTS = auto()  # and the value
    PATH = auto()  # and the value, under HardMax


class Launch(NamedTuple):
    """A kernel and the shape of its grid."""

    variant: Variant
    grid: int
    threads: int
    shared_bytes: int


def launch_of(
    plan: DevicePlan, passes: Passes, real: Any, batch: int, *, starts: bool = False, shared_limit: int
) -> tuple[Launch, Call]:
    """The launch, and the numbers that its kernel gets: `theta_stride` and `sign` are still those of scores.

    batch : batch items, each of which has all graphs of the plan.
    starts : whether each item has a start of its own.
    shared_limit : bytes of dynamic shared memory that a block may have on the device.
    """
    tangent, backward = passes in (Passes.SLOPE, Passes.HESSIAN), passes in (Passes.GRADIENT, Passes.HESSIAN)
    bytes_ = (3 if tangent else 2) * plan.ring * np.dtype(real).itemsize
    usual = int(np.quantile(plan.widths, 0.9, method="higher"))
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
        starts=starts,
    )
    warps = WARPS if warp else 1
    items = batch * plan.graphs
    threads = WARPS * WARP_SIZE if warp else min(LARGEST_TEAM, -(-usual // WARP_SIZE) * WARP_SIZE)
    call = Call(
        items=np.int64(items),
        graphs=np.int64(plan.graphs),
        ring=np.int32(plan.ring),
        warps=np.int32(warps),
        nodes=np.int64(plan.nodes),
        entries=np.int64(plan.edges if passes is Passes.WEIGHTS else plan.entries),
        theta_stride=np.int64(plan.entries),
        z_stride=np.int64(plan.entries),
        sign=real(1.0),
    )
    return Launch(variant, -(-items // warps), threads, warps * bytes_ if shared else 0), call


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
