"""Compile kernels before they are needed: in a container's build, or before a training begins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import dagdp
from dagdp.compiled.dag import CompiledDAG
from dagdp.describe.graph import Graph
from dagdp.errors import InputError
from dagdp.graphs import dtw_grid, linear_chain, trellis
from dagdp.omega import Negentropy, Omega

logger = logging.getLogger("dagdp")

FUNCTIONS = ("dp_value", "dp_grad", "dp_value_and_grad", "dp_jvp", "dp_hvp", "dp_jvp_and_hvp")
#: The graphs that a name stands for, and all that calls with lengths= need. Kernels do not depend on sizes.
NAMED: dict[str, Callable[[], tuple[Graph, ...]]] = {
    "viterbi": lambda: (trellis(16, 4), trellis(16, 4, ragged=True)),
    "crf": lambda: (linear_chain(16, 4), linear_chain(16, 4, ragged=True)),
    "dtw": lambda: (dtw_grid(16, 16),),
}


def warm_up(
    *graphs: CompiledDAG | Graph | str,
    omegas: Iterable[Omega] = (Negentropy(1.0),),
    dtypes: Iterable[Any] = ("float32", "float64"),
    functions: Iterable[str] = ("dp_value", "dp_value_and_grad", "dp_hvp"),
    batches: Iterable[int | None] = (None, 2),
    progress: bool = True,
) -> None:
    """Compile the kernels that these calls need, so that later calls, and later processes, find them on disk.

    Each function is called once for each graph, operator, dtype and kind of batch, with potentials of zeros.

    graphs : compiled graphs, graphs, or the names "viterbi", "crf" and "dtw" for the shortcuts and layers.
    omegas : operators. The value of gamma does not matter; alpha of Tsallis and the class of an operator do.
    dtypes : "float32" and "float64", as strings or NumPy dtypes.
    functions : names of `dp_*` functions. Training in PyTorch calls "dp_value_and_grad", and "dp_hvp" where a loss
        has second derivatives.
    batches : None for one item, or a number of items: one item and several are different kernels.
    progress : show a bar where tqdm is installed, else log each call at INFO.

    Raises InputError for other names, and what the functions raise.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> warm_up(dag, dtypes=["float64"], functions=["dp_value"], batches=[None], progress=False)
    """
    wanted = tuple(functions)
    unknown = [name for name in wanted if name not in FUNCTIONS]
    if unknown:
        raise InputError(f"functions has {unknown[0]!r}; expected names from {FUNCTIONS}")
    calls = [
        (dag, name, omega, np.dtype(dtype), batch)
        for dag in _compiled(graphs)
        for omega in omegas
        for dtype in dtypes
        for batch in batches
        for name in wanted
    ]
    with _bar(len(calls), progress) as advance:
        for dag, name, omega, dtype, batch in calls:
            advance(f"{name}, {omega!r}, {dtype}")
            _call(dag, name, omega, dtype, batch)


def _compiled(graphs: tuple[CompiledDAG | Graph | str, ...]) -> list[CompiledDAG]:
    """The compiled graphs that were given, or named."""
    made: list[CompiledDAG] = []
    for given in graphs:
        if isinstance(given, CompiledDAG):
            made.append(given)
        elif isinstance(given, Graph):
            made.append(dagdp.compile(given))
        elif given in NAMED:
            made += [dagdp.compile(graph) for graph in NAMED[given]()]
        else:
            raise InputError(f"warm_up was given {given!r}; expected a graph, a compiled one, or one of {list(NAMED)}")
    return made


def _call(dag: CompiledDAG, name: str, omega: Omega, dtype: Any, batch: int | None) -> None:
    """Call one function on potentials of zeros."""
    front = () if batch is None else (batch,)
    zeros: Any = {p.name: np.zeros((*front, *p.shape), dtype) for p in dag.potentials}
    if None in zeros:  # the one potential of a graph without names
        zeros = zeros[None]
    direction = (zeros,) if name in ("dp_jvp", "dp_hvp", "dp_jvp_and_hvp") else ()
    getattr(dagdp, name)(dag, zeros, *direction, omega, end=None if dag.ends_by_length is None else _end(dag, batch))


def _end(dag: CompiledDAG, batch: int | None) -> Any:
    """The last end, for one item or for all: calls of ragged graphs have ends of their own."""
    last = int(dag.ends[-1])
    return last if batch is None else np.full(batch, last)


@contextmanager
def _bar(total: int, progress: bool) -> Iterator[Callable[[str], None]]:
    """A function that is told of each step before the step begins."""
    if not progress:
        yield lambda step: None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        numbers = iter(range(1, total + 1))
        yield lambda step: logger.info("dagdp.warm_up: %d of %d, %s", next(numbers), total, step)
        return
    with tqdm(total=total, unit="call", desc="dagdp.warm_up") as bar:
        begun: list[str] = []

        def advance(step: str) -> None:
            bar.update(len(begun[-1:]))
            begun.append(step)
            bar.set_postfix_str(step)

        yield advance
        bar.update(len(begun[-1:]))
