"""Tensors without derivatives and tracers: computed by the NumPy bodies, on the blocks where they lie in memory.

`JoinedCall` in `functions.py` would copy all blocks into one tensor, and a shared block once for each item.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from dagdp.array_kinds import holds_foreign, on_accelerator
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.inputs import Options, checked, collect
from dagdp.nn.autograd import derivatives, operators
from dagdp.nn.autograd.tensors import NUMPYS, array_of, as_tensor, end_numbers, floating, result_dtype, start_numbers
from dagdp.omega import Omega


def tensors_of(*given: Any) -> list[Tensor]:
    """The tensors among the arguments, and among the values of dicts."""
    each = [block for one in given for block in (one.values() if isinstance(one, Mapping) else (one,))]
    return [block for block in each if isinstance(block, Tensor)]


def all_plain(dag: Any, *given: Any) -> bool:
    """True where all tensors are plain and on the CPU, one graph is given and no tracer is active.

    See `operators.unobserved`. Blocks may then stay separate, and shared blocks single, if no derivative but that of
    reverse mode can be taken.
    """
    if torch.compiler.is_compiling() or isinstance(dag, CompiledBatch):
        return False
    tensors = tensors_of(*given)
    if not operators.unobserved(*tensors) or any(map(holds_foreign, given)):
        return False
    return not any(map(on_accelerator, tensors))


def only_reverse_mode() -> bool:
    """True where only reverse mode can take a derivative: no forward mode and no transform of torch.func is active."""
    return forward_ad._current_level < 0 and not torch._C._are_functorch_transforms_active()


def without_derivatives(dag: Any, omega: Any, *given: Any) -> bool:
    """True where the operator is a constant, and no derivative by the tensors can be taken, nor a tracer sees them."""
    if not (omega is None or isinstance(omega, Omega)) or not all_plain(dag, *given):
        return False
    return not derivatives.differentiable(*tensors_of(*given))


def by_numpy(function: Callable[..., Any], dag: Any, given: tuple[Any, ...], omega: Any, options: Options) -> Any:
    """The results of `function`, of `dagdp.engine.run`, as tensors in the dtypes of `result_dtype`.

    given : theta, or theta and z.
    """
    tensors = tensors_of(*given)
    start, end = options.start, options.end
    formed = type(dag) is CompiledDAG and (len(dag.potentials) == 1 or all(isinstance(one, Mapping) for one in given))
    if (
        formed
        and start is None
        and end is None
        and all(type(t) in operators.PLAIN and t.dtype in NUMPYS for t in tensors)
    ):
        # the function checks its arguments, once for a form
        return _as_tensors(function(dag, *map(_arrays, given), omega, options))
    checked(dag, omega, options.threads)
    keyed, blocks, _ = collect(dag, given[0], "theta", as_tensor)
    parts = [blocks, *(collect(dag, z, "z", as_tensor)[1] for z in given[1:])]
    wide = any(floating(block).itemsize > 4 for part in parts for block in part)
    real = torch.float64 if wide else torch.float32
    names = [potential.name for potential in dag.potentials]
    arrays = [[array_of(block.to(real)) for block in part] for part in parts]
    made = function(
        dag,
        *(dict(zip(names, part, strict=True)) if keyed else part[0] for part in arrays),
        omega,
        options._replace(start=_numpy_nodes(dag, start, start_numbers), end=numpy_end(dag, end)),
    )
    dtypes = [result_dtype(block) for block in blocks]
    return _as_tensors(made, dict(zip(names, dtypes, strict=True)))


def numpy_end(dag: CompiledDAG, end: Any) -> Any:
    """`end=` for NumPy bodies, from a tensor, array or names."""
    return _numpy_nodes(dag, end, end_numbers)


def _numpy_nodes(dag: CompiledDAG, nodes: Any, numbered: Callable[[CompiledDAG, Any], Tensor | None]) -> Any:
    numbers = numbered(dag, nodes)
    if numbers is None or dag.named:
        return nodes.numpy(force=True) if isinstance(nodes, Tensor) else nodes
    return numbers.numpy(force=True)


def _arrays(given: Any) -> Any:
    """Tensors, also the values of a dict, as arrays on their memory; other values unchanged."""
    if isinstance(given, Mapping):
        return {name: array_of(block) if isinstance(block, Tensor) else block for name, block in given.items()}
    return array_of(given) if isinstance(given, Tensor) else given


def _as_tensors(made: Any, dtypes: dict[str | None, torch.dtype] | None = None) -> Any:
    """Tensors from values [*batch], from a gradient, or from a pair of both; cast if dtypes are given."""
    if isinstance(made, tuple):
        scalars, gradient = made
        return _scalars(scalars, dtypes), _gradient(gradient, dtypes)
    return _scalars(made, dtypes)


def _scalars(made: Any, dtypes: dict[str | None, torch.dtype] | None) -> Tensor:
    values = torch.from_numpy(np.asarray(made))
    return values if dtypes is None else values.to(functools.reduce(torch.promote_types, dtypes.values()))


def _gradient(made: Any, dtypes: dict[str | None, torch.dtype] | None) -> Any:
    """A gradient as tensors; each block of a dict has a dtype of its own."""
    if isinstance(made, dict):
        paths = {name: torch.from_numpy(path) for name, path in made.items()}
        return paths if dtypes is None else {name: path.to(dtypes[name]) for name, path in paths.items()}
    path = torch.from_numpy(made)
    return path if dtypes is None else path.to(next(iter(dtypes.values())))
