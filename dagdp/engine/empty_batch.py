"""The front end for a batch without graphs: no values, and gradients of zeros.

theta may be an array, a tensor, a dict of arrays or tensors, or an empty list. From tensors, results are tensors.
z and omega are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dagdp.array_kinds import is_tensor
from dagdp.compiled.layout import leaves
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.inputs import Options, refuse_start
from dagdp.omega import Omega


def value(batch: CompiledBatch, theta: Any, omega: Omega | None, options: Options) -> Any:
    """An empty array: [*batch, 0] if theta is one array, else [0]."""
    refuse_start(options.start)
    first = _first(theta)
    return first[..., :0] if first is theta else first.reshape(-1)[:0]


def grad(batch: CompiledBatch, theta: Any, omega: Omega | None, options: Options) -> Any:
    """Zeros, shaped and keyed like theta."""
    refuse_start(options.start)
    return {key: 0.0 * block for key, block in theta.items()} if isinstance(theta, Mapping) else 0.0 * _first(theta)


def value_and_grad(batch: CompiledBatch, theta: Any, omega: Omega | None, options: Options) -> tuple[Any, Any]:
    """(`value`, `grad`)."""
    return value(batch, theta, omega, options), grad(batch, theta, omega, options)


def jvp(batch: CompiledBatch, theta: Any, z: Any, omega: Omega | None, options: Options) -> Any:
    """An empty array like `value`'s."""
    return value(batch, theta, omega, options)


def hvp(batch: CompiledBatch, theta: Any, z: Any, omega: Omega | None, options: Options) -> Any:
    """Zeros, shaped and keyed like theta."""
    return grad(batch, theta, omega, options)


def jvp_and_hvp(batch: CompiledBatch, theta: Any, z: Any, omega: Omega | None, options: Options) -> tuple[Any, Any]:
    """(`jvp`, `hvp`)."""
    return value_and_grad(batch, theta, omega, options)


def _first(theta: Any) -> Any:
    """The first array of theta, as floating numbers; an empty array for a list."""
    first = np.zeros(0) if isinstance(theta, list | tuple) else next(leaves(theta))
    return first if is_tensor(first) else np.asarray(first, float)
