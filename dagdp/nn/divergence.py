"""DTW as a divergence between series: 0 where they are equal."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from dagdp.errors import InputError
from dagdp.graphs import dtw_value
from dagdp.nn.costs import Cost, squared_euclidean
from dagdp.nn.fitted import check_options
from dagdp.nn.losses import reduced
from dagdp.omega import Omega


def dtw_divergence(
    x: Any,
    y: Any,
    omega: Omega | None = None,
    *,
    cost: Cost = squared_euclidean,
    lengths: Any = None,
    reduction: str = "mean",
    **options: Any,
) -> Tensor:
    """D(x, y) = DTW_Ω(x, y) - ½ DTW_Ω(x, x) - ½ DTW_Ω(y, y): 0 for equal series, differentiable in both.

    Soft-DTW may be negative, and is not least at equal series (docs/faq.md); D corrects that. A tensor [*batch], or a
    single number by `reduction`, in the unit of the costs.

    x, y : series [*batch, N, D] and [*batch, M, D].
    cost : from `dagdp.nn.costs`, or a function of two series that returns [*batch, N, M] and is symmetric.
    lengths : (n_x, n_y), each a number or [*batch]: how many frames count. Later frames may hold NaN.
    reduction : "mean", "sum" or "none".
    options : band=, steps=, window=, penalty=, threads= and backend= of `dagdp.graphs.dtw_value`. Steps and a window
        that favour one series make D(x, y) differ from D(y, x).

    Raises InputError for unknown options, shapes and lengths.

    >>> import torch
    >>> x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    >>> dtw_divergence(x, x).item(), bool(dtw_divergence(x, x + 1.0) > 0)
    (0.0, True)
    """
    check_options("dtw_divergence", options, {"band", "steps", "window", "penalty", "threads", "backend"})
    if lengths is not None and (not isinstance(lengths, list | tuple) or len(lengths) != 2):
        raise InputError(f"lengths is {lengths!r}; expected a pair (n_x, n_y), each a number or [*batch]")
    n_x, n_y = (None, None) if lengths is None else lengths

    def between(a: Any, b: Any, n_a: Any, n_b: Any) -> Tensor:
        both = None if lengths is None else (n_a, n_b)
        return dtw_value(cost(a, b), omega, lengths=both, **options)

    bias = between(x, x, n_x, n_x) + between(y, y, n_y, n_y)
    return reduced(between(x, y, n_x, n_y) - 0.5 * bias, reduction)
