"""The names that kernel texts are bound to for one operator and one real type, and the texts themselves.

The recursion, the row and the operator are written once, for rows of lanes and for numbers. Here their primitives are
those of numbers: a selection is a conditional expression, a score is computed where the CPU reads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from dagdp.kernels import recursion, row_max
from dagdp.kernels.cuda import (
    backward,
    diagonal_bands,
    diagonal_cells,
    diagonal_plan,
    diagonals,
    entry,
    forward,
    work,
)
from dagdp.kernels.cuda.chain import ChainFact
from dagdp.kernels.cuda.names import EPSILON, REAL, static_values
from dagdp.kernels.cuda.records import COLUMNS, GRAPHS_END, WRONG, Arrays, Call, Column, State, Variant
from dagdp.kernels.cuda.schedule import WARP_SIZE
from dagdp.kernels.cuda.tied import backward as tied_backward
from dagdp.kernels.cuda.tied import entry as tied_entry
from dagdp.kernels.cuda.tied import forward as tied_forward
from dagdp.kernels.cuda.tied import matrix as tied_matrix
from dagdp.lanes.rewrite import with_helpers

RECORDS = (
    Arrays,
    Call,
    State,
    backward.Outgoing,
    backward.Parent,
    diagonal_cells.Frame,
    diagonal_cells.Level,
    diagonal_bands.Strip,
    forward.Row,
    forward.Solution,
    work.Incoming,
    work.Item,
    work.Work,
)
RECORDS_OF_CHAINS = (tied_matrix.Chain, tied_matrix.Peak, tied_forward.Climbed)
TEXTS_OF_CHAINS = (tied_matrix, tied_forward, tied_backward, tied_entry)
TEXTS_OF_GRIDS = (diagonal_cells, diagonal_bands, diagonals)


def exp(x: Any) -> Any:
    """e^x, and 0 for NaN."""
    return math.exp(x) if x == x else 0.0


def log_of_mass(x: Any) -> Any:
    """The logarithm of a number in [1, inf); for any other argument, a finite number."""
    return math.log(x) if x >= 1.0 else 0.0


def splat(like: Any, number: Any) -> Any:
    """The number, of the real type."""
    return REAL(number)


def epsilon(like: Any) -> Any:
    """The distance from 1 to the next larger number of the real type."""
    return EPSILON


def texts() -> list[FunctionType]:
    """The texts of all kernels, see `entry_name`; a later one replaces the accessor of the row."""
    found: dict[str, Any] = {}
    for module in (recursion, row_max, work, forward, backward, entry, *TEXTS_OF_CHAINS, *TEXTS_OF_GRIDS):
        for name, value in vars(module).items():
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                assert name not in found or found[name].__module__ == row_max.__name__, f"two texts are named {name}"
                found[name] = value
    return list({**found, **{text.__name__: text for text in (exp, log_of_mass, splat, epsilon)}}.values())


def entry_name(variant: Variant) -> str:
    """The text that is the kernel of a variant."""
    if variant.tied:
        return "sweep_tied"
    return "sweep_diagonals" if variant.moves else "sweep"


def names_of(
    data: type, real: Any, number: Any, cuda: Any, *, maths: Any = math, wrap: Callable[[Any], Any] = lambda text: text
) -> dict[str, Any]:
    """The namespace in which texts are specialised.

    data : the operator's `Omega.Data`.
    number : the type of numbers in shared memory.
    cuda : what provides threadIdx, shared memory and barriers.
    maths : what `math` means.
    wrap : compiles a function of the operator.
    """
    operator = {}
    for name in ("link", "slope", "conjugate"):
        method = with_helpers(getattr(data, name), real, wrap)
        operator[name] = wrap(_with_maths(method, maths))
    return {
        **{record.__name__: record for record in (*RECORDS, *RECORDS_OF_CHAINS)},
        **operator,
        "Column": Column,
        "ChainFact": ChainFact,
        "COLUMNS": COLUMNS,
        "Header": diagonal_plan.Header,
        "Line": diagonal_plan.Line,
        "LINES": diagonal_plan.LINES,
        "LINE_NUMBERS": diagonal_plan.LINE_NUMBERS,
        "BAND": diagonal_plan.BAND,
        "BAND_BITS": diagonal_plan.BAND_BITS,
        "FENCE": diagonal_plan.FENCE,
        "HELD": diagonal_bands.HELD,
        "GRAPHS_END": GRAPHS_END,
        "WRONG": WRONG,
        "TERMS": row_max.TERMS,
        "SPARE_STEPS": row_max.SPARE_STEPS,
        "REAL": real,
        "REAL_TYPE": number,
        "INTEGER": np.int32,
        "NATURAL": np.uint32,
        "ZERO": real(0.0),
        "ONE": real(1.0),
        "INFINITY": real(np.inf),
        "EPSILON": np.finfo(real).eps,
        "TINY": np.finfo(real).tiny,
        "LEAST": real(2.0 ** (np.finfo(real).minexp * 5 // 8)),
        "WARP_SIZE": WARP_SIZE,
        "math": maths,
        "cuda": cuda,
    }


def _with_maths(function: FunctionType, maths: Any) -> FunctionType:
    """The function with `maths` in place of the module math."""
    if maths is math:
        return function
    names = {name: maths if value is math else value for name, value in function.__globals__.items()}
    made = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    return made


def static_names(variant: Variant, data: Any) -> dict[str, bool | int]:
    """What static names mean for a variant and an operator's `Omega.Data`."""
    return static_values(variant, data.omega.solver)
