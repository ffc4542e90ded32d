"""Numbers of rows gathered and added by place, in a fixed order on every device."""

from __future__ import annotations

from torch import Tensor

from dagdp.array_kinds import on_accelerator


def gathered(rows: Tensor, places: Tensor) -> Tensor:
    """rows[..., places]: [*batch, k] from [*batch, n].

    On a device its derivative is the sum of `added`; that of `index_select` uses atomics, whose order changes.
    """
    return rows[..., places] if on_accelerator(rows) else rows.index_select(-1, places)


def added(rows: Tensor, places: Tensor, size: int) -> Tensor:
    """[*batch, size]: zeros to which rows [*batch, k] are added at the places [k].

    On a device `index_add` uses atomics, and two calls differ in their last bits; `index_put` sorts the places.
    """
    whole = rows.new_zeros((*rows.shape[:-1], size))
    if not on_accelerator(rows):
        return whole.index_add(-1, places, rows)
    return whole.movedim(-1, 0).index_put((places,), rows.movedim(-1, 0), accumulate=True).movedim(0, -1)
