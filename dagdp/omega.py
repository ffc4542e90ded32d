"""The max_Ω family: a smoothed maximum is data plus three scalar functions.

For a separable Ω(q) = Σ ω(q_k) and a temperature γ, duality turns the maximum over the simplex into
a search for one number per node (docs/maths.md):

    max_γΩ(x) = min_τ τ + γ Σ_k ω*(y_k),   y_k = (x_k - τ)/γ,   q_k = link(y_k),   τ solves Σ_k q_k = 1

`conjugate` is ω*, the conjugate of ω restricted to q >= 0; `link` is its derivative, `slope` its
second derivative. This text is the only definition of an operator: the CPU kernels and the float64
reference are made from it. A user's operator is a class of the same
form, and needs no registration; `dagdp.testing.check_omega` verifies it.

Rules for the three functions: plain scalar Python, `math.*` and conditional expressions only, no
early surprise for large negative y (all three must return 0.0 there, or underflow to it). Float literals
are narrowed to the precision of the data when a kernel is compiled, so write `0.5`, not a dtype.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import math
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dagdp.errors import OmegaError
from dagdp.fingerprint import fingerprint

POINT_FUNCTIONS = ("conjugate", "link", "slope")
_serial = itertools.count()
_along_axis: list[Callable[[], Any]] = []


def along_axis() -> Any:
    """The module whose `maximum` and `weights` take max_Ω along an axis of an array: `dagdp.axis`.

    They run the engine, which stands above this file. dagdp/__init__.py, which stands above all, says where they are.
    """
    (module,) = _along_axis
    return module()


def register_along_axis(module: Callable[[], Any]) -> None:
    """Declare what `along_axis` returns."""
    _along_axis[:] = [module]


class Omega:
    """Base of every smoothed maximum. Subclass it as a frozen dataclass of floats; see docs/extending.md.

    Class attributes
    ----------------
    corner : ω'(1). One edge alone takes weight 1 at τ = x - γ·corner, which is where Newton starts.
        May be a property of the fields.
    solver : how τ is found. "newton" serves every convex link; "exponential" is a closed form, right
        only if link(y - t) = link(y)·exp(-t) and conjugate = link; "first" takes the first maximal edge.

    Example
    -------
    The Tsallis operator with α = 3/2, written by hand:

    >>> from dataclasses import dataclass
    >>> from dagdp.testing import check_omega
    >>> @dataclass(frozen=True)
    ... class Tsallis15(Omega):
    ...     gamma: float = 1.0
    ...     corner = 2.0 / 3.0
    ...
    ...     def link(self, y):
    ...         base = 0.5 * y + 2.0 / 3.0
    ...         return base * base if base > 0.0 else 0.0
    ...
    ...     def slope(self, y):
    ...         base = 0.5 * y + 2.0 / 3.0
    ...         return base if base > 0.0 else 0.0
    ...
    ...     def conjugate(self, y):
    ...         base = 0.5 * y + 2.0 / 3.0
    ...         return 2.0 / 3.0 * base * base * base if base > 0.0 else 0.0
    >>> check_omega(Tsallis15(0.5))
    """

    gamma: float
    corner: float = 1.0
    solver: ClassVar[str] = "newton"
    Data: ClassVar[Any]  #: the NamedTuple in which an instance travels into compiled kernels

    def __init_subclass__(cls, bundled: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        missing = [name for name in POINT_FUNCTIONS if not callable(getattr(cls, name, None))]
        if missing:
            raise OmegaError(
                f"{cls.__name__} defines no {' and no '.join(missing)}; a max_Ω needs the scalar methods "
                f"{', '.join(POINT_FUNCTIONS)}, each taking (self, y)"
            )
        if cls.solver not in ("newton", "exponential", "first"):
            raise OmegaError(f"{cls.__name__}.solver is {cls.solver!r}; expected 'newton', 'exponential' or 'first'")
        cls.Data = _data_type(cls, bundled)

    def __init__(self, *_given: Any, **_named: Any) -> None:
        """Only classes that are no dataclasses inherit this: `_parameters` raises OmegaError."""
        _parameters(self)

    def __post_init__(self) -> None:
        parameters = _parameters(self)
        self._check_gamma(list(parameters))
        for name, value in {"gamma": self.gamma, **parameters}.items():
            if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
                raise OmegaError(
                    f"{type(self).__name__}.{name} is {value!r}; expected a number, as float() or .item() makes it of "
                    "one in an array or text. For one that is learnt there is dagdp.nn.Learnable"
                )
        if not (self.gamma > 0 and math.isfinite(self.gamma)):
            raise OmegaError(
                f"{type(self).__name__} was given gamma={self.gamma!r}; expected a finite gamma > 0. "
                "For the unsmoothed maximum (gamma = 0) use HardMax()"
            )

    def max(self, x: Any, axis: int = -1) -> Any:
        """max_Ω(x) along an axis: an array, or a tensor, of x's type without that axis; in x's unit.

        x : scores [..., n, ...], arrays or tensors; -inf is never taken. A row of -inf alone has the value -inf. From
            torch twice differentiable. dp_value on one node, so equation (1) of the paper.

        Raises InputError (NaN or +inf, no such axis).

        Example
        -------
        >>> import numpy as np
        >>> import dagdp
        >>> x = np.array([[0.0, 0.0], [1.0, 3.0]])
        >>> dagdp.Negentropy(1.0).max(x).round(3).tolist()  # log-sum-exp
        [0.693, 3.127]
        """
        return along_axis().maximum(self, x, axis)

    def argmax(self, x: Any, axis: int = -1) -> Any:
        """∇max_Ω(x) along an axis, the weights q: shaped and typed like x, in [0, 1], with the sum 1 along the axis.

        The softmax of Negentropy(1.0), sparsemax of SquaredL2(1.0), 1.5-entmax of Tsallis(1.5); the first maximal entry
        of HardMax(). From torch differentiable once. A row of -inf alone has weights 0. Arguments and errors are those
        of `max`.

        Example
        -------
        >>> import numpy as np
        >>> import dagdp
        >>> dagdp.SquaredL2(1.0).argmax(np.array([0.0, 0.5, -2.0])).tolist()
        [0.25, 0.75, 0.0]
        """
        return along_axis().weights(self, x, axis)

    def data(self, real: Callable[[Any], Any] = float) -> Any:
        """The instance as a NamedTuple of scalars of type `real`: what kernels receive.

        Raises OmegaError where gamma or 1/gamma is no normal number of that type.
        """
        self._check_range(real)
        values = [getattr(self, name) for name in self.Data._fields]
        return self.Data(*(real(value) for value in values))

    def _check_gamma(self, fields: list[str]) -> None:
        if not hasattr(self, "gamma"):
            raise OmegaError(
                f"{type(self).__name__} has the fields {fields}; expected gamma, the temperature, among them: add "
                "`gamma: float = 1.0`"
            )

    def _check_range(self, real: Callable[[Any], Any]) -> None:
        self._check_gamma(list(vars(self)))  # a user's own __init__ may skip __post_init__
        kind = np.finfo(np.asarray(real(1.0)).dtype)
        least, most = float(kind.tiny), float(kind.max)
        gamma = float(self.gamma)
        if not (least <= gamma <= most and least <= 1.0 / gamma <= most):
            raise OmegaError(
                f"{type(self).__name__} was given gamma={self.gamma!r}, and potentials in {kind.dtype}; expected "
                f"gamma and 1/gamma between {least:.3g} and {most:.3g}, the normal numbers of that type. "
                f"{'Use float64, or divide' if kind.bits < 64 else 'Divide'} theta and gamma by one number"
            )


def _parameters(omega: Omega) -> dict[str, Any]:
    if not dataclasses.is_dataclass(omega):
        raise OmegaError(f"{type(omega).__name__} is not a dataclass; decorate it with @dataclass(frozen=True)")
    return {field.name: getattr(omega, field.name) for field in dataclasses.fields(omega)}


def _data_type(cls: type[Omega], bundled: bool) -> type:
    """A NamedTuple with the operator's fields, properties and three functions, importable as `cls.Data`."""
    fields: dict[str, None] = {"gamma": None, "corner": None}
    for base in reversed(cls.__mro__):
        for name, annotation in inspect.get_annotations(base).items():
            if "ClassVar" not in str(annotation):
                fields[name] = None
        fields.update((name, None) for name, value in base.__dict__.items() if isinstance(value, property))
    body = {name: getattr(cls, name) for name in POINT_FUNCTIONS}
    body.update(
        omega=cls, bundled=bundled, __slots__=(), __module__=cls.__module__, __qualname__=f"{cls.__qualname__}.Data"
    )
    # `label` names the class in this process. The type's name is part of the names of compiled functions, which may
    # come from another process. It has a digest of the operator, so that no two kernels share a name.
    serial = next(_serial)
    made_of = None if bundled else _made_of(cls, tuple(fields))
    body.update(label=cls.__name__ if bundled else f"{cls.__name__}_{serial}", made_of=made_of)
    name = cls.__name__ if bundled else f"{cls.__name__}_{made_of or serial}"
    return type(name, (namedtuple(name, list(fields)),), body)


