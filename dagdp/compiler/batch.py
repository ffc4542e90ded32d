"""A batch of different graphs: merged into a few compiled graphs, whose levels are run together."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dagdp.compiled.dag import PRUNED, CompiledDAG, enrolled
from dagdp.compiled.layout import Layout, Numbers, section
from dagdp.compiled.linear_map import LinearMap, linear_map
from dagdp.compiler import build, described
from dagdp.compiler.merge import MergedGraph, merge, with_a_path
from dagdp.compiler.validate import check_reads, warn_of_default_ends
from dagdp.describe.graph import Graph, Potential
from dagdp.describe.linear_reads import LinearReads, Reads, triples
from dagdp.errors import GraphError, InputError

# Edges from which a merged graph takes no further graph. Each merged graph costs a launch, and its state, below 2 MB,
# should stay in cache.
MERGED_EDGES = 1 << 16


@dataclass(frozen=True, eq=False, repr=False)
class CompiledBatch:
    """Different graphs made ready to run in one call: immutable; every `dp_*` takes a batch in place of a CompiledDAG.

    Values have shape [*batch, graphs]. Weights and gradients have one of two forms: a list with an array
    [*batch, edges of graph g] for each graph (a dict for each graph, where graphs name potentials), or one array
    [*batch, entries of all graphs], graph g's entries at `offsets[g]` to `offsets[g + 1]` - 1; for several potentials a
    dict of either form. A potential named in `shared=` is given once, in its own shape.

    graphs : the compiled graphs, in the order given.
    minimize : whether functions of the batch minimise by default.
    """

    graphs: tuple[Graph, ...]
    layout: Layout
    merged: tuple[MergedGraph, ...]
    minimize: bool
    #: Of graphs with linear potentials: the batch in which each edge has a weight of its own, which kernels run, and
    #: the map from the entries of all graphs to those weights. `merged` is that of `plain`.
    plain: CompiledBatch | None = None
    linear: LinearMap | None = None
    serial: int = field(init=False)  # names the batch where only a number can be passed
    calls: dict[Any, Any] = field(init=False)  # plans of `dagdp.engine.prepare`, by the form of a call

    def __post_init__(self) -> None:
        object.__setattr__(self, "calls", {})
        object.__setattr__(self, "serial", enrolled(self, [np.array([part.dag.serial >> 32 for part in self.merged])]))

    def __len__(self) -> int:
        return len(self.graphs)

    @property
    def offsets(self) -> Any:
        """int64 [graphs+1], each graph's first entry in the one array; a dict of these where potentials have names.

        A shared potential has no offsets: it is one array for all graphs.
        """
        own = {part.name: part.offsets for part in self.layout.sections if part.shared is None}
        return own.get(None, own)

    @cached_property
    def num_edges(self) -> int:
        """Live edges of all graphs, those into a graph's extra end included."""
        return sum(int((part.dag.edges >= 0).sum()) for part in self.merged)

    @cached_property
    def dags(self) -> tuple[CompiledDAG, ...]:
        """Each graph compiled alone, for functions of one graph. Compiled at the first access."""
        return tuple(build(graph) for graph in self.graphs)

    @cached_property
    def alone(self) -> tuple[CompiledDAG, ...]:
        """`dags`, with one more edge in each graph none of whose ends is reached: `build` raises for such a graph.

        The edge joins two nodes outside the user's graph, so the user's ends remain without a path.
        """
        missing = {part.first + int(g) for part in self.merged for g in np.flatnonzero(part.ends < 0)}
        if not missing:
            return self.dags
        return tuple(build(with_a_path(graph) if g in missing else graph) for g, graph in enumerate(self.graphs))

    @cached_property
    def potentials(self) -> tuple[Potential, ...]:
        """Name and size of each section of the layout, for packed weights; the index lists no edge."""
        nothing = np.empty(0, np.int64)
        return tuple(Potential(part.name, (part.size,), nothing) for part in self.layout.sections)

    @cached_property
    def packed(self) -> CompiledBatch:
        """The batch for weights that `layout.pack` has packed: each graph has its own copy of shared entries."""
        return dataclasses.replace(self, layout=self.layout.unshared())

    @cached_property
    def owner(self) -> Numbers:
        """int64 [entries of all sections], the graph to which each packed entry belongs."""
        counts = [np.diff(part.offsets) for part in self.layout.sections]
        return np.repeat(np.tile(np.arange(len(self)), len(counts)), np.concatenate(counts))

    def ending(self, end: Any) -> CompiledBatch:
        """The batch with other ends. end : one node for each graph, by name or number; None keeps the graph's end.

        Raises InputError for a list of another length, and for a node that is no node of its graph or was dropped.
        """
        chosen = end.tolist() if hasattr(end, "tolist") else end
        if not isinstance(chosen, list | tuple) or len(chosen) != len(self):
            raise InputError(
                f"end is {end!r}; expected a list with one node, or None, for each of the {len(self)} graphs of the "
                "batch. For a ragged batch on one graph compile that graph alone"
            )
        plain = None if self.plain is None else self.plain.ending(end)
        merged = []
        for part in self.merged:
            ends = part.ends.copy()
            for g in range(part.first, part.last):
                if chosen[g] is not None:
                    ends[g - part.first] = self._rank(part, g, chosen[g])
            merged.append(dataclasses.replace(part, ends=ends))
        return dataclasses.replace(self, merged=tuple(merged), plain=plain)

    def own_number(self, part: MergedGraph, g: int) -> int:
        """Graph g's number of the node where its paths end; its number of nodes for a joint end."""
        k = g - part.first
        return int(part.dag.origin[part.ends[k]] - part.nodes[k])

    def _rank(self, part: MergedGraph, g: int, node: Any) -> int:
        """The internal number of a node of graph g where paths are to end, -1 if no path leads there."""
        names = self.graphs[g].nodes
        numbers: dict[Any, int] = {} if names is None else dict(zip(names, range(len(names)), strict=True))
        known = isinstance(node, Hashable) and node in numbers
        size = self.graphs[g].num_nodes
        if names is None and not isinstance(node, bool) and isinstance(node, int | np.integer):
            known = 0 <= int(node) < size
        if not known:
            raise InputError(f"end {node!r} is no node of graph {g}; expected one of its {size} nodes")
        number = int(part.nodes[g - part.first]) + (int(node) if names is None else numbers[node])
        rank = int(part.dag.rank[number])
        if rank == PRUNED:
            raise InputError(
                f"end {node!r} of graph {g} leads to no end that the graph was compiled with, so its edges were "
                "dropped; expected a node on a path. Name it in ends= to keep it"
                + self.graphs[g].in_text("list it in `return`")
            )
        return max(rank, -1)

    def explain(self) -> str:
        """Numbers of graphs, edges and levels, and how graphs were merged, as a few lines of text."""
        if not self.merged:
            return "CompiledBatch: 0 graphs"
        levels = [part.dag.num_levels for part in self.merged]
        sizes = [part.last - part.first for part in self.merged]
        bytes_ = sum(part.dag.nbytes for part in self.merged)
        lines = [
            f"CompiledBatch: {len(self)} graphs, {self.num_edges} edges",
            f"  merged    {len(self.merged)} of {min(sizes)} to {max(sizes)} graphs, which threads share",
            f"  levels    {min(levels)} to {max(levels)} a merged graph",
            f"  arrays    {bytes_} bytes of int32 indices",
        ]
        for part in self.layout.sections:
            name = "theta" if part.name is None else part.name
            how = f"shape {part.shapes[0]}, shared by all graphs; " if part.shared is not None else ""
            lines.append(f"  potential {name}: {how}{part.size} entries")
        if self.linear is not None:
            lines.append(f"  linear    {self.linear.reads} reads make the weights of {self.linear.edges} edges")
        return "\n".join(lines)

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledBatch:
        """The batch itself, as it is immutable."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the graphs and their arrays; the unpickled batch gets a new serial number.

        It holds `dags` once they were asked for, so that a Target made with one of them and pickled beside the batch,
        as by a worker of a DataLoader, belongs to the unpickled batch.
        """
        parts = (self.graphs, self.layout, self.merged, self.minimize, self.plain, self.linear)
        return CompiledBatch, parts, {"dags": self.dags} if "dags" in self.__dict__ else None

    def __repr__(self) -> str:
        return f"CompiledBatch({len(self)} graphs, {self.num_edges} edges, {len(self.merged)} merged graphs)"


