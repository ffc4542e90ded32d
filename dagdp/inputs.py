"""CHECK: from what the user handed over to the plain arrays that kernels read, and back again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.batch import CompiledBatch
from dagdp.compiled import CompiledDAG
from dagdp.errors import InputError, OmegaError
from dagdp.graph import Graph, Potential
from dagdp.kinds import is_tensor
from dagdp.omega import Negentropy, Omega

Array = NDArray[Any]
Shape = tuple[int, ...]


class Weights(NamedTuple):
    """theta, or a direction, in kernel form: per potential an array [items or 1, entries] of one real type."""

    keyed: bool  # the user gave a dict
    given: tuple[Array, ...]
    entry_shapes: tuple[Shape, ...]  # [blocks] shape of the potential, without batch
    blocks: tuple[Array, ...]
    shared: NDArray[np.bool_]  # [blocks] no batch dimensions: one row for all items
    rows: tuple[tuple[int, int], ...]  # [blocks] shape of the block

    @property
    def dtype(self) -> np.dtype[Any]:
        """What value and derivatives are handed back in: the common type of the floating inputs."""
        return _common(self.given)

    def refilled(self, potentials: Sequence[Potential], values: Any, real: Any) -> Weights:
        """Of other arrays of the same form: shapes, types and names are not looked at."""
        given = tuple([values[p.name] for p in potentials]) if self.keyed else (values,)
        blocks = tuple([_plain(array, real, rows) for array, rows in zip(given, self.rows, strict=True)])
        return Weights(self.keyed, given, self.entry_shapes, blocks, self.shared, self.rows)

    def emptied(self) -> Weights:
        """Without the arrays."""
        return self._replace(given=(), blocks=())

    def like(self, index: int) -> tuple[Shape, np.dtype[Any]]:
        """Shape and dtype of a gradient with respect to block `index`."""
        return self.given[index].shape, _floating(self.given[index].dtype)


def checked(dag: Any, omega: Omega | None, threads: int | None) -> Omega:
    """The operator to use, Negentropy(1.0) by default, once `dag`, `omega` and `threads` are seen to be right."""
    if isinstance(dag, CompiledBatch):
        raise InputError(
            "dag is a CompiledBatch, and this function takes one graph: call it for each of batch.dags, with its own "
            "theta"
        )
    if not isinstance(dag, CompiledDAG):
        given = "a Graph" if isinstance(dag, Graph) else type(dag).__name__
        raise InputError(f"dag is {given}; expected a CompiledDAG: call dagdp.compile(graph) first")
    return checked_options(omega, threads)


def checked_options(omega: Omega | None, threads: int | None) -> Omega:
    """The operator to use, once `omega` and `threads` are seen to be right."""
    chosen = Negentropy(1.0) if omega is None else omega  # a global one would be traced twice by torch.compile
    if not isinstance(chosen, Omega):
        raise OmegaError(f"omega is {chosen!r}; expected an operator such as Negentropy(1.0), not its name or class")
    if threads is not None and (not isinstance(threads, int | np.integer) or threads < 1):
        raise InputError(f"threads is {threads!r}; expected a positive number, or None for the default")
    return chosen


def collect(
    dag: CompiledDAG, values: Any, what: str = "theta", as_array: Callable[[Any, str], Any] | None = None
) -> tuple[bool, list[Any], list[Shape]]:
    """(keyed, arrays, batch shapes), one for each potential; names and trailing shapes checked.

    `as_array` makes the arrays of one kind from what was given, and refuses what is none; default NumPy's.
    """
    as_array = as_array or _as_array
    names = [potential.name for potential in dag.potentials]
    keyed = type(values) is not np.ndarray and isinstance(values, Mapping)
    if not keyed and len(names) > 1:
        raise InputError(
            f"{what} is one {type(values).__name__}; the graph has potentials {names}: expected a dict with those keys"
        )
    if keyed:
        if names == [None]:
            raise InputError(f"{what} is a dict; the graph names no potentials: expected one array [*batch, edges]")
        if set(values) != set(names):
            raise InputError(f"{what} has keys {sorted(map(str, values))}; expected exactly {names}")
    arrays, batches = [], []
    for potential in dag.potentials:
        label = f"{what}[{potential.name!r}]" if keyed else what
        array = as_array(values[potential.name] if keyed else values, label)
        arrays.append(array)
        batches.append(_batch_of(array, potential, label, dag))
    return keyed, arrays, batches


def common_batch(batches: list[Shape], end: Any = None, dag: CompiledDAG | None = None) -> Shape:
    """The batch shape that all blocks carry or lack; `end` gives it where no block does."""
    carried = [batch for batch in batches if batch != ()]  # no set: to hash a traced size is to fix it
    if any(batch != carried[0] for batch in carried):
        raise InputError(
            f"batch dimensions disagree: {sorted(set(carried))}; expected every array to carry the same ones, or none"
        )
    if carried:
        return carried[0]
    if hasattr(end, "shape"):
        return tuple(end.shape)
    if end is None or dag is None or _is_name(end, dag):
        return ()
    return (len(end),) if isinstance(end, list | tuple) else ()


def _is_name(end: Any, dag: CompiledDAG) -> bool:
    try:
        return dag.numbers is not None and end in dag.numbers
    except TypeError:
        return False


def arrange(keyed: bool, arrays: list[Array], batches: list[Shape], batch: Shape, real: Any) -> Weights:
    """Kernel form: two-dimensional, contiguous, one real type. Arrays that already are so are not copied."""
    items = math.prod(batch)
    shapes = tuple(array.shape[len(own) :] for array, own in zip(arrays, batches, strict=True))
    blocks = []
    for array, own, shape in zip(arrays, batches, shapes, strict=True):
        blocks.append(_plain(array, real, (items if own != () else 1, math.prod(shape))))
    shared = np.array([own == () and batch != () for own in batches])
    return Weights(keyed, tuple(arrays), shapes, tuple(blocks), shared, tuple(block.shape for block in blocks))


def real_type(arrays: list[Array]) -> Any:
    """float32 where every array fits it, else float64."""
    return np.float64 if _common(arrays).itemsize > 4 else np.float32


def _common(arrays: Sequence[Array]) -> np.dtype[Any]:
    """The common floating type. Mostly there is one array, and np.result_type costs a microsecond."""
    first = _floating(arrays[0].dtype)
    return first if len(arrays) == 1 else np.result_type(first, *(_floating(array.dtype) for array in arrays[1:]))


def _floating(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def _as_array(value: Any, label: str) -> Array:
    if type(value) is not np.ndarray and is_tensor(
        value
    ):  # as an array it would be cut off from autograd without a word
        raise InputError(f"{label} is a tensor; this takes arrays: pass {label}.detach().cpu().numpy()")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise InputError(f"{label} has dtype {array.dtype}; expected float64, float32, float16 or integers")
    return array


def _batch_of(array: Any, potential: Potential, label: str, dag: CompiledDAG) -> Shape:
    shape = tuple(array.shape)
    keep = len(shape) - len(potential.shape)
    if keep < 0 or shape[keep:] != potential.shape:
        meaning = f" (one entry for each of the {dag.graph.num_edges} edges)" if potential.name is None else ""
        raise InputError(f"{label} has shape {shape}; expected [*batch, {_dims(potential.shape)}]{meaning}")
    return shape[:keep]


def _dims(shape: Shape) -> str:
    return ", ".join(map(str, shape))


def _plain(array: Array, real: Any, shape: Shape) -> Array:
    """The numbers as kernels read them: of one real type, contiguous and aligned. Not copied where they are so."""
    plain = np.ascontiguousarray(array, real).reshape(shape)
    return plain if plain.flags.aligned else plain.copy()
