"""Pairs of sequences on a graph of alignments: theta from scores and prices of gaps, and gradients in their shapes.

The graph may be larger than the data, and an item may be smaller than the data. In global mode each item has an end of
its own, and nothing behind this end is read. In other modes entries outside an item are -inf.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import CompiledDAG, InputError
from dagdp.graphs.alignment import alignment_of_items, check_choices
from dagdp.graphs.ragged.arrays import is_tensor
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.given import pair_of_lengths
from dagdp.graphs.ragged.padding import cut, padded, sizes

Numbers = NDArray[np.int64]
Shape = tuple[int, ...]
Mask = NDArray[np.bool_]
EDGES = 36  # 9 of a cell of three tables, each of which takes 4 times as long to compile as an edge of the DTW grid


class Arrays(NamedTuple):
    """The kind of arrays that a call computes with: of NumPy, or of torch on a device."""

    dtype: Any
    device: Any  # None for NumPy

    def made(self, values: Any) -> Any:
        """Values as an array of this kind; a tensor keeps its derivative."""
        if self.device is None:
            return np.asarray(values, self.dtype)
        return sys.modules["torch"].as_tensor(values, dtype=self.dtype, device=self.device)

    def chosen(self, where: Mask, values: Any, other: float) -> Any:
        """The values, and `other` where `where` is False."""
        if self.device is None:
            return np.where(where, values, self.dtype.type(other))
        torch = sys.modules["torch"]
        return torch.where(torch.as_tensor(where, device=self.device), values, other)

    def spread(self, values: Any, shape: Shape) -> Any:
        """The values, broadcast."""
        return np.broadcast_to(values, shape) if self.device is None else values.expand(shape)


class Price(NamedTuple):
    """A price of gaps as given, and the axes that it has on the way to theta: [..., 1, 1] for a price by item."""

    given: Shape
    values: Any

    def among_cells(self) -> Price:
        """A price by item, beside prices by cell."""
        return Price(self.given, self.values[..., None, None])

    def batch(self, by_cell: bool) -> Shape:
        """The batch axes."""
        shape = tuple(self.values.shape)
        return shape[:-2] if by_cell else shape

    def gathered(self, gradient: Any) -> Any:
        """The gradient by the values as given: the sum over the axes to which they were broadcast."""
        extra = gradient.ndim - self.values.ndim
        made = gradient.sum(tuple(range(extra))) if extra else gradient
        for axis, size in enumerate(self.values.shape):
            if size == 1 and made.shape[axis] > 1:
                made = made.sum(axis, keepdims=True)
        return made.reshape(self.given)


class PairGraph(NamedTuple):
    """A graph of alignments, and the map between its theta and scores [*batch, N, M]."""

    dag: CompiledDAG
    own: Shape  # N, M
    size: Shape  # of the potential `score`
    mode: str
    n: Numbers  # [*lengths] letters of the first sequence, of the second
    m: Numbers
    batch: Shape
    arrays: Arrays
    scores: Any
    prices: tuple[Price, ...]
    by_cell: bool  # whether the graph has a price for each cell

    @property
    def end(self) -> Any:
        """`end=` of the items; None where the graph has one end."""
        if self.mode != "global":
            return self.dag.cell("done", self.n) if "inside" in self._blocks else None
        return self.dag.cell("H", self.n, self.m) if self._one_table else self.dag.cell("M", self.n + 1, self.m + 1)

    def theta(self) -> dict[str, Any]:
        """The blocks of theta."""
        score = padded(self.scores, self.own, self.size)
        if self.mode != "global":
            score = self._only_inside(score, -np.inf)
        else:
            score = self._without_end(score)
        names = ("gap",) if self._one_table else ("gap_open", "gap_extend")
        prices = {name: self._price(price) for name, price in zip(names, self.prices * 2, strict=False)}
        return {"score": self._by_item(score, 2)} | prices | self._ends()

    def direction(self, z: Any, theta: dict[str, Any]) -> dict[str, Any]:
        """A direction in scores [*batch, N, M], as theta: 0 for all other blocks."""
        shape = tuple(np.shape(z))
        if shape[-2:] != self.own:
            raise InputError(f"z has shape {shape}; expected [*batch, {self.own[0]}, {self.own[1]}]")
        made = self._only_inside(padded(self.arrays.made(z), self.own, self.size, "z"), 0.0)
        zeros = {name: self.arrays.made(np.zeros(tuple(block.shape))) for name, block in theta.items()}
        return zeros | {"score": self._by_item(made, 2)}

    def result(self, made: dict[str, Any]) -> Any:
        """The gradient, or the Hessian product, by scores: [*batch, N, M]."""
        return cut(self._without_end(made["score"]), self.own)

    def gap_gradients(self, made: dict[str, Any]) -> tuple[Any, Any]:
        """The gradients by gap_open and gap_extend, in the shapes of these arguments; None where one is None."""
        blocks = [block for name, block in made.items() if name.startswith("gap")]
        blocks = [cut(block, self.own) for block in blocks] if self.by_cell else blocks
        if len(self.prices) == 1:
            return self.prices[0].gathered(sum(blocks[1:], start=blocks[0])), None
        first, more = (price.gathered(block) for price, block in zip(self.prices, blocks, strict=True))
        return first, more

    def _without_end(self, values: Any) -> Any:
        """Values [*batch, *size], with 0 for the pair behind the last letters at which a global alignment ends."""
        if self.mode != "global" or self._one_table or not self._ragged:
            return values
        i, j = self._places(self.size)
        return self.arrays.chosen((i != self.n[..., None, None]) | (j != self.m[..., None, None]), values, 0.0)

    @property
    def _ragged(self) -> bool:
        """Whether an item may be smaller than the data, or the data than the graph."""
        return self.n.ndim > 0 or self.size != self.own or (int(self.n), int(self.m)) != self.own

    @property
    def _blocks(self) -> tuple[str | None, ...]:
        return tuple(potential.name for potential in self.dag.potentials)

    @property
    def _one_table(self) -> bool:
        return self.mode == "global" and len(self.prices) == 1

    def _price(self, price: Price) -> Any:
        axes = 2 if self.by_cell else 0
        values = price.values
        if self.by_cell:
            values = padded(self.arrays.spread(values, (*tuple(values.shape[:-2]), *self.own)), self.own, self.size)
            values = self._only_inside(values, -np.inf) if self.mode != "global" else values
        return values if values.ndim == axes else self._by_item(values, axes)

    def _ends(self) -> dict[str, Any]:
        """The blocks that say where items may end: see `dagdp.graphs.alignment.alignment_of_items`."""
        n, m = self.n[..., None, None], self.m[..., None, None]
        i, j = self._places((self.size[0] + 1, self.size[1] + 1))
        if "inside" in self._blocks:
            return {"inside": self._allowed((j <= m)[..., 0, :], 1)}
        if "last" in self._blocks:
            bottom, right = (i == n) & (j < m), (i < n) & (j == m)
            return {"last": self._allowed(np.stack([bottom | right | ((i == n) & (j == m)), bottom, right], -3), 3)}
        return {}

    def _allowed(self, where: Mask, axes: int) -> Any:
        """0 where an item may end, and -inf elsewhere. Items of one length share a block."""
        made = self.arrays.made(np.where(where, 0.0, -np.inf))
        return self._by_item(made, axes) if self.n.ndim else made

    def _only_inside(self, values: Any, outside: float) -> Any:
        """Values [*batch, *size] of the items, and `outside` elsewhere."""
        if not self._ragged:
            return values
        i, j = self._places(self.size)
        return self.arrays.chosen((i < self.n[..., None, None]) & (j < self.m[..., None, None]), values, outside)

    def _by_item(self, values: Any, axes: int) -> Any:
        """Values expanded to the batch; the last `axes` axes belong to an item."""
        return self.arrays.spread(values, (*self.batch, *tuple(values.shape)[values.ndim - axes :]))

    @staticmethod
    def _places(shape: Shape) -> tuple[Numbers, Numbers]:
        i, j = np.ogrid[: shape[0], : shape[1]]
        return i, j


def pair_graph(scores: Any, gaps: tuple[Any, ...], mode: str, lengths: Any, more: Shape = ()) -> PairGraph:
    """The graph for scores [*batch, N, M].

    gaps : (gap_open, gap_extend), or (gap_open,) for linear gaps. more : batch axes of other arrays.

    Raises InputError for shapes that do not fit, GraphError for an unknown mode.
    """
    check_choices(mode, "affine")
    scores, arrays = _kind(scores, gaps)
    own = sizes(scores, 2)
    items = tuple(scores.shape[:-2])
    named = zip(("gap_open", "gap_extend"), gaps, strict=False)
    prices, cells = zip(*(_price(name, arrays.made(gap), items, own) for name, gap in named), strict=True)
    by_cell = any(cells)
    prices = tuple(
        price.among_cells() if by_cell and not cell else price for price, cell in zip(prices, cells, strict=True)
    )
    n, m = _lengths(lengths, own, items)
    batch = _batch(items, n.shape, more, *(price.batch(by_cell) for price in prices))
    one_table = mode == "global" and len(gaps) == 1
    behind = 1 if mode == "global" and not one_table else 0  # a pair behind the last letters: the end of the item
    options, masked = (mode, "linear" if one_table else "affine", by_cell), mode in ("semiglobal", "overlap")
    dag = compiled(
        alignment_of_items,
        *(own[0] + behind, own[1] + behind, *options, masked and lengths is not None),
        axes=2,
        grown=(*options, masked),
        edges=EDGES,
    )
    size = next(potential.shape for potential in dag.potentials if potential.name == "score")
    return PairGraph(dag, own, size, mode, n, m, batch, arrays, scores, prices, by_cell)


def _kind(scores: Any, gaps: tuple[Any, ...]) -> tuple[Any, Arrays]:
    """Scores as an array or, where one of the arguments is a tensor, as a tensor; floating-point numbers."""
    tensor = next((given for given in (scores, *gaps) if is_tensor(given)), None)
    if isinstance(scores, np.ma.MaskedArray):
        raise InputError("scores are a masked array; expected numbers, with -inf for a pair that is forbidden")
    if tensor is None:
        made = np.asarray(scores)
        made = made if made.dtype.kind == "f" else made.astype(np.float64)
    else:
        made = sys.modules["torch"].as_tensor(scores, device=tensor.device)
        made = made if made.is_floating_point() else made.double()
    if made.ndim < 2 or 0 in tuple(made.shape[-2:]):
        raise InputError(f"scores have shape {tuple(made.shape)}; expected [*batch, N, M], with a letter or more")
    return made, Arrays(made.dtype, None if tensor is None else made.device)


def _price(name: str, values: Any, items: Shape, own: Shape) -> tuple[Price, bool]:
    """A price of gaps, and whether it was given for each cell: [*batch, N, M] or [N, M]."""
    shape = tuple(values.shape)
    by_cell = values.ndim >= 2 and shape[-2:] == own and values.ndim != len(items)
    try:
        np.broadcast_shapes(shape[:-2] if by_cell else shape, items)
    except ValueError:
        wanted = ", ".join(map(str, items))
        raise InputError(
            f"{name} has shape {shape} beside scores {[*items, *own]}; expected a number, [{wanted}] with a number for "
            f"each item, or {[*items, *own]} with a number for each cell"
        ) from None
    return Price(shape, values), by_cell


def _lengths(lengths: Any, own: Shape, items: Shape) -> tuple[Numbers, Numbers]:
    if lengths is None:
        return np.asarray(own[0]), np.asarray(own[1])
    if not isinstance(lengths, list | tuple) or len(lengths) != 2:
        raise InputError(f"lengths is {lengths!r}; expected a pair (n, m), each a number or an array [*batch]")
    return pair_of_lengths(lengths, (own[0], own[1]), items)


def _batch(*shapes: Shape) -> Shape:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        named = ", ".join(map(str, shapes))
        raise InputError(f"arrays have batch dimensions {named}; expected shapes that broadcast") from None