def _made_of(cls: type[Omega], fields: tuple[str, ...]) -> str | None:
    """A digest of all that determines an operator's kernels, or None where it cannot be computed."""
    return fingerprint({name: getattr(cls, name) for name in POINT_FUNCTIONS}, fields, cls.solver)


def storable(data: Any) -> bool:
    """True where other processes may use kernels of this `Omega.Data`: its class is unchanged since it was made."""
    return data.made_of is not None and data.made_of == _made_of(data.omega, data._fields)


@dataclass(frozen=True)
class HardMax(Omega, bundled=True):
    """The plain maximum: weight 1 on the first edge, in the user's order, that attains it.

    The gradient is one best path, the Hessian product is 0. The three functions describe the limit, in which an edge at
    the maximum has y = 0. Only the solver "first" distinguishes the first of several such edges.
    """

    solver: ClassVar[str] = "first"
    corner = 0.0

    @property
    def gamma(self) -> float:  # type: ignore[override]
        """A temperature that no formula uses; 1 so that scores keep their unit."""
        return 1.0

    def conjugate(self, y: float) -> float:
        return 0.0

    def link(self, y: float) -> float:
        return 1.0 if y >= 0.0 else 0.0

    def slope(self, y: float) -> float:
        return 0.0


@dataclass(frozen=True)
class Negentropy(Omega, bundled=True):
    """Ω(q) = γ Σ q log q, so max_Ω(x) = γ log Σ exp(x_k/γ) and the weights are softmax(x/γ).

    The only operator for which smoothing every node equals smoothing over whole paths (Proposition 2):
    DP_Ω is γ times the log partition function and the expected path is that of a CRF.

    gamma : temperature, > 0, in the unit of the potentials.
    """

    gamma: float = 1.0
    solver: ClassVar[str] = "exponential"

    def conjugate(self, y: float) -> float:
        return math.exp(y - 1.0)

    def link(self, y: float) -> float:
        return math.exp(y - 1.0)

    def slope(self, y: float) -> float:
        return math.exp(y - 1.0)


