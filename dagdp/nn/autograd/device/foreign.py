"""Device arrays of other libraries, such as CuPy's: they come in through DLPack and go out as they came."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from dagdp.array_kinds import is_foreign
from dagdp.engine.inputs import Options
from dagdp.nn.autograd.device import accelerator

#: Where a library has its `from_dlpack`, if that is not its top module.
HOMES = {"jax": "jax.dlpack", "jaxlib": "jax.dlpack"}


class ForeignFrontEnd:
    """The functions of a front end, for device arrays of other libraries. Results have no derivatives.

    inner : the front end for tensors. An array becomes a tensor on its memory, and a result an array of its library, or
    a tensor where that has no from_dlpack.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def value(self, dag: Any, theta: Any, omega: Any, options: Options) -> Any:
        """DP_Ω(θ). See `dagdp.dp_value`."""
        return self._run("value", dag, (theta,), omega, options)

    def grad(self, dag: Any, theta: Any, omega: Any, options: Options) -> Any:
        """∇DP_Ω(θ). See `dagdp.dp_grad`."""
        return self._run("grad", dag, (theta,), omega, options)

    def value_and_grad(self, dag: Any, theta: Any, omega: Any, options: Options) -> Any:
        """(`value`, `grad`)."""
        return self._run("value_and_grad", dag, (theta,), omega, options)

    def jvp(self, dag: Any, theta: Any, z: Any, omega: Any, options: Options) -> Any:
        """<∇DP_Ω(θ), Z>. See `dagdp.dp_jvp`."""
        return self._run("jvp", dag, (theta, z), omega, options)

    def hvp(self, dag: Any, theta: Any, z: Any, omega: Any, options: Options) -> Any:
        """∇²DP_Ω(θ) Z. See `dagdp.dp_hvp`."""
        return self._run("hvp", dag, (theta, z), omega, options)

    def jvp_and_hvp(self, dag: Any, theta: Any, z: Any, omega: Any, options: Options) -> Any:
        """(`jvp`, `hvp`)."""
        return self._run("jvp_and_hvp", dag, (theta, z), omega, options)

    def _run(self, name: str, dag: Any, given: tuple[Any, ...], omega: Any, options: Options) -> Any:
        first = next(leaf for values in given for leaf in _leaves(values) if is_foreign(leaf))
        tensors = [as_tensors(values) for values in given]
        options = options._replace(start=as_tensors(options.start), end=as_tensors(options.end))
        return handed_back(getattr(self.inner, name)(dag, *tensors, omega, options), importer_of(first))


def as_tensors(values: Any) -> Any:
    """Device arrays of other libraries, also in dicts and lists, as tensors on their memory; other values unchanged."""
    if isinstance(values, Mapping):
        return {name: as_tensors(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [as_tensors(value) for value in values]
    return accelerator.from_dlpack(values) if is_foreign(values) else values


def importer_of(array: Any) -> Callable[[Tensor], Any] | None:
    """`from_dlpack` of the array's library; None where it has none."""
    library = type(array).__module__.partition(".")[0]
    return getattr(sys.modules.get(HOMES.get(library, library)), "from_dlpack", None)


def handed_back(made: Any, importer: Callable[[Tensor], Any] | None) -> Any:
    """Tensors, also in dicts and lists, as arrays of the library; tensors where it has no from_dlpack."""
    if isinstance(made, dict):
        return {name: handed_back(value, importer) for name, value in made.items()}
    if isinstance(made, list | tuple):
        return type(made)(handed_back(value, importer) for value in made)
    return made if importer is None else importer(made.detach())


def _leaves(values: Any) -> Iterator[Any]:
    if isinstance(values, Mapping | list | tuple):
        for value in values.values() if isinstance(values, Mapping) else values:
            yield from _leaves(value)
    else:
        yield values
