"""Names that kernel texts use, and that `dagdp.kernels.cuda.compilation.specialise` binds.

A text imports them from here, so that type checkers and readers know them. They have no values here: a text that runs
as it stands raises TypeError at the first one.
"""

from __future__ import annotations

from typing import Any, NoReturn

from dagdp.kernels.cuda.records import Variant


class Unbound:
    """A name without a value: any use raises TypeError."""

    def __init__(self, name: str) -> None:
        self.__dict__["name"] = name

    def _refuse(self, *_given: Any) -> NoReturn:
        name = self.__dict__["name"]
        raise TypeError(f"{name} was used in a kernel text as it stands; expected a text made by `specialised`")

    __bool__ = __call__ = __index__ = __float__ = __iter__ = _refuse
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _refuse
    __hash__ = None

    def __getattr__(self, attribute: str) -> NoReturn:
        if attribute.startswith("__"):  # Python's own questions, for example of pickle or inspect
            raise AttributeError(attribute)
        self._refuse()


def unbound(name: str) -> Any:
    """An `Unbound`, of any type."""
    return Unbound(name)


# What a kernel is specialised for: fields of `Variant`, and the kind of the operator. Their uses vanish from the text.
TANGENT: bool = unbound("TANGENT")
BACKWARD: bool = unbound("BACKWARD")
WEIGHTS: bool = unbound("WEIGHTS")
DECODE: bool = unbound("DECODE")
EDGE_BLOCKS: int = unbound("EDGE_BLOCKS")
NODE_BLOCKS: int = unbound("NODE_BLOCKS")
PAIRS: bool = unbound("PAIRS")
READERS: bool = unbound("READERS")
SHARED_RING: bool = unbound("SHARED_RING")
WARP: bool = unbound("WARP")
STARTS: bool = unbound("STARTS")
WIDE: int = unbound("WIDE")
TIED: int = unbound("TIED")
PARTS: int = unbound("PARTS")
MOVES: int = unbound("MOVES")
STAGED: bool = unbound("STAGED")
KEEPS: bool = unbound("KEEPS")
FIRST: bool = unbound("FIRST")  # the solver "first"
EXPONENTIAL: bool = unbound("EXPONENTIAL")  # the closed form

# What the namespace of a text gives.
REAL: Any = unbound("REAL")  # np.float32 or np.float64
REAL_TYPE: Any = unbound("REAL_TYPE")  # the type of numbers in shared memory
INTEGER: Any = unbound("INTEGER")  # np.int32: Numba widens every sum to 64 bits, of which a thread has half as many
NATURAL: Any = unbound("NATURAL")  # np.uint32: Numba takes a signed index from the array's end if it is negative
ZERO: Any = unbound("ZERO")
ONE: Any = unbound("ONE")
INFINITY: Any = unbound("INFINITY")
EPSILON: Any = unbound("EPSILON")
TINY: Any = unbound("TINY")  # the smallest normal number
LEAST: Any = unbound("LEAST")  # far above TINY: the least weight that the kernel of `tied` relies on
WARP_SIZE: int = unbound("WARP_SIZE")
cuda: Any = unbound("cuda")


def meet() -> None:
    """A barrier of the threads of an item: a block, or a warp where each warp has an item of its own."""
    unbound("meet")()


def static_values(variant: Variant, solver: str) -> dict[str, bool | int]:
    """What the static names mean for a variant and the solver of an operator."""
    fields = {name.upper(): value for name, value in variant._asdict().items()}
    first, exponential = solver == "first", solver == "exponential"
    kinds = {"FIRST": first, "EXPONENTIAL": exponential, "first_only": first, "exponential": exponential}
    return {**fields, "KEEPS": variant.keeps, **kinds}
