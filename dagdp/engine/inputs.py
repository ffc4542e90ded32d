"""CHECK: from a user's arguments to the arrays that kernels read. K is the number of potentials of a graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import is_tensor, plain_array
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.describe.graph import Graph, Potential
from dagdp.errors import InputError, OmegaError, wrong_keys
from dagdp.omega import Negentropy, Omega

Array = NDArray[Any]
Shape = tuple[int, ...]


class Options(NamedTuple):
    """The options of a call, as the user gave them: see `dagdp.dp_value`. `minimize` comes from `as_written`."""

    minimize: bool = False
    start: Any = None
    end: Any = None
    on_infeasible: Any = "value"
    threads: Any = None


COMPILED = (CompiledDAG, CompiledBatch)  # a union of types would be made anew at each call


def as_written(dag: Any, minimize: Any) -> bool:
    """Whether theta are costs: as the call says, else as the graph was written. Front ends ask once, at the door."""
    if minimize is not None:
        return bool(minimize)
    # `checked` refuses what is no graph later. torch.compile cannot trace getattr with a default here.
    return dag.minimize if isinstance(dag, COMPILED) else False


class WeightsForm(NamedTuple):
    """All that is known of theta, or of a direction, without the numbers: K blocks, one for each potential."""

    keyed: bool  # the user gave a dict
    own: tuple[Shape, ...]  # [K] batch dimensions of the user's array
    shapes: tuple[Shape, ...]  # [K] the user's array expanded to the batch
    expanded: bool  # some array has fewer dimensions than that
    entry_shapes: tuple[Shape, ...]  # [K] shape of the potential, without batch
    dtypes: tuple[np.dtype[Any], ...]  # [K] in which gradients are returned: the array's, float64 for integers
    rows: tuple[tuple[int, int], ...]  # [K] shape of the block that kernels read: (items or 1, entries)
    shared: NDArray[np.bool_]  # [K] a parameter: one row for all items
    real: Any  # float32 or float64, the type of all blocks

    @property
    def dtype(self) -> np.dtype[Any]:
        """The common dtype of values and derivatives."""
        return _common(self.dtypes)

    def filled(self, names: Sequence[str | None], values: Any) -> Weights:
        """Weights of this form from other arrays of equal shapes, dtypes and names, which are not checked."""
        given = tuple([values[name] for name in names]) if self.keyed else (values,)
        if self.expanded:
            given = tuple([_expanded(array, shape) for array, shape in zip(given, self.shapes, strict=True)])
        real = self.real
        return Weights(self, given, [_plain(array, real, row) for array, row in zip(given, self.rows, strict=True)])


class Weights(NamedTuple):
    """theta, or a direction, with the blocks that kernels read."""

    form: WeightsForm
    given: Sequence[Array]  # [K] the user's arrays, expanded to the batch
    blocks: Sequence[Array]  # [K] arrays [items or 1, entries] of one real type, contiguous


def checked(dag: Any, omega: Omega | None, threads: int | None) -> Omega:
    """The operator, by default Negentropy(1.0). Raises InputError or OmegaError for a wrong dag, omega or threads."""
    if isinstance(dag, CompiledBatch):
        raise InputError(
            "dag is a CompiledBatch, and this function takes one graph: call it for each of batch.dags, with its own "
            "theta"
        )
    if not isinstance(dag, CompiledDAG):
        raise not_compiled(dag)
    return checked_options(omega, threads)


def not_compiled(dag: Any) -> InputError:
    """The error for an argument in place of a compiled graph."""
    given = "a Graph" if isinstance(dag, Graph) else type(dag).__name__
    return InputError(f"dag is {given}; expected a CompiledDAG: call dagdp.compile(graph) first")


def checked_options(omega: Omega | None, threads: int | None) -> Omega:
    """The operator, by default Negentropy(1.0). Raises OmegaError for a wrong omega, InputError for wrong threads."""
    chosen = Negentropy(1.0) if omega is None else omega  # torch.compile would trace a global operator twice
    if not isinstance(chosen, Omega):
        raise OmegaError(f"omega is {chosen!r}; expected an operator such as Negentropy(1.0), not its name or class")
    if threads is not None and (not isinstance(threads, int | np.integer) or threads < 1):
        raise InputError(f"threads is {threads!r}; expected a positive number, or None for the default")
    return chosen


def collect(
    dag: CompiledDAG, values: Any, what: str = "theta", as_array: Callable[[Any, str], Any] | None = None
) -> tuple[bool, list[Any], list[Shape]]:
    """(whether `values` is a dict, arrays [K], their batch shapes [K]); names and trailing shapes are checked.

    as_array : makes an array, or a tensor, from a user's value and a label, or raises InputError. Default: NumPy's.
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
            raise wrong_keys(what, values, names)
    arrays, batches = [], []
    for potential in dag.potentials:
        label = f"{what}[{potential.name!r}]" if keyed else what
        array = as_array(values[potential.name] if keyed else values, label)
        arrays.append(array)
        batches.append(_batch_of(array, potential, label, dag))
    if keyed:
        check_carried(batches, what, names)
    return keyed, arrays, batches