def compile_batch(
    graphs: Iterable[Graph | CompiledDAG], *, shared: Sequence[str] = (), minimize: bool | None = None
) -> CompiledBatch:
    """Different graphs as one CompiledBatch; every `dp_*` takes the batch in place of a CompiledDAG.

    Parameters
    ----------
    graphs : graphs, or CompiledDAGs, which stand for their graphs. Graphs that name potentials name equal ones. A graph
        none of whose ends is reached is an item without a path: value -inf (+inf when minimising), gradient 0.
    shared : names of potentials of which all graphs read one array, such as a transition matrix for utterances of
        different length. The potential has one shape in every graph; its gradient is the sum over graphs.
    minimize : whether the batch holds costs: what `minimize=None` means for it. Default: as the graphs were written,
        all of one sign.

    Graphs are merged in the order given into larger graphs of bounded size, which threads share; results do not depend
    on the number of threads. A list in which neighbours have similar depth runs fastest.

    Raises GraphError as `compile` does, with the number of the graph; and where potentials or signs disagree. Warns
    (UserWarning) as `compile` does, once a batch, if a graph without named ends has several nodes without children.

    Example
    -------
    >>> import dagdp
    >>> chain, choice = Graph.from_edges([0, 1], [1, 2]), Graph.from_edges([0, 0, 1], [1, 2, 2])
    >>> batch = compile_batch([chain, choice])
    >>> dagdp.dp_value(batch, [[1.0, 2.0], [1.0, 2.5, 2.0]], dagdp.HardMax()).tolist()
    [3.0, 3.0]
    >>> batch.offsets.tolist()
    [0, 2, 5]
    """
    made = build_batch(graphs, shared, minimize)
    _warn_of_default_ends(made)
    return made


