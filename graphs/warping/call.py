"""A call of dynamic time warping: its options as one record, and the graph and the arrays that serve the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import CompiledDAG, GraphError, InputError
from dagdp.graphs.ragged.arrays import beside, expanded, is_tensor, masked
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.ragged.given import pair_of_lengths, rectangular
from dagdp.graphs.ragged.padding import cut, ends_in, may_pad, padded, sizes
from dagdp.graphs.warping.costs import series_costs
from dagdp.graphs.warping.grid import FIRST_CELL, warping
from dagdp.graphs.warping.steps import Moves, leads_on, moves_of, pays_cells_only, reads_of
from dagdp.graphs.warping.windows import Mask, window_mask

Numbers = NDArray[np.int64]


class Warping(NamedTuple):
    """The options of a call, as `dtw_value` documents them."""

    lengths: Any = None
    band: Any = None
    steps: Any = "symmetric1"
    window: Any = None
    open_begin: bool = False
    open_end: bool = False
    psi: Any = None
    penalty: Any = None

    @property
    def is_plain(self) -> bool:
        """Whether `dtw_grid` serves the call: only lengths and a band are given."""
        steps = isinstance(self.steps, str) and self.steps == "symmetric1"
        given = [option for option in (self.window, self.psi, self.penalty) if option is not None]
        return steps and not given and self.open_begin is False and self.open_end is False


class Free(NamedTuple):
    """How many entries may be left out at the begin and the end of the first series, and of the second."""

    begin_a: int = 0
    end_a: int = 0
    begin_b: int = 0
    end_b: int = 0


def costs_of(theta: Any, x: Any, y: Any, cost: Any) -> Any:
    """theta, or the costs of two series. Raises InputError unless theta alone, or x and y alone are given."""
    if theta is None:
        return series_costs(x, y, cost)
    if x is not None or y is not None:
        raise InputError("theta and a series were given; expected theta, the costs, or the series as x= and y=")
    return rectangular(theta, "theta")


def check_pair(lengths: Any) -> None:
    """Raise InputError unless lengths are None or a pair."""
    if lengths is not None and (not isinstance(lengths, list | tuple) or len(lengths) != 2):
        raise InputError(f"lengths is {lengths!r}; expected a pair (n_a, n_b), each a number or an array [*batch]")


def check_costs(theta: Any) -> tuple[int, int]:
    """(N_A, N_B) of costs. Raises InputError where they have fewer than two axes."""
    shape = np.shape(theta)
    if len(shape) < 2:
        raise InputError(f"theta has shape {shape}; expected costs [*batch, N_A, N_B]")
    N_A, N_B = sizes(theta, 2)
    return N_A, N_B


@dataclass(frozen=True, eq=False)
class WarpingCall:
    """A graph for costs [*batch, N_A, N_B], which may have more cells, and the map between arrays and its potentials.

    `theta` and `direction` are what `dp_*` take, `result` cuts the gradient by the costs out of what they return.
    """

    dag: CompiledDAG
    own: tuple[int, int]  # N_A, N_B
    moves: Moves
    begin: str  # as `warping` takes it
    end: Any  # `end=` of the items
    read: Mask | None  # [*lengths, N_A, N_B] the cells whose costs are read; None for all
    free: dict[str, Mask]  # [*lengths, *shape] of potentials that are 0 where true, +inf elsewhere
    penalty: Any = None

    def theta(self, values: Any, z: Any = None) -> Any:
        """The costs, alone or beside the other potentials, with the batch of a direction z."""
        costs = self._cells(values, np.inf, "theta")
        if len(self.dag.potentials) == 1:
            return costs
        batch = self._batch(costs, z)
        made = {"cost": expanded(costs, batch, 2)}
        for name, mask in self.free.items():
            block = beside(np.where(mask, 0.0, np.inf), costs)
            core = len(self._shapes[name])
            made[name] = expanded(block, batch, core) if mask.ndim > core else block
        if self.penalty is not None:
            penalty = self.penalty if is_tensor(self.penalty) else beside(np.asarray(self.penalty, float), costs)
            made["penalty"] = expanded(penalty, batch, 0) if penalty.ndim else penalty
        return made

    def direction(self, values: Any, z: Any) -> Any:
        """z in the form of `theta(values, z)`, 0 for potentials other than the costs."""
        given = self._cells(z, 0.0, "z")
        if len(self.dag.potentials) == 1:
            return given
        made = {name: beside(np.zeros(shape), given) for name, shape in self._shapes.items()}
        return made | {"cost": expanded(given, self._batch(self._cells(values, np.inf, "theta"), z), 2)}

    def result(self, made: Any) -> Any:
        """[*batch, N_A, N_B] of a gradient or a Hessian product."""
        return cut(made["cost"] if isinstance(made, dict) else made, self.own)

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {potential.name: potential.shape for potential in self.dag.potentials if potential.name}

    def _batch(self, costs: Any, z: Any) -> tuple[int, ...]:
        """The batch of all arrays and masks."""
        shapes = [np.shape(costs)[:-2], np.shape(z)[:-2] if z is not None else (), np.shape(self.penalty)]
        shapes += [mask.shape[: mask.ndim - len(self._shapes[name])] for name, mask in self.free.items()]
        shapes.append(np.shape(self.end) if self.end is not None else ())
        try:
            return np.broadcast_shapes(*(tuple(shape) for shape in shapes))
        except ValueError:
            raise InputError(
                f"theta, lengths, window and penalty have batch dimensions {shapes}; expected shapes that broadcast"
            ) from None

    def _cells(self, values: Any, outside: float, what: str) -> Any:
        """Weights of cells, `outside` where none is read, padded to the cells of the graph."""
        shape = tuple(np.shape(values))
        if shape[-2:] != self.own:
            raise InputError(f"{what} has shape {shape}; expected [*batch, {self.own[0]}, {self.own[1]}]")
        target = self._shapes["cost"]
        if self.read is not None:
            values = masked(values, self.read, outside)
        return padded(values, self.own, target, what)


def call_for(theta: Any, options: Warping, everywhere: bool = False) -> WarpingCall:
    """The graph for costs of this shape, and what the options make of them.

    everywhere : paths may end at every cell of an item, whatever the options say: for the values of all nodes.

    Raises InputError and GraphError for options of another form, and for options that exclude each other.
    """
    own = check_costs(theta)
    batch = tuple(np.shape(theta)[:-2])
    check_pair(options.lengths)
    moves, free = moves_of(options.steps), _free(options, own)
    n_a, n_b = (np.array(n) for n in own) if options.lengths is None else pair_of_lengths(options.lengths, own, batch)
    window = _window(options, own, n_a, n_b)
    begin = _place(options.open_begin, free.begin_a, free.begin_b)
    end = "anywhere" if everywhere else _place(options.open_end, free.end_a, free.end_b)
    fixed = end == "corner"
    if fixed and not leads_on(moves):
        end = "each"  # the corner may lie on no path, and a shorter item's corner may lead to no larger one
    shared = end if fixed else "anywhere"  # in a graph that serves items of several sizes
    ragged = options.lengths is not None and not fixed
    nodes = window is not None and not pays_cells_only(moves)
    others = options.penalty is not None, nodes
    arguments, grown = (moves, begin, shared if ragged else end, *others), (moves, begin, shared, *others)
    dag = _compiled(own, arguments, grown, may_pad(theta))
    corner = window_mask("corner", own, n_a, n_b) if ragged or everywhere else None
    read = corner if window is None else _passed(window, moves) if nodes else window
    shapes = {potential.name: potential.shape for potential in dag.potentials}
    masks = _free_masks(shapes, free, n_a, n_b)
    if everywhere:
        masks["finish"] = _grown(corner, shapes["finish"])
    if nodes:
        masks["window"] = _grown(window, shapes["window"])
    where = ends_in(dag, options.lengths, own, batch) if end == "corner" else None
    if end == "each":
        where = FIRST_CELL + (n_a - 1) * shapes["cost"][1] + n_b - 1
    return WarpingCall(dag, own, moves, begin, where, read, masks, options.penalty)


def _free(options: Warping, own: tuple[int, int]) -> Free:
    """The entries that may be left out. Raises GraphError for options that contradict each other."""
    for name in ("open_begin", "open_end"):
        if not isinstance(getattr(options, name), bool | np.bool_):
            raise GraphError(f"{name}={getattr(options, name)!r}; expected True or False")
    if options.psi is None:
        return Free(0, 0, own[1] if options.open_begin else 0, own[1] if options.open_end else 0)
    if options.open_begin or options.open_end:
        raise GraphError(
            f"psi={options.psi!r} was given with open_begin or open_end; expected one of them. An open begin and end "
            "of the second series is psi=(0, 0, N_B, N_B)"
        )
    given = (options.psi,) * 4 if isinstance(options.psi, int | np.integer) else tuple(options.psi)
    if len(given) != 4 or any(isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0 for n in given):
        raise GraphError(
            f"psi={options.psi!r}; expected a whole number of entries, at least 0, or four of them: begin and end of "
            "the first series, begin and end of the second"
        )
    return Free(*map(int, given))


def _compiled(own: tuple[int, int], arguments: tuple[Any, ...], grown: tuple[Any, ...], pad: bool) -> CompiledDAG:
    """A graph of these sizes, or of larger ones."""
    edges = len(arguments[0]) + 1
    try:
        return compiled(warping, *own, *arguments, axes=2 if pad else 0, grown=grown, edges=edges)
    except GraphError:
        if arguments == grown:
            raise
        return compiled(warping, *own, *grown)  # no end is reached by these moves, and the value is +inf


def _place(opened: bool, free_a: int, free_b: int) -> str:
    """Where paths begin or end, as `warping` names it."""
    return "row" if opened else "border" if free_a or free_b else "corner"


def _grown(mask: Mask | None, shape: tuple[int, ...]) -> Mask:
    """A mask [*lengths, N_A, N_B] with more rows and columns, false there."""
    assert mask is not None
    made = np.zeros((*mask.shape[:-2], *shape), bool)
    made[..., : mask.shape[-2], : mask.shape[-1]] = mask
    return made


def _window(options: Warping, own: tuple[int, int], n_a: Numbers, n_b: Numbers) -> Mask | None:
    """The cells of the window or the band."""
    if options.band is not None and options.window is not None:
        raise GraphError("band= and window= were given; expected one of them")
    if options.band is not None:
        return window_mask(("band", options.band), own, n_a, n_b)
    return None if options.window is None else window_mask(options.window, own, n_a, n_b)


def _passed(window: Mask | None, moves: Moves) -> Mask:
    """The cells whose costs are read by moves into the window."""
    assert window is not None
    read = window.copy()
    for di, dj in {(di, dj) for move in moves for di, dj, _ in reads_of(move) if di or dj}:
        rows, columns = window.shape[-2] - di, window.shape[-1] - dj
        if rows > 0 and columns > 0:
            read[..., :rows, :columns] |= window[..., di:, dj:]
    return read


def _free_masks(shapes: dict[Any, tuple[int, ...]], free: Free, n_a: Numbers, n_b: Numbers) -> dict[str, Mask]:
    """{potential: where a path may begin or end}, for those potentials that the graph has."""
    P_A, P_B = shapes["cost"]
    made: dict[str, Mask] = {}
    i, j = np.arange(P_A), np.arange(P_B)
    if "first_row" in shapes:
        made |= {"first_row": j <= free.begin_b, "first_column": i <= free.begin_a}
    if "last_row" in shapes:
        made |= {"last_row": j >= n_b - 1 - free.end_b, "last_column": i >= n_a - 1 - free.end_a}
    if "finish" in shapes:
        to_a, to_b = n_a[..., None, None] - 1 - i[:, None], n_b[..., None, None] - 1 - j  # cells to the corner
        in_row = (to_a == 0) & (to_b >= 0) & (to_b <= free.end_b)
        in_column = (to_b == 0) & (to_a >= 0) & (to_a <= free.end_a)
        made["finish"] = in_row | in_column
    return made
