"""Values that are no numbers: items without a path, and sums beyond the largest float."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.errors import InputError


def refuse_infeasible(values: NDArray[Any], sign: float) -> None:
    """Raise InputError that names the items of value -inf (+inf when minimising): there is no path."""
    infeasible = values == -sign * np.inf
    if not infeasible.any():
        return
    places = [", ".join(map(str, place)) for place in np.argwhere(infeasible)[:5].tolist()]
    more = int(infeasible.sum()) - len(places)
    several = len(places) > 1
    items = f"item{'s' if several else ''} {'; '.join(places)}{f' and {more} more' if more else ''}"
    named = f"{items} {'have' if several else 'has'}" if infeasible.ndim else "there is"
    raise InputError(
        f"{named} no path: no start reaches the end, or every path takes a forbidden edge (-inf, or +inf when "
        "minimising); expected a path for every item, as on_infeasible='raise' was given. Leave that out to have "
        "values of -inf (+inf) and gradients of 0"
    )


def refuse_overflow(what: str, numbers: NDArray[Any], sign: float) -> None:
    """Raise InputError where finite weights had a sum beyond the largest float: NaN, or an infinity.

    sign : 1 for scores, which may be -inf, -1 for costs, which may be +inf, 0 for what must be finite.
    """
    wrong = ~np.isfinite(numbers) & ~((sign * numbers == -np.inf) if sign else np.zeros(numbers.shape, bool))
    if wrong.any():
        item = ", ".join(map(str, np.argwhere(wrong)[0].tolist()))
        raise InputError(
            f"the {what}{f' of item {item}' if item else ''} is not finite: the weights along a path sum to more than "
            f"{np.finfo(numbers.dtype).max:.2g}, the largest {numbers.dtype}; expected sums that fit. "
            "Pass float64, or divide theta and gamma by one factor"
        )


def narrowed(what: str, numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The numbers in the user's dtype; InputError where it cannot hold one: half types are computed in float32."""
    if dtype.itemsize >= numbers.dtype.itemsize:
        return numbers.astype(dtype, copy=False)
    with np.errstate(over="ignore"):
        made = numbers.astype(dtype)
    if (np.isinf(made) & np.isfinite(numbers)).any():
        refuse_overflow(what, np.where(np.isfinite(numbers), made, 0), 0)
    return made


def refuses(on_infeasible: Any) -> bool:
    """Whether items without a path are an error, from the option of that name."""
    if on_infeasible not in ("value", "raise"):
        raise InputError(f"on_infeasible is {on_infeasible!r}; expected 'value' (-inf, gradient 0) or 'raise'")
    return bool(on_infeasible == "raise")