@dataclass(frozen=True)
class SquaredL2(Omega, bundled=True):
    """Ω(q) = (γ/2) ||q||², the paper's sparse operator: weights are the projection of x/γ on the simplex.

    Every visited node pays γ/2, also where it has a single parent. Splitting an edge or adding a relay node therefore
    changes the value. `Tsallis(2.0, gamma)` has equal weights, and Ω = 0 at the corners of the simplex.

    gamma : temperature, > 0; smaller is sparser.
    """

    gamma: float = 1.0

    def conjugate(self, y: float) -> float:
        return 0.5 * y * y if y > 0.0 else 0.0

    def link(self, y: float) -> float:
        return y if y > 0.0 else 0.0

    def slope(self, y: float) -> float:
        return 1.0 if y > 0.0 else 0.0


@dataclass(frozen=True)
class Tsallis(Omega, bundled=True):
    """Ω(q) = γ Σ (q^α - q) / (α (α - 1)): from entropy (α → 1) to squared norm (α = 2), sparse for α > 1.

    Ω is 0 at the corners of the simplex, so a node with one parent passes its score on unchanged.

    In float32 the flow along 1,000 nodes sums to 1 up to 1e-5 for alpha >= 1.5 and up to 5e-5 for alpha >= 1.1. Nearer
    to 1 the argument of link grows as 1/(alpha - 1), and is rounded more coarsely (7.5e-4 at 1.01): take float64.

    alpha : 1 < alpha <= 2.  gamma : temperature, > 0.
    """

    alpha: float = 1.5
    gamma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1.0 < self.alpha <= 2.0:
            raise OmegaError(
                f"Tsallis was given alpha={self.alpha!r}; expected 1 < alpha <= 2. "
                "The limit alpha = 1 is Negentropy(gamma)"
            )

    @property
    def corner(self) -> float:  # type: ignore[override]
        """ω'(1) = 1/α."""
        return 1.0 / self.alpha

    def link(self, y: float) -> float:
        base = (self.alpha - 1.0) * y + 1.0 / self.alpha
        return math.exp(math.log(base) / (self.alpha - 1.0)) if base > 0.0 else 0.0

    def slope(self, y: float) -> float:
        base = (self.alpha - 1.0) * y + 1.0 / self.alpha
        return math.exp(math.log(base) / (self.alpha - 1.0)) / base if base > 0.0 else 0.0

    def conjugate(self, y: float) -> float:
        # q y - ω(q) with q = base^(1/(α-1)) and ω(q) = q (base - 1)/(α (α-1)), collected
        base = (self.alpha - 1.0) * y + 1.0 / self.alpha
        return base * math.exp(math.log(base) / (self.alpha - 1.0)) / self.alpha if base > 0.0 else 0.0

    def data(self, real: Callable[[Any], Any] = float) -> Any:
        """`Omega.data`. For alpha = 1.5, the usual choice, kernels without exp and log are used."""
        self._check_range(real)
        return super().data(real) if self.alpha != 1.5 else _Tsallis15(self.gamma).data(real)


@dataclass(frozen=True)
class _Tsallis15(Omega, bundled=True):
    """Tsallis(1.5, gamma)."""

    gamma: float = 1.0
    corner = 2.0 / 3.0

    def link(self, y: float) -> float:
        base = 0.5 * y + 2.0 / 3.0
        return base * base if base > 0.0 else 0.0

    def slope(self, y: float) -> float:
        base = 0.5 * y + 2.0 / 3.0
        return base if base > 0.0 else 0.0

    def conjugate(self, y: float) -> float:
        base = 0.5 * y + 2.0 / 3.0
        return 2.0 / 3.0 * base * base * base if base > 0.0 else 0.0
