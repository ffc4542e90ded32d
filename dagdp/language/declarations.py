"""What the keywords of `dagdp.recurrence` declare: indices with their values, and data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.array_kinds import plain_array
from dagdp.errors import GraphError, InputError

#: Names that have a meaning in every text.
RESERVED = ("max", "min", "when", "abs")


@dataclass(frozen=True)
class Declarations:
    """Indices and data by name."""

    indices: Mapping[str, NDArray[np.int64]]  # {name: its values, in order}
    data: Mapping[str, NDArray[Any]]

    def __contains__(self, name: object) -> bool:
        return name in self.indices or name in self.data

    @property
    def names(self) -> tuple[str, ...]:
        """All names, indices first."""
        return (*self.indices, *self.data)

    def role(self, name: str) -> str:
        """What a declared name is, for error messages."""
        if name in self.indices:
            values = self.indices[name]
            return f"an index of {values.size} values"
        return f"data of shape {self.data[name].shape}"

    def extent(self, name: str) -> int:
        """The length of an axis on which this index stands alone: its largest value plus one."""
        return max(0, int(self.indices[name].max()) + 1)


def declared(keywords: Mapping[str, Any]) -> Declarations:
    """The declarations of the keywords. Raises GraphError for a value that declares nothing."""
    indices: dict[str, NDArray[np.int64]] = {}
    data: dict[str, NDArray[Any]] = {}
    for name, value in keywords.items():
        if name in RESERVED:
            raise GraphError(f"{name}= declares a name that every text knows as a function; choose another name")
        values = _values(value)
        if values is None:
            data[name] = _data(name, value)
            continue
        if values.size == 0:
            raise GraphError(
                f"{name}={value!r} has no value; expected an index of at least one value, such as {name}=3"
            )
        indices[name] = values
    return Declarations(indices, data)


def _values(value: Any) -> NDArray[np.int64] | None:
    """The values of an index; None if the keyword declares no index."""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | np.integer):
        return np.arange(int(value))
    if isinstance(value, range):
        return np.arange(value.start, value.stop, value.step)
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(one, int | np.integer) for one in value):
        return np.arange(int(value[0]), int(value[1]))
    return None


def _data(name: str, value: Any) -> NDArray[Any]:
    expected = (
        "expected an index (a number n, a range, or a pair of numbers) or data (a list or an array of numbers). A name "
        "whose numbers theta holds is a potential, and is not declared"
    )
    if isinstance(value, str | tuple) or value is None:
        raise GraphError(f"{name}={value!r} declares nothing; {expected}")
    try:
        array = plain_array(value, name)
    except InputError as error:
        raise GraphError(str(error)) from None
    if array.dtype.kind not in "biuf":
        raise GraphError(f"{name} has dtype {array.dtype}; {expected}")
    made = array.astype(np.int64) if array.dtype.kind in "iu" else array.copy()
    made.flags.writeable = False
    return made