def build_batch(
    graphs: Iterable[Graph | CompiledDAG], shared: Sequence[str] = (), minimize: bool | None = None
) -> CompiledBatch:
    """`compile_batch` without its warning, for graphs that were compiled before."""
    if isinstance(graphs, Graph | CompiledDAG) or not isinstance(graphs, Iterable):
        kind = "one graph" if isinstance(graphs, Graph | CompiledDAG) else type(graphs).__name__
        raise GraphError(f"compile_batch was given {kind}; expected a list of graphs")
    given = tuple(graph.graph if isinstance(graph, CompiledDAG) else graph for graph in graphs)
    for g, graph in enumerate(given):
        if not isinstance(graph, Graph):
            raise GraphError(f"graph {g} is {described(graph)}")
    snapshots = tuple(graph.snapshot() for graph in given)
    sign = _sign(snapshots) if minimize is None else bool(minimize)
    layout, indices = _laid_out(snapshots, shared)
    if any(isinstance(own, LinearReads) for reads in indices for own in reads):
        plain = build_batch([graph.with_own_weights() for graph in snapshots], minimize=sign)
        return CompiledBatch(snapshots, layout, plain.merged, sign, plain, _joint_map(snapshots, layout, indices))
    edges = [graph.num_edges for graph in snapshots]
    merged = [merge(snapshots, indices, layout, first, last) for first, last in _cuts(edges)]
    return CompiledBatch(snapshots, layout, tuple(merged), sign)


