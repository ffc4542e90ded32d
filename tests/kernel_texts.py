"""Compiles functions of the kernels by themselves, for tests of single files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from dagdp.compiled.dag import CompiledDAG
from dagdp.jit.decorators import OPTIONS
from dagdp.jit.linking import WholeCompiler
from dagdp.kernels.cpu.memory import KernelForm, Passes, addresses_size, layout
from dagdp.kernels.cpu.records import Block, Variant


def compiled(function: Callable[..., Any]) -> Any:
    """An entry point that may call what only kernels call. It is not cached."""
    return numba.njit(_nrt=False, pipeline_class=WholeCompiler, **OPTIONS)(function)


def form(dag: CompiledDAG, lanes: int = 8, **changed: Any) -> KernelForm:
    """The form of a launch in float64, of the gradient under a closed form, with no level tied and nothing stored."""
    edges = dag.wiring.incoming.potentials.size > 0 or None
    nodes = dag.wiring.hoisted.potentials.size > 0 or None
    known = {
        "passes": Passes(every_node=True, backward=True),
        "variant": Variant(None, None, edges, nodes),
        "closed_form": True,
        "newton": False,
        "scaled": False,
        "lanes": lanes,
        "itemsize": 8,
    }
    return KernelForm(**{**known, **changed})


def launch_memory(dag: CompiledDAG, given: KernelForm) -> tuple[Any, Any, Any]:
    """(memory, addresses, table) as the engine makes them for a launch."""
    size, offsets = layout(given, dag.wiring, dag.most_parents)
    addresses = np.zeros(addresses_size(dag.most_parents), np.int64)
    return np.full(size, np.nan), addresses, np.concatenate([dag.addresses, offsets])


def samples(first: int, last: int, lanes: int = 8) -> Block:
    """A block of rows of samples."""
    return Block(first, last, lanes, 0, 1, True, None)


def one_sample(item: int) -> Block:
    """A block of one sample, whose rows are neighbouring nodes."""
    return Block(item, item + 1, 1, 0, 1, None, None)
