"""Results that are not finite: items without a path, and sums beyond the largest float."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.errors import InputError


def refuse_infeasible(values: NDArray[Any], sign: float) -> None:
    """Raise InputError with the numbers of the items without a path: those of value -inf, +inf when minimising.

    values : [*batch].  sign : 1 for scores, -1 for costs.
    """
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
    """Raise InputError for a number that is NaN or infinite because finite weights sum beyond the largest float.

    what : the name of the numbers in the message.  numbers : [*batch].
    sign : 1 for scores, which may be -inf; -1 for costs, which may be +inf; 0 for numbers that must be finite.
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
    """The numbers in the user's dtype. Raises InputError where float16, computed in float32, cannot hold a number."""
    if dtype.itemsize >= numbers.dtype.itemsize:
        return numbers.astype(dtype, copy=False)
    with np.errstate(over="ignore"):
        made = numbers.astype(dtype)
    if (np.isinf(made) & np.isfinite(numbers)).any():
        refuse_overflow(what, np.where(np.isfinite(numbers), made, 0), 0)
    return made


def refuses(on_infeasible: Any) -> bool:
    """Whether an item without a path is an error. Raises InputError for an option other than "value" and "raise"."""
    if on_infeasible not in ("value", "raise"):
        raise InputError(f"on_infeasible is {on_infeasible!r}; expected 'value' (-inf, gradient 0) or 'raise'")
    return bool(on_infeasible == "raise")
