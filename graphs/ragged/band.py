"""DTW with a band and lengths: one graph of the cells near the diagonal serves items with different bands.

The diagonal grid has the cells (i, j) with -left <= j - i <= right, wide enough for the bands of all items. Weights are
gathered into its cells, +inf where a cell is outside the item's own band, which leaves the grid of that band.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import CompiledDAG, Graph, InputError
from dagdp.graphs.alignment_grid import Numbers, Rows, bounds, check_band
from dagdp.graphs.ragged.arrays import is_tensor
from dagdp.graphs.ragged.compiled_cache import compiled, power_of_two
from dagdp.graphs.ragged.given import pair_of_lengths


def diagonal_grid(rows: int, left: int, right: int) -> Graph:
    """The cells (i, j) with -left <= j - i <= right; moves diagonal, down, right; potential `cost` [cells].

    >>> diagonal_grid(3, 1, 0)
    Graph(6 nodes, 8 edges, potential cost (5,))
    """
    cells = _diagonal_rows(rows, left, right)
    return cells.graph((int(cells.width.sum()),), "c")


@dataclass(frozen=True, eq=False)
class RaggedBand:
    """A diagonal grid, and the map between its cells and weights [*batch, N_A, N_B]."""

    dag: CompiledDAG
    own: tuple[int, int]  # N_A, N_B
    end: Numbers  # [*lengths] the node where each item ends
    cell: Numbers  # [cells] index of each cell in the flattened weights, 0 for a cell outside the matrix
    inside: NDArray[np.bool_]  # [*lengths, cells] whether a cell belongs to the item's band

    def gathered(self, values: Any, outside: float, what: str = "theta") -> Any:
        """[*batch, cells] the weights of the cells; `outside` for cells that are not in the item's band."""
        shape = tuple(np.shape(values))
        if shape[-2:] != self.own:
            raise InputError(f"{what} has shape {shape}; expected [*batch, {self.own[0]}, {self.own[1]}]")
        if is_tensor(values):
            torch, given = sys.modules["torch"], values if values.is_floating_point() else values.double()
            flat = given.reshape(*shape[:-2], -1)
            taken = flat[..., torch.as_tensor(self.cell, device=values.device)]
            return torch.where(torch.as_tensor(self.inside, device=values.device), taken, outside)
        given = np.asarray(values)
        given = given if given.dtype.kind == "f" else given.astype(np.float64)
        taken = given.reshape(*shape[:-2], -1)[..., self.cell]
        made = np.where(self.inside, taken, given.dtype.type(outside))
        self._check(made, what, outside)
        return made

    def spread(self, result: Any) -> Any:
        """[*batch, cells] as [*batch, N_A, N_B], with 0 where no cell is."""
        used = np.flatnonzero(self._exists)
        shape = *result.shape[:-1], self.own[0] * self.own[1]
        if is_tensor(result):
            torch = sys.modules["torch"]
            places, cells = (torch.as_tensor(numbers, device=result.device) for numbers in (self.cell[used], used))
            return result.new_zeros(shape).index_add(-1, places, result[..., cells]).reshape(*shape[:-1], *self.own)
        made = np.zeros(shape, result.dtype)
        made[..., self.cell[used]] = result[..., used]
        return made.reshape(*shape[:-1], *self.own)

    @property
    def _exists(self) -> NDArray[np.bool_]:
        exists = np.append(True, self.cell[1:] > 0)
        return exists

    def _check(self, made: NDArray[Any], what: str, outside: float) -> None:
        """Name the first bad number by its place in the user's array; the engine would name the cell of the graph."""
        fine = np.isfinite(made) if outside == 0 else made > -np.inf
        if not fine.all():
            *item, cell = (int(k) for k in np.argwhere(~fine)[0])
            place = [*item, *divmod(int(self.cell[cell]), self.own[1])]
            wanted = "a finite direction" if outside == 0 else "a number, or +inf where a cell is forbidden"
            raise InputError(f"{what}{place} is {made[(*item, cell)]}; expected {wanted}")


def ragged_band(lengths: Any, own: tuple[int, int], band: int, batch: tuple[int, ...]) -> RaggedBand:
    """The band of each item of these lengths, on a diagonal grid whose rows and widths are rounded to powers of two."""
    check_band(band)
    n_a, n_b = pair_of_lengths(lengths, own, batch)
    rows = power_of_two(int(n_a.max()))
    i = np.arange(rows)
    low, high = (bound.astype(np.int32) for bound in bounds(i, n_a[..., None], n_b[..., None], int(band)))
    reached = i < n_a[..., None]
    left, right = (int(np.where(reached, far, 0).max()) for far in (i - low, high - i))
    sizes = rows, min(power_of_two(max(left, 1)), rows), power_of_two(max(right, 1))
    grid = _diagonal_rows(*sizes)
    row, column = grid.places()
    exists = (row < own[0]) & (column < own[1])
    inside = reached[..., row] & (low[..., row] <= column) & (column <= high[..., row])
    dag = compiled(diagonal_grid, *sizes)
    end = dag.cell("v", grid.shift[n_a - 1] + n_b - 1)
    cell = np.where(exists, row * own[1] + column, 0)
    return RaggedBand(dag, own, end, cell, inside)


def _diagonal_rows(rows: int, left: int, right: int) -> Rows:
    i = np.arange(rows, dtype=np.int64)
    return Rows(np.maximum(i - left, 0), i + right)
