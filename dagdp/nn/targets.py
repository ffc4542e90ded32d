"""True paths, for losses: from edge numbers, nodes, trees, tags, alignments, or 0/1 arrays shaped like theta.

Paths are checked once, against the graph, and stored as edge numbers: <Y, θ> then takes a few additions for each edge
of the path, and no array of the size of theta.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import dagdp.nn.walks as walks
from dagdp.array_kinds import on_accelerator
from dagdp.compiled.dag import CompiledDAG
from dagdp.compiled.linear_map import SparseRows
from dagdp.describe.linear_reads import LinearReads
from dagdp.engine.inputs import batch_of, broadcast, checked, collect, end_shape
from dagdp.errors import InputError
from dagdp.functions import dp_grad
from dagdp.nn.autograd.device import accelerator
from dagdp.nn.autograd.tensors import end_numbers
from dagdp.omega import HardMax
from dagdp.paths import best_path
from dagdp.paths.derivations.by_name import edges_of_trees

Shape = tuple[int, ...]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Target:
    """One path of `dag` for each batch item: it begins at a start, is unbroken, and ends at any node on a path.

    On a graph with hyperedges one derivation for each item: from edges in preorder as `Derivations.edges` holds them,
    by `from_trees`, `from_entries` or `from_array`.

    edges : int64 [*batch, L], edge numbers in the user's order, -1 behind a path's last edge.

    Raises InputError, with the first break, where the edges are no path, or no derivation.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> Target(dag, np.array([[0, 2], [1, -1]])).end.tolist()
    [2, 2]
    >>> Target(dag, np.array([2]))
    Traceback (most recent call last):
    ...
    dagdp.errors.InputError: the target begins with edge 2 from node 1; expected a start, one of [0]
    """

    dag: CompiledDAG
    edges: Numbers

    def __post_init__(self) -> None:
        checked(self.dag, None, None)
        object.__setattr__(self, "edges", walks.padded(self.edges, "edges"))
        check = walks.check_derivation if self.dag.has_hyperedges else walks.check_path
        check(self.dag, self.edges)

    @property
    def batch(self) -> Shape:
        """Batch dimensions; () for a single path."""
        return self.edges.shape[:-1]

    @property
    def lengths(self) -> Numbers:
        """[*batch] the number of edges of each path."""
        lengths: Numbers = (self.edges >= 0).sum(-1)
        return lengths

    @property
    def last(self) -> Numbers:
        """[*batch] the number of the node where each path ends, or that each derivation derives."""
        if self.dag.has_hyperedges:
            roots: Numbers = walks.listed_of(self.dag).children[self.edges[..., 0]].astype(np.int64)
            return roots
        edges = np.take_along_axis(self.edges, self.lengths[..., None] - 1, -1)[..., 0]
        nodes: Numbers = walks.listed_of(self.dag).children[edges].astype(np.int64)
        return nodes

    @property
    def end(self) -> Any:
        """`last` as `end=` takes it: names where nodes have names."""
        return self.dag.end_names(self.last)

    def over(self, batch: Shape) -> Target:
        """The paths broadcast to a larger batch by NumPy's rules."""
        if batch == self.batch:
            return self
        made = object.__new__(Target)  # without the checks, which these paths have passed
        object.__setattr__(made, "dag", self.dag)
        object.__setattr__(made, "edges", np.broadcast_to(self.edges, (*batch, self.edges.shape[-1])))
        return made

    @classmethod
    def from_nodes(cls, dag: CompiledDAG, nodes: Any) -> Target:
        """From the nodes of each path, start and end included.

        nodes : for a graph with names, a list of names or a list of lists of names; for a graph from arrays, numbers
            [*batch, L+1], with -1 behind a path's last node. For a recurrence cells by name, ("v", 3, 4), or by
            number, `dag.cell(...)`; the nodes that were added before and behind the cells may be left out.

        Raises InputError where the nodes are no path, or several edges lead from one node to the next.

        >>> import dagdp
        >>> graph = dagdp.Graph()
        >>> for edge in [("home", "cafe"), ("cafe", "work"), ("home", "work")]:
        ...     _ = graph.add_edge(*edge)
        >>> Target.from_nodes(dagdp.compile(graph), [["home", "work"], ["home", "cafe", "work"]]).edges.tolist()
        [[2, -1], [0, 1]]
        """
        checked(dag, None, None)
        _refuse_hyperedges(dag)
        numbers = walks.with_added_nodes(dag, walks.padded(walks.node_numbers(dag, nodes), "nodes"))
        parents, children = numbers[..., :-1], numbers[..., 1:]
        inside = children >= 0
        edges = np.full(children.shape, -1)
        edges[inside] = walks.edges_between(dag, parents[inside], children[inside])
        return cls(dag, edges)

    @classmethod
    def from_trees(cls, dag: CompiledDAG, trees: Any) -> Target:
        """From derivations as trees (node, subtrees), as `Derivations.names` returns them.

        trees : one tree, or lists of trees, nested as the batch. A tree names a node, and in a tuple the tree of each
            parent of the edge into the node: cells of a recurrence such as ("c", 0, 2, 1), or your names. () stands
            behind a start, and behind a node entered from the start that a graph may add.

        Raises InputError where a tree is no derivation, or several edges lead from its parents to a node.

        >>> import dagdp
        >>> dag = dagdp.compile(dagdp.graphs.trees.cky(2, 2))
        >>> word = [(("c", 0, 1, 1), ()), (("c", 1, 2, 0), ())]
        >>> target = Target.from_trees(dag, (("c", 0, 2, 0), tuple(word)))
        >>> target.indicator([torch.zeros(2, 2), torch.zeros(2, 2, 2)])[0].tolist()
        [[0.0, 1.0], [1.0, 0.0]]
        """
        checked(dag, None, None)
        return cls(dag, edges_of_trees(dag, trees))

    @classmethod
    def from_tags(cls, dag: CompiledDAG, tags: Any, lengths: Any = None) -> Target:
        """From the states of a `trellis` (initial="single") or a `linear_chain`.

        tags : integers [*batch, T] in 0 to S-1.
        lengths : [*batch], for graphs built with ragged=True; entries of tags behind an item's length are not read. The
            batch dimensions of tags and lengths broadcast: one row of tags may have several lengths.

        Raises InputError for shapes, tags and lengths out of range, and graphs of another kind.

        >>> import dagdp
        >>> dag = dagdp.compile(dagdp.graphs.linear_chain(3, 2, ragged=True))
        >>> Target.from_tags(dag, [[1, 0, 1], [0, 1, -100]], lengths=[3, 2]).lengths.tolist()
        [4, 3]
        """
        checked(dag, None, None)
        T, S = walks.steps_and_states(dag)
        states = walks.integers(tags, "tags")
        if states.shape[-1:] != (T,):
            raise InputError(f"tags has shape {states.shape}; expected integers [*batch, {T}]")
        counts = np.full(states.shape[:-1], T) if lengths is None else walks.counts(lengths, states.shape[:-1], T)
        states = np.broadcast_to(states, (*counts.shape, T))
        steps = np.arange(T)
        inside = steps < counts[..., None]
        wrong = np.argwhere(inside & ((states < 0) | (states >= S)))
        if len(wrong):
            place = tuple(int(k) for k in wrong[0])
            raise InputError(f"tags{list(place)} is {states[place]}; expected 0 to {S - 1}")
        ends = dag.graph.num_nodes - 1 - T * S
        nodes = np.full((*states.shape[:-1], T + 2), -1)
        nodes[..., 0] = 0
        nodes[..., 1:-1] = np.where(inside, 1 + steps * S + states, -1)
        last = 1 + T * S + (counts - 1 if ends > 1 else 0)
        if ends == 1 and (counts < T).any():
            raise InputError(f"lengths below {T} were given for a graph that ends after {T} steps; use ragged=True")
        np.put_along_axis(nodes, counts[..., None] + 1, np.broadcast_to(last, counts.shape)[..., None], -1)
        return cls.from_nodes(dag, nodes)

    @classmethod
    def from_pairs(cls, dag: CompiledDAG, pairs: Any) -> Target:
        """From the cells (i, j) of alignments on a `dtw_grid`, as `dagdp.graphs.dtw_path` returns them.

        pairs : integers [*batch, L, 2], rows of -1 behind the end of an alignment.

        Raises InputError for cells outside the grid or its band, and for graphs of another kind.

        >>> import dagdp
        >>> dag = dagdp.compile(dagdp.graphs.dtw_grid(2, 3))
        >>> Target.from_pairs(dag, [[0, 0], [1, 1], [1, 2]]).lengths.tolist()
        3
        """
        checked(dag, None, None)
        cells = walks.integers(pairs, "pairs")
        shape = dag.potentials[0].shape
        entries, readers = walks.readers_of_entries(dag)
        if len(shape) != 2 or len(dag.potentials) != 1 or not entries.size:
            raise InputError("pairs (i, j) need a graph made by dtw_grid; this one is another: give nodes or edges")
        if cells.ndim < 2 or cells.shape[-1] != 2:
            raise InputError(f"pairs has shape {cells.shape}; expected integers [*batch, L, 2]")
        behind = (cells == -1).all(-1)
        wrong = np.argwhere(~behind & ((cells < 0) | (cells >= np.array(shape))).any(-1))
        if len(wrong):
            place = tuple(int(k) for k in wrong[0])
            raise InputError(f"pairs{list(place)} is {cells[place].tolist()}; expected a cell of a grid {shape}")
        wanted = cells[..., 0] * shape[1] + cells[..., 1]
        known = np.minimum(np.searchsorted(entries, wanted), entries.size - 1)
        wrong = np.argwhere(~behind & (entries[known] != wanted))
        if len(wrong):
            place = tuple(int(k) for k in wrong[0])
            raise InputError(f"pairs{list(place)} is {cells[place].tolist()}, a cell outside the band of the grid")
        nodes = np.where(behind, -1, readers[known])
        return cls.from_nodes(dag, np.concatenate([np.zeros((*nodes.shape[:-1], 1), np.int64), nodes], -1))

    @classmethod
    def from_array(cls, dag: CompiledDAG, Y: Any, end: Any = None) -> Target:
        """From Y, shaped and keyed like theta: how often the path reads each entry (0 or 1 where untied).

        Among all paths that read only marked entries, the path that reads most entries is taken. It must read each
        entry as often as Y says. If entries are tied and several paths have one Y, give edges or nodes instead.

        end : as in `dagdp.dp_value`.  Raises InputError where Y is the count of no path.

        >>> import dagdp
        >>> dag = dagdp.compile(dagdp.graphs.dtw_grid(2, 2))
        >>> Target.from_array(dag, np.eye(2)).edges.tolist() == Target.from_nodes(dag, [0, 1, 4]).edges.tolist()
        True
        """
        checked(dag, None, None)
        if dag.plain is not None:
            raise InputError(
                "the target is Y, shaped like theta, and the graph has linear potentials, whose sums tell no path; "
                "expected a Target from edges or nodes"
            )
        _, arrays, batches = collect(dag, Y, "target", walks.real_array)
        batch = batch_of(batches, [], end_shape(end_numbers(dag, end), dag))
        marked = [
            np.broadcast_to(array, (*batch, *potential.shape)).reshape(-1, potential.size)
            for array, potential in zip(arrays, dag.potentials, strict=True)
        ]
        weights = walks.reads(dag, marked)
        ends = None if end is None else np.broadcast_to(dag.end_numbers(end), batch).ravel()
        if dag.has_hyperedges:
            edges = best_path(walks.plain(dag), weights, end=ends).edges
            for potential, rows in zip(dag.potentials, marked, strict=True):
                walks.check_entries(potential, edges, np.pad(rows, ((0, 0), (0, 1))))
            return cls(dag, edges.reshape(*batch, edges.shape[-1]))
        taken = dp_grad(walks.plain(dag), weights, HardMax(), end=ends) > 0.5
        walks.check_marks(dag, marked, weights, taken)
        rank = dag.rank[dag.graph.edges()[1]]
        paths = [edges[np.argsort(rank[edges])].tolist() for edges in map(np.flatnonzero, taken)]
        edges = walks.padded(paths, "edges")
        return cls(dag, edges.reshape(*batch, edges.shape[-1]))

    @classmethod
    def from_entries(cls, dag: CompiledDAG, entries: Any, name: str | None = None, end: Any = None) -> Target:
        """From the entries of one potential that each path reads: pairs of an alignment, arcs of a parse, states.

        Of the paths that read these entries once each, and no other entry of the potential, `best_path` takes the first
        in the order of ties. So the gaps of an alignment are found between its matched pairs.

        entries : integers [*batch, L, axes of the potential], in any order; rows of -1 where an item has fewer.
        name : of the potential; may be left out where the graph has one.
        end : as in `dagdp.dp_value`.

        Raises InputError where no path reads these entries alone, for entries out of range, and for a linear potential.

        >>> import dagdp
        >>> text = '''
        ...     a[0, 0] = 0
        ...     a[i, j] = max(a[i-1, j-1] + pair[i-1, j-1], a[i-1, j] + gap, a[i, j-1] + gap)
        ...     return a[-1, -1]
        ... '''
        >>> dag = dagdp.compile(dagdp.recurrence(text, {"pair": (2, 3)}, i=3, j=4))
        >>> target = Target.from_entries(dag, [[0, 0], [1, 2]], "pair")  # the second letter of three is left alone
        >>> [dag.graph.name(node) for node in dag.graph.edges()[1][target.edges].tolist()]
        [a[1, 1], a[1, 2], a[2, 3]]
        """
        checked(dag, None, None)
        potential = walks.potential_of(dag, name)
        flat = walks.flat_entries(entries, potential)
        rows = flat.reshape(-1, flat.shape[-1])
        marked = np.zeros((len(rows), potential.size + 1), np.int64)
        np.add.at(marked, (np.arange(len(rows))[:, None], rows), 1)  # entry -1, of padding, is the last column
        marked[:, -1] = 0
        shape = (*flat.shape[:-1], dag.graph.num_edges)
        weights = np.where(potential.index < 0, 0.0, np.where(marked[:, potential.index] > 0, 1.0, -np.inf))
        best = best_path(walks.plain(dag), weights.reshape(shape), end=None if end is None else dag.end_numbers(end))
        walks.check_entries(potential, best.edges.reshape(len(rows), -1), marked)
        return cls(dag, best.edges)

    def score(self, blocks: Sequence[Tensor]) -> Tensor:
        """<Y, θ> [*batch]; differentiable. The batch is the broadcast of the target's and the blocks' batch.

        blocks : tensors [*batch, *shape], in the order of `dag.potentials`. Half types are added in float32.
        """
        pairs = zip(blocks, self.dag.potentials, strict=True)
        fronts = [(f"theta[{p.name!r}]", tuple(block.shape[: block.ndim - len(p.shape)])) for block, p in pairs]
        own = self.over(broadcast([*fronts, ("target", self.batch)]))
        total = torch.zeros((), device=blocks[0].device)
        for block, rows, (entries, reads) in zip(blocks, own._rows(blocks), own._entries(), strict=True):
            columns = beside_block(np.maximum(entries, 0), block)
            factors = beside_block(reads, block)
            read = torch.where(factors != 0, rows.gather(-1, columns), 0.0)
            read = read.to(torch.promote_types(read.dtype, torch.float32))
            total = total + (read if factors.dtype is torch.bool else read * factors.to(read.dtype)).sum(-1)
        return total

    def indicator(self, blocks: Sequence[Tensor]) -> list[Tensor]:
        """Y: for each block, how often the path reads each entry, [*batch, *shape] in the block's dtype.

        Of a linear potential: the sum of the coefficients with which the path reads the entry.
        """
        made = []
        for block, potential, (entries, reads) in zip(blocks, self.dag.potentials, self._entries(), strict=True):
            flat = block.new_zeros(*self.batch, potential.size)
            columns = beside_block(np.maximum(entries, 0), block)
            flat.scatter_add_(-1, columns, beside_block(reads, block).to(flat.dtype))
            made.append(flat.reshape((*self.batch, *potential.shape)))
        return made

    def _entries(self) -> list[tuple[Numbers, NDArray[Any]]]:
        """[potentials] (entries [*batch, n] that the path reads, factors [*batch, n], 0 for no read).

        n is L, and the factor whether the edge reads an entry. Where edges read several entries, n is larger, and the
        factor is the coefficient.
        """
        made: list[tuple[Numbers, NDArray[Any]]] = []
        for k, reads in enumerate(walks.listed_of(self.dag).indices):
            if isinstance(reads, LinearReads):
                assert self.dag.linear is not None
                made.append(self._linear_entries(self.dag.linear.potentials[k].by_edge))
            else:
                index = np.where(self.edges >= 0, reads[self.edges], -1).astype(np.int64)
                made.append((index, index >= 0))
        return made

    def _linear_entries(self, rows: SparseRows) -> tuple[Numbers, NDArray[np.float64]]:
        ptr, columns, coefficients = rows
        counts = np.where(self.edges >= 0, np.diff(ptr)[self.edges], 0)
        places = np.arange(counts.max(initial=0))
        inside = places < counts[..., None]
        at = np.where(inside, ptr[self.edges][..., None] + places, 0)
        shape = (*self.batch, self.edges.shape[-1] * places.size)
        entries, factors = columns[at].astype(np.int64), np.where(inside, coefficients[at], 0.0)
        return entries.reshape(shape), factors.reshape(shape)

    def _rows(self, blocks: Sequence[Tensor]) -> list[Tensor]:
        return [
            block.expand((*self.batch, *potential.shape)).reshape(*self.batch, potential.size)
            for block, potential in zip(blocks, self.dag.potentials, strict=True)
        ]


def beside_block(array: NDArray[Any], block: Tensor) -> Tensor:
    """An array of a target on the device of a block of theta; the host does not wait for the copy."""
    if on_accelerator(block):
        return accelerator.sent(array, block.device, "the target")
    return torch.as_tensor(array, device=block.device)


def _refuse_hyperedges(dag: CompiledDAG) -> None:
    if dag.has_hyperedges:
        raise InputError(
            "the graph has hyperedges, so its solutions are derivations, and no paths; expected a target from edges in "
            "preorder, Target(dag, edges), from trees, or from an array like theta"
        )