def check_carried(batches: list[Shape], what: str, names: Sequence[str | None]) -> None:
    """Raise InputError unless each block of a dict has either all batch dimensions or none (a parameter)."""
    carried = [batch for batch in batches if batch != ()]  # no set: hashing a traced size would fix the size
    if any(batch != carried[0] for batch in carried):
        raise InputError(
            f"batch dimensions disagree: the arrays of {what} have {dict(zip(names, batches, strict=True))}; expected "
            "every array to carry the same ones, or none"
        )


def batch_of(batches: Sequence[Shape], z_batches: Sequence[Shape], end: Shape) -> Shape:
    """The batch of a call: the broadcast of the batch dimensions of theta, z and `end`.

    batches, z_batches : [K] of the blocks of theta, and of z. The blocks of a dict that have batch dimensions all have
        the full ones: see `check_carried`.
    """
    carried = [next((own for own in given if own != ()), ()) for given in (batches, z_batches)]
    batch = broadcast([("theta", carried[0]), ("z", carried[1])])
    if end == () or batch == ():
        return batch if end == () else end
    together = _together(batch, end)
    if together is None:
        raise InputError(f"end has shape {end}; expected one node, or one for each batch item, shape {batch}")
    return together


def end_shape(end: Any, dag: CompiledDAG) -> Shape:
    """The shape of `end=`, which is [*batch] or (); nodes may be names, in nested lists."""
    if end is None:
        return ()
    return tuple(end.shape) if hasattr(end, "shape") else tuple(dag.end_numbers(end).shape)


def terminal_shape(start: Any, end: Any, dag: CompiledDAG) -> Shape:
    """The broadcast of the shapes of `start=` and `end=`, each [*batch] or ()."""
    if start is None:
        return end_shape(end, dag)
    own = tuple(start.shape) if hasattr(start, "shape") else tuple(dag.start_numbers(start).shape)
    return broadcast([("start", own), ("end", end_shape(end, dag))])


def refuse_start(start: Any) -> None:
    """Raise InputError for `start=` in a call of a batch of graphs."""
    if start is not None:
        raise InputError(
            "start= takes one graph at a time; name the start of each graph where it is made, as by Graph(starts=[...])"
        )


def broadcast(named: Sequence[tuple[str, Shape]]) -> Shape:
    """The broadcast of batch shapes by NumPy's rules. Raises InputError that names the first misfit and all shapes."""
    batch: Shape = ()
    for what, own in named:
        if own in (batch, ()):  # not compared with 1: comparing a traced size would fix the size
            continue
        together = own if batch == () else _together(batch, own)
        if together is None:
            given = ", ".join(f"{label} {tuple(shape)}" for label, shape in named if shape != ())
            raise InputError(
                f"batch dimensions do not broadcast, at {what}: {given}; expected equal sizes, or 1, counted from the "
                "last one"
            )
        batch = together
    return batch


