"""DTW with a band about each item's own corner line: one graph of the cells near the diagonal serves all items.

A strip holds the cells (i, j) with -left <= j - i <= right of its rows, wide enough for the bands of all items. Weights
are gathered into its cells, +inf where a cell is outside the item's own band: what is then left is that band's grid.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import CompiledDAG, Graph, InputError
from dagdp.graphs.builders import compiled
from dagdp.graphs.grid import Numbers, Rows, bounds, check_band, edges_of_rows
from dagdp.graphs.kept import power_of_two


def strip_grid(rows: int, left: int, right: int) -> Graph:
    """Moves diagonal, down, right over a strip's cells, each with an entry of its own: potential `cost` [cells].

    >>> strip_grid(3, 1, 0)
    Graph(6 nodes, 8 edges, potential cost (5,))
    """
    cells = _rows_of_strip(rows, left, right)
    return Graph.from_maker(
        _edges_of_strip,
        (rows, left, right),
        num_nodes=1 + cells.cells,
        num_edges=int(cells.edges().sum()),
        starts=[0],
        ends=[cells.cells],
        potentials={"cost": cells.cells},
    )


@dataclass(frozen=True, eq=False)
class Strip:
    """A strip's graph, and how weights [*batch, N_A, N_B] go in and out."""

    dag: CompiledDAG
    own: tuple[int, int]  # N_A, N_B
    end: Numbers  # [*lengths] the node where each item ends
    cell: Numbers  # [cells] where each cell lies in the flattened weights, 0 if nowhere
    inside: NDArray[np.bool_]  # [*lengths, cells] whether a cell belongs to the item's band

    def gathered(self, values: Any, outside: float, what: str = "theta") -> Any:
        """[*batch, cells] the weights of the strip's cells, `outside` where the item's band has none."""
        shape = tuple(np.shape(values))
        if shape[-2:] != self.own:
            raise InputError(f"{what} has shape {shape}; expected [*batch, {self.own[0]}, {self.own[1]}]")
        if _is_tensor(values):
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
        """[*batch, N_A, N_B] from [*batch, cells]: 0 where no cell is."""
        used = np.flatnonzero(self._exists)
        shape = *result.shape[:-1], self.own[0] * self.own[1]
        if _is_tensor(result):
            torch = sys.modules["torch"]
            places, kept = (torch.as_tensor(numbers, device=result.device) for numbers in (self.cell[used], used))
            return result.new_zeros(shape).index_add(-1, places, result[..., kept]).reshape(*shape[:-1], *self.own)
        made = np.zeros(shape, result.dtype)
        made[..., self.cell[used]] = result[..., used]
        return made.reshape(*shape[:-1], *self.own)

    @property
    def _exists(self) -> NDArray[np.bool_]:
        exists = np.append(True, self.cell[1:] > 0)
        return exists

    def _check(self, made: NDArray[Any], what: str, outside: float) -> None:
        """Name the first cell that is no cost in the user's own array: the engine would name the strip's."""
        fine = np.isfinite(made) if outside == 0 else made > -np.inf
        if not fine.all():
            *item, cell = (int(k) for k in np.argwhere(~fine)[0])
            place = [*item, *divmod(int(self.cell[cell]), self.own[1])]
            wanted = "a finite direction" if outside == 0 else "a number, or +inf where a cell is forbidden"
            raise InputError(f"{what}{place} is {made[(*item, cell)]}; expected {wanted}")


def strip_of(lengths: Any, own: tuple[int, int], band: int, batch: tuple[int, ...]) -> Strip:
    """The strip for items of these lengths, whose graph is shared by strips of up to twice its rows and widths."""
    check_band(band)
    n_a, n_b = _checked(lengths, own, batch)
    rows = power_of_two(int(n_a.max()))
    i = np.arange(rows)
    low, high = (bound.astype(np.int32) for bound in bounds(i, n_a[..., None], n_b[..., None], int(band)))
    reached = i < n_a[..., None]
    left, right = (int(np.where(reached, far, 0).max()) for far in (i - low, high - i))
    sizes = rows, min(power_of_two(max(left, 1)), rows), power_of_two(max(right, 1))
    strip = _rows_of_strip(*sizes)
    width = strip.high - strip.low + 1
    row = np.repeat(i, width)
    column = np.arange(width.sum()) - np.repeat(np.cumsum(width) - width - strip.low, width)
    exists = (row < own[0]) & (column < own[1])
    inside = reached[..., row] & (low[..., row] <= column) & (column <= high[..., row])
    end = strip.shift[n_a - 1] + n_b - 1
    cell = np.where(exists, row * own[1] + column, 0)
    return Strip(compiled(strip_grid, *sizes), own, end, cell, inside)


def _checked(lengths: Any, own: tuple[int, int], batch: tuple[int, ...]) -> tuple[Numbers, Numbers]:
    """(n_a, n_b) of one shape, in range, which fits the batch dimensions of the data."""
    made = []
    for k, (given, most) in enumerate(zip(lengths, own, strict=True)):
        numbers = np.asarray(given.numpy(force=True) if _is_tensor(given) else given)
        if numbers.dtype.kind not in "iu":
            raise InputError(f"lengths[{k}] has dtype {numbers.dtype}; expected integers, 1 to {most}")
        wrong = numbers[(numbers < 1) | (numbers > most)]
        if wrong.size:
            raise InputError(f"lengths[{k}] has {wrong.ravel()[0]}; expected 1 to {most}")
        made.append(numbers.astype(np.int64))
    try:
        n_a, n_b = np.broadcast_arrays(*made)
        np.broadcast_shapes(n_a.shape, batch)
    except ValueError:
        shapes = [numbers.shape for numbers in made]
        raise InputError(
            f"lengths have shapes {shapes} and the data has batch dimensions {batch}; expected shapes that broadcast"
        ) from None
    return n_a, n_b


def _rows_of_strip(rows: int, left: int, right: int) -> Rows:
    i = np.arange(rows, dtype=np.int64)
    return Rows(np.maximum(i - left, 0), i + right)


def _edges_of_strip(rows: int, left: int, right: int) -> tuple[Any, Any, list[Any]]:
    parents, children = edges_of_rows(_rows_of_strip(rows, left, right))
    return parents, children, [children - 1]


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
