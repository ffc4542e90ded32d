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
from dagdp.kernels.cuda import records
from dagdp.kernels.cuda.plan import diagonals
from dagdp.kernels.cuda.plan.chain import ChainFact
from dagdp.kernels.cuda.records import COLUMNS, GRAPHS_END, WRONG, Column, Variant
from dagdp.kernels.cuda.schedule import WARP_SIZE
from dagdp.kernels.cuda.texts import backward, entry, forward, work
from dagdp.kernels.cuda.texts.diagonals import bands as diagonal_bands
from dagdp.kernels.cuda.texts.diagonals import cells as diagonal_cells
from dagdp.kernels.cuda.texts.diagonals import entry as diagonal_entry
from dagdp.kernels.cuda.texts.names import EPSILON, REAL, static_values
from dagdp.kernels.cuda.texts.tied import backward as tied_backward
from dagdp.kernels.cuda.texts.tied import entry as tied_entry
from dagdp.kernels.cuda.texts.tied import forward as tied_forward
from dagdp.kernels.cuda.texts.tied import matrix as tied_matrix
from dagdp.lanes.rewrite import with_helpers

GENERIC = (recursion, row_max, work, forward, backward, entry)
CHAINS = (tied_matrix, tied_forward, tied_backward, tied_entry)
GRIDS = (diagonal_cells, diagonal_bands, diagonal_entry)
TEXTS = (*GENERIC, *CHAINS, *GRIDS)


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
    for module in TEXTS:
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
    data: type, real: Any, number: Any, cuda: Any, *, wrap: Callable[[Any], Any] = lambda text: text
) -> dict[str, Any]:
    """The namespace in which texts are specialised.

    data : the operator's `Omega.Data`.
    number : the type of numbers in shared memory.
    cuda : what provides threadIdx, shared memory and barriers.
    wrap : compiles a function of the operator.
    """
    operator = {}
    for name in ("link", "slope", "conjugate"):
        method = with_helpers(getattr(data, name), real, wrap)
        operator[name] = wrap(method)
    return {
        **_records(),
        **operator,
        "Column": Column,
        "ChainFact": ChainFact,
        "COLUMNS": COLUMNS,
        "Header": diagonals.Header,
        "Line": diagonals.Line,
        "LINES": diagonals.LINES,
        "LINE_NUMBERS": diagonals.LINE_NUMBERS,
        "BAND": diagonals.BAND,
        "BAND_BITS": diagonals.BAND_BITS,
        "FENCE": diagonals.FENCE,
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
        "math": math,
        "cuda": cuda,
    }


def _records() -> dict[str, type]:
    """The records that texts read and make."""
    return {
        name: value
        for module in (records, *TEXTS)
        for name, value in vars(module).items()
        if isinstance(value, type) and hasattr(value, "_fields") and value.__module__ == module.__name__
    }


def static_names(variant: Variant, data: Any) -> dict[str, bool | int]:
    """What static names mean for a variant and an operator's `Omega.Data`."""
    return static_values(variant, data.omega.solver)