def _together(one: Shape, other: Shape) -> Shape | None:
    """The broadcast of two shapes, or None where they do not fit."""
    rank = max(len(one), len(other))
    pairs = list(zip((1,) * (rank - len(one)) + one, (1,) * (rank - len(other)) + other, strict=True))
    if any(a != b and a != 1 and b != 1 for a, b in pairs):
        return None
    return tuple(b if a == 1 else a for a, b in pairs)


def arrange(keyed: bool, arrays: list[Array], batches: list[Shape], batch: Shape, real: Any) -> Weights:
    """Weights for kernels: two-dimensional, contiguous, of type `real`. An array that is so already is not copied.

    keyed, arrays, batches : from `collect`.  batch : from `batch_of`.  real : float32 or float64.

    An array alone is expanded to the batch, and so is a block of a dict that has batch dimensions. A block of a dict
    without batch dimensions is a parameter, shared by the batch.
    """
    items = math.prod(batch)
    entries = tuple(array.shape[len(own) :] for array, own in zip(arrays, batches, strict=True))
    shared = [keyed and own == () and batch != () for own in batches]
    shapes = tuple(shape if one else (*batch, *shape) for shape, one in zip(entries, shared, strict=True))
    given = [_expanded(array, shape) for array, shape in zip(arrays, shapes, strict=True)]
    rows = tuple((1 if one else items, math.prod(shape)) for shape, one in zip(entries, shared, strict=True))
    form = WeightsForm(
        keyed=keyed,
        own=tuple(batches),
        shapes=shapes,
        expanded=any(array.shape != shape for array, shape in zip(arrays, shapes, strict=True)),
        entry_shapes=entries,
        dtypes=tuple(_floating(array.dtype) for array in arrays),
        rows=rows,
        shared=np.array(shared),
        real=real,
    )
    return Weights(form, given, [_plain(array, real, row) for array, row in zip(given, rows, strict=True)])


def real_type(arrays: list[Array]) -> Any:
    """float32 where every array fits it, else float64."""
    common = _common([_floating(array.dtype) for array in arrays])
    return np.float64 if common.itemsize > 4 else np.float32


def _common(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """The common one of floating dtypes. Most calls have one array, and np.result_type takes 1 µs."""
    return dtypes[0] if len(dtypes) == 1 else np.result_type(*dtypes)


def _floating(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def _as_array(value: Any, label: str) -> Array:
    if type(value) is not np.ndarray and is_tensor(value):  # np.asarray would drop the autograd graph silently
        raise InputError(f"{label} is a tensor; this takes arrays: pass {label}.detach().cpu().numpy()")
    array = plain_array(value, label)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise InputError(f"{label} has dtype {array.dtype}; expected float64, float32, float16 or integers")
    return array


def _batch_of(array: Any, potential: Potential, label: str, dag: CompiledDAG) -> Shape:
    shape = tuple(array.shape)
    keep = len(shape) - len(potential.shape)
    # axis by axis: torch.compile of torch 2.11 cannot compare a part of a traced shape with a tuple
    if keep < 0 or any(given != own for given, own in zip(shape[keep:], potential.shape, strict=True)):
        meaning = f" (one entry for each of the {dag.graph.num_edges} edges)" if potential.name is None else ""
        raise InputError(f"{label} has shape {shape}; expected [*batch, {_dims(potential.shape)}]{meaning}")
    return shape[:keep]


def _dims(shape: Shape) -> str:
    return ", ".join(map(str, shape))


def _expanded(array: Array, shape: Shape) -> Array:
    return array if array.shape == shape else np.broadcast_to(array, shape)


def _plain(array: Array, real: Any, shape: Shape) -> Array:
    """The array as kernels read it: of type `real`, contiguous and aligned. Copied only if it is not so already."""
    plain = np.ascontiguousarray(array, real).reshape(shape)
    return plain if plain.flags.aligned else plain.copy()