def _sign(graphs: Sequence[Graph]) -> bool:
    """Whether all graphs minimise. Raises GraphError where some do and some do not."""
    signs = [graph.minimize for graph in graphs]
    if len(set(signs)) > 1:
        costs, scores = signs.index(True), signs.index(False)
        raise GraphError(
            f"graph {costs} has costs to be minimised, graph {scores} scores to be maximised; expected one sign for a "
            "batch: give compile_batch(..., minimize=True) or minimize=False to read all of them alike"
        )
    return signs[:1] == [True]


def _joint_map(graphs: Sequence[Graph], layout: Layout, reads: Sequence[Sequence[Reads]]) -> LinearMap:
    """The map from the entries of all graphs to the weights of their edges, one graph after another."""
    first = np.cumsum([0, *(graph.num_edges for graph in graphs)])
    joined = []
    for own in reads:
        parts = [(number, triples(one)) for number, one in zip(first[:-1], own, strict=True)]
        joined.append(
            LinearReads(
                np.concatenate([part.edge + number for number, part in parts]),
                np.concatenate([part.entry for _, part in parts]),
                np.concatenate([part.coefficient for _, part in parts]),
            )
        )
    return linear_map(joined, int(first[-1]), [part.size for part in layout.sections])


def _warn_of_default_ends(batch: CompiledBatch) -> None:
    """Warn once, of the first graph that has several default ends."""
    for part in batch.merged:
        joint = part.dag.origin[np.maximum(part.ends, 0)] == part.nodes[1:] - 1
        for g in np.flatnonzero(joint & (part.ends >= 0)).tolist():
            graph = batch.graphs[part.first + g]
            if graph.terminals()[1] is None:
                dag = build(graph)
                warn_of_default_ends(graph, dag.ends, f"graph {part.first + g}", 3)
                if dag.ends.size > 1:
                    return


def _cuts(edges: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of graphs, each closed once it has MERGED_EDGES edges: fixed by sizes alone, so that results are, too."""
    cuts, first, total = [], 0, 0
    for g, count in enumerate(edges):
        total += count
        if total >= MERGED_EDGES or g == len(edges) - 1:
            cuts.append((first, g + 1))
            first, total = g + 1, 0
    return cuts


def _names_of(potentials: Iterable[str | None]) -> str:
    """The names of a graph's potentials, for an error message."""
    names = list(potentials)
    return "no named potential" if names == [None] else f"potentials {names}"


def _laid_out(graphs: Sequence[Graph], shared: Sequence[str]) -> tuple[Layout, list[list[Reads]]]:
    """(the layout, [sections][graphs] what the edges of each graph read of the section)."""
    potentials = [{potential.name: potential for potential in graph.potentials()} for graph in graphs]
    if all(len(own) == 1 for own in potentials) and len({name for own in potentials for name in own}) > 1:
        potentials = [dict.fromkeys([None], *own.values()) for own in potentials]
    if not graphs:
        return Layout(0, (section(None, [], False)[0],)), []
    names = list(potentials[0])
    for g, own in enumerate(potentials):
        if set(own) != set(names):
            raise GraphError(
                f"graph {g} has {_names_of(own)}, graph 0 {_names_of(names)}; expected the same names in every graph "
                "of a batch: name the potentials of all graphs, and give an edge that does not read one the index -1"
            )
        for potential in own.values():
            try:
                check_reads(potential)
            except GraphError as error:
                raise GraphError(f"graph {g}: {error}") from None
    if isinstance(shared, str) or not set(shared) <= set(names) - {None}:
        raise GraphError(f"shared is {shared!r}; expected a list of names among {names}")
    made = [section(name, [own[name] for own in potentials], name in shared) for name in names]
    return Layout(len(graphs), tuple(part for part, _ in made)), [places for _, places in made]
