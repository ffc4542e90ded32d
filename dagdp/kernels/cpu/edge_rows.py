"""Where the edges into a row of nodes lie: records of row memory, and the accessors of kernels/row_max.py for them.

The d-th edges of a row's nodes form a row of each quantity. A solver keeps a row for each d in `y`, from which
`row_weight` makes q: (x - m)/γ, or e^((x - m)/γ) for the closed form. For the closed form and HardMax `y` is only
filled if it has memory for more than one row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from dagdp.jit.decorators import INLINED_OPTIONS
from dagdp.kernels.cpu.records import Floats, Indices, Row
from dagdp.kernels.row_max import epsilon, keep, link_at, relative_at, score_at, tangent_at
from dagdp.lanes.rewrite import accessor, leaves, real_of
from dagdp.lanes.rows import load, store
from dagdp.lanes.views import get, width


class Operand(NamedTuple):
    """A row for each of some edges: the d-th lies at addresses[d] of the array."""

    array: Floats
    addresses: Indices


class Scores(NamedTuple):
    """Scores x = hi + lo: the row of d-th edges lies at places[d] of both arrays."""

    hi: Floats
    lo: Floats
    places: Indices
    y: Floats  # what a solver keeps


class Kept(NamedTuple):
    """What a solver kept of a row's edges."""

    y: Floats


class Tangents(NamedTuple):
    """What a solver kept of a row's edges, and what ẋ is the sum of."""

    y: Floats
    parents: Operand  # v̇
    second: Any  # v̇ of second parents; None without hyperedges
    directions: Any  # z of the edges' own potentials; None where they have none


@accessor(score_at)
def _score_at(scores: Scores, d: int) -> Any:
    at = get(scores.places, d)
    return load(scores.hi, at), load(scores.lo, at)


@accessor(keep)
def _keep(scores: Scores, d: int, value: Row) -> None:
    if scores.y.shape[0] > width(scores.y):
        store(scores.y, d * width(scores.y), value)


@accessor(relative_at)
def _relative_at(row: Any, d: int) -> Row:
    return load(row.y, d * width(row.y))


@accessor(link_at)
def _link_at(row: Any, d: int) -> Row:
    return load(row.y, d * width(row.y))


@accessor(tangent_at)
def _tangent_at(row: Tangents, d: int) -> Row:
    x_dot = load(row.parents.array, get(row.parents.addresses, d))
    if row.second is not None:
        x_dot = x_dot + load(row.second.array, get(row.second.addresses, d))
    if row.directions is not None:
        x_dot = x_dot + load(row.directions.array, get(row.directions.addresses, d))
    return x_dot


@overload(epsilon, strict=False, jit_options=INLINED_OPTIONS)
def _epsilon(like: Any) -> Callable[..., Any]:
    smallest = np.finfo(real_of(*leaves([like]))).eps
    return lambda like: smallest
