"""Checks of the arguments of `dagdp.plot`, before anything is drawn: lists, arrays and tensors become float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dagdp.array_kinds import is_tensor
from dagdp.compiled.dag import CompiledDAG
from dagdp.describe.graph import Graph
from dagdp.errors import InputError


def _numbers(what: str, values: Any) -> NDArray[np.float64]:
    if is_tensor(values):
        values = values.detach().cpu().double().numpy()  # double: NumPy has no bfloat16
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"{what} is a {type(values).__name__} that is no array of numbers; expected an array, a tensor or nested "
            "lists of one length; stack its items first"
        ) from None


def _finite(what: str, array: NDArray[np.float64]) -> NDArray[np.float64]:
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        at = tuple(bad[0].tolist())
        raise InputError(f"{what}{list(at)} is {array[at]}; expected finite numbers; set it to 0 to draw nothing there")
    return array


def checked_map(what: str, values: ArrayLike) -> NDArray[np.float64]:
    """A map float64 [rows, columns] of finite numbers."""
    array = _numbers(what, values)
    if array.ndim != 2:
        raise InputError(f"{what} has shape {array.shape}; expected a map with two axes: pick one item of the batch")
    if array.size == 0:
        raise InputError(f"{what} has shape {array.shape}; expected a row and a column at least; leave out empty items")
    return _finite(what, array)


def checked_series(what: str, values: ArrayLike, length: int) -> NDArray[np.float64]:
    """A series float64 [length] or [length, d]."""
    array = _numbers(what, values)
    if array.ndim not in (1, 2) or len(array) != length:
        raise InputError(
            f"{what} has shape {array.shape}; expected [{length}] or [{length}, d], the size of the map: "
            "pick the item of the batch that the map is of, without its padding"
        )
    return array


def checked_path(path: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A path float64 [L, 2] of cells of the map, without rows of -1. shape : of the map."""
    pairs = _numbers("path", path)
    if pairs.size and (pairs.ndim != 2 or pairs.shape[1] != 2):
        raise InputError(f"path has shape {pairs.shape}; expected [L, 2], the cells (i, j) of one item of the batch")
    pairs = pairs.reshape(-1, 2)
    pairs = pairs[(pairs >= 0).all(-1)]
    beyond = pairs[(pairs >= shape).any(-1)]
    if len(beyond):
        cell = tuple(beyond[0].astype(int).tolist())
        raise InputError(f"path reaches cell {cell}; expected cells of the map, {shape}: draw the map and its own path")
    return pairs


def checked_states(truth: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """States float64 [T], -1 for none. shape : (S, T)."""
    states, steps = shape
    at = _numbers("truth", truth)
    if at.shape != (steps,):
        raise InputError(f"truth has shape {at.shape}; expected [{steps}], a state for each step and -1 for none")
    wrong = np.flatnonzero(~((at < states) & (at == np.floor(at))))
    if wrong.size:
        raise InputError(
            f"truth[{wrong[0]}] is {at[wrong[0]]:g}; expected a state from 0 to {states - 1}, or -1 to draw none"
        )
    return at


def checked_flow(compiled: Any, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Probabilities float64 [edges] of the edges of a compiled graph."""
    if isinstance(compiled, Graph):
        raise InputError(f"dag was given {compiled!r}; expected a CompiledDAG; compile it first: dagdp.compile(graph)")
    if not isinstance(compiled, CompiledDAG):
        raise InputError(
            f"dag was given a {type(compiled).__name__}; expected a CompiledDAG; make it by dagdp.compile(graph)"
        )
    flow = _numbers("probabilities", probabilities)
    if flow.shape != (compiled.graph.num_edges,):
        raise InputError(
            f"probabilities has shape {flow.shape}; expected one for each of {compiled.graph.num_edges} edges: "
            "pick one item of the batch, of a graph without named potentials"
        )
    if (flow < 0).any():
        e = int((flow < 0).argmax())
        raise InputError(f"probabilities[{e}] is {flow[e]}; expected none below 0; hand over the result of dp_grad")
    return _finite("probabilities", flow)


def checked_names(what: str, names: Sequence[Any] | None, size: int, of: str = "line of the map") -> list[str] | None:
    """[size] strings, one for each line or edge; None if no names were given."""
    if names is None:
        return None
    try:
        found = [str(name) for name in names]
    except TypeError:
        raise InputError(f"{what} is {names!r}; expected a list of {size} names, one for each {of}") from None
    if len(found) != size:
        raise InputError(f"{what} has {len(found)} names; expected {size}, one for each {of}: name each, '' for none")
    return found
