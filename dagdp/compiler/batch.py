"""Many different graphs compiled as one: their levels stand side by side and are run together."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dagdp.compiled.dag import PRUNED, CompiledDAG, enrolled
from dagdp.compiled.layout import Layout, Numbers, section
from dagdp.compiler import build, described
from dagdp.compiler.union import Union, join, with_a_path
from dagdp.compiler.validate import warn_of_default_ends
from dagdp.describe.graph import Graph, Potential
from dagdp.errors import GraphError, InputError

# Edges from which a union takes no further graph. Each costs a launch, and its state, below 2 MB, should stay near.
UNION_EDGES = 1 << 16


@dataclass(frozen=True, eq=False, repr=False)
class CompiledBatch:
    """Different graphs made ready to run in one call: immutable, and taken by every `dp_*` in place of a CompiledDAG.

    Values come back as [*batch, graphs]. Weights are given, and gradients come back, in one of two forms: a list
    with an array [*batch, edges of graph g] for each graph (a dict for each, where graphs name potentials), or one
    array [*batch, entries of all graphs], graph g's at `offsets[g]` to `offsets[g + 1]`; of several potentials, a
    dict of either. A potential named in `shared=` is given once, in its own shape.

    graphs : what was compiled, in the order given.
    """

    graphs: tuple[Graph, ...]
    layout: Layout
    unions: tuple[Union, ...]
    serial: int = field(init=False)  # its name where only numbers can go
    calls: dict[Any, Any] = field(init=False)  # what `dagdp.engine.batch_call` worked out for calls of one form

    def __post_init__(self) -> None:
        object.__setattr__(self, "calls", {})
        object.__setattr__(self, "serial", enrolled(self))

    def __len__(self) -> int:
        return len(self.graphs)

    @property
    def offsets(self) -> Any:
        """[graphs+1] where each graph's entries begin in the one array; a dict of such where potentials have names.

        Of a shared potential there is none: it is one array for all.
        """
        own = {part.name: part.offsets for part in self.layout.sections if part.shared is None}
        return own.get(None, own)

    @cached_property
    def num_edges(self) -> int:
        """Edges that take part, of all graphs, those into a graph's extra end included."""
        return sum(int((union.dag.edges >= 0).sum()) for union in self.unions)

    @cached_property
    def dags(self) -> tuple[CompiledDAG, ...]:
        """Each graph compiled alone, for what takes one graph at a time. Made when first asked for."""
        return tuple(build(graph) for graph in self.graphs)

    @cached_property
    def alone(self) -> tuple[CompiledDAG, ...]:
        """`dags`, where a graph none of whose ends is reached, which cannot be compiled, has one edge more.

        That edge leads past the user's graph, whose ends stay ends that no path leads to.
        """
        missing = {union.first + int(g) for union in self.unions for g in np.flatnonzero(union.ends < 0)}
        if not missing:
            return self.dags
        return tuple(build(with_a_path(graph) if g in missing else graph) for g, graph in enumerate(self.graphs))

    @cached_property
    def potentials(self) -> tuple[Potential, ...]:
        """Of each section of the layout its name and size, for weights that are packed; no edge is listed."""
        nothing = np.empty(0, np.int64)
        return tuple(Potential(part.name, (part.size,), nothing) for part in self.layout.sections)

    @cached_property
    def packed(self) -> CompiledBatch:
        """The same batch for weights that `layout.pack` has already brought side by side."""
        return dataclasses.replace(self, layout=self.layout.unshared())

    @cached_property
    def owner(self) -> Numbers:
        """[entries of all sections] the graph that each packed entry belongs to."""
        counts = [np.diff(part.offsets) for part in self.layout.sections]
        return np.repeat(np.tile(np.arange(len(self)), len(counts)), np.concatenate(counts))

    def ending(self, end: Any) -> CompiledBatch:
        """The batch with other ends: one node for each graph, by name or number, None where its own end stays."""
        chosen = end.tolist() if hasattr(end, "tolist") else end
        if not isinstance(chosen, list | tuple) or len(chosen) != len(self):
            raise InputError(
                f"end is {end!r}; expected a list with one node, or None, for each of the {len(self)} graphs of the "
                "batch. For a ragged batch on one graph compile that graph alone"
            )
        unions = []
        for union in self.unions:
            ends = union.ends.copy()
            for g in range(union.first, union.last):
                if chosen[g] is not None:
                    ends[g - union.first] = self._rank(union, g, chosen[g])
            unions.append(dataclasses.replace(union, ends=ends))
        return dataclasses.replace(self, unions=tuple(unions))

    def own_number(self, union: Union, g: int) -> int:
        """Graph g's own number of the node where it ends; its last and one more where that joins several ends."""
        k = g - union.first
        return int(union.dag.origin[union.ends[k]] - union.nodes[k])

    def _rank(self, union: Union, g: int, node: Any) -> int:
        """The internal number of a node of graph g at which paths may end, -1 where no path leads."""
        names = self.graphs[g].nodes
        numbers: dict[Any, int] = {} if names is None else dict(zip(names, range(len(names)), strict=True))
        known = isinstance(node, Hashable) and node in numbers
        size = self.graphs[g].num_nodes
        if names is None and not isinstance(node, bool) and isinstance(node, int | np.integer):
            known = 0 <= int(node) < size
        if not known:
            raise InputError(f"end {node!r} is no node of graph {g}; expected one of its {size} nodes")
        number = int(union.nodes[g - union.first]) + (int(node) if names is None else numbers[node])
        rank = int(union.dag.rank[number])
        if rank == PRUNED:
            raise InputError(
                f"end {node!r} of graph {g} leads to no end that the graph was compiled with, so its edges were "
                "dropped; expected a node on a path. Name it in ends= to keep it"
            )
        return max(rank, -1)

    def explain(self) -> str:
        """How many graphs, edges and levels, and how they were joined, as a few lines of text."""
        if not self.unions:
            return "CompiledBatch: 0 graphs"
        levels = [union.dag.num_levels for union in self.unions]
        sizes = [union.last - union.first for union in self.unions]
        bytes_ = sum(union.dag.nbytes for union in self.unions)
        lines = [
            f"CompiledBatch: {len(self)} graphs, {self.num_edges} edges",
            f"  unions    {len(self.unions)} of {min(sizes)} to {max(sizes)} graphs, run side by side",
            f"  levels    {min(levels)} to {max(levels)} a union",
            f"  arrays    {bytes_} bytes of int32 indices",
        ]
        for part in self.layout.sections:
            name = "theta" if part.name is None else part.name
            how = f"shape {part.shapes[0]}, shared by all graphs; " if part.shared is not None else ""
            lines.append(f"  potential {name}: {how}{part.size} entries")
        return "\n".join(lines)

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledBatch:
        """Immutable, so a deep copy of what holds it shares it."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the graphs and their arrays; the copy gets a serial of its own."""
        return CompiledBatch, (self.graphs, self.layout, self.unions)

    def __repr__(self) -> str:
        return f"CompiledBatch({len(self)} graphs, {self.num_edges} edges, {len(self.unions)} unions)"


def compile_batch(graphs: Iterable[Graph | CompiledDAG], *, shared: Sequence[str] = ()) -> CompiledBatch:
    """Different graphs as one CompiledBatch, which every `dp_*` takes in place of a CompiledDAG.

    Parameters
    ----------
    graphs : a CompiledDAG stands for its graph. Where they name potentials, all name the same. A graph none of whose
        ends is reached is an item without a path: value -inf (+inf when minimising), gradient 0.
    shared : names of potentials of which all graphs read one array, such as a transition matrix for utterances of
        different length. They have the same shape in every graph; the gradient is the sum over graphs.

    Graphs are joined in the order given into unions of bounded size, which threads run side by side; results do
    not depend on the number of threads. A list in which neighbours have like depth runs best.

    Raises GraphError as `compile` does, with the number of the graph; and where potentials disagree. Warns as `compile`
    does, once a batch, where no ends were named and a graph has several nodes without children.

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
    made = build_batch(graphs, shared)
    _warn_of_default_ends(made)
    return made


def build_batch(graphs: Iterable[Graph | CompiledDAG], shared: Sequence[str] = ()) -> CompiledBatch:
    """`compile_batch` without its warning: for graphs that were compiled before."""
    if isinstance(graphs, Graph | CompiledDAG) or not isinstance(graphs, Iterable):
        kind = "one graph" if isinstance(graphs, Graph | CompiledDAG) else type(graphs).__name__
        raise GraphError(f"compile_batch was given {kind}; expected a list of graphs")
    given = tuple(graph.graph if isinstance(graph, CompiledDAG) else graph for graph in graphs)
    for g, graph in enumerate(given):
        if not isinstance(graph, Graph):
            raise GraphError(f"graph {g} is {described(graph)}")
    given = tuple(graph.snapshot() for graph in given)
    layout, indices = _laid_out(given, shared)
    edges = [graph.num_edges for graph in given]
    unions = [join(given, indices, layout, first, last) for first, last in _cuts(edges)]
    return CompiledBatch(given, layout, tuple(unions))


def _warn_of_default_ends(batch: CompiledBatch) -> None:
    """One warning, of the first graph that gives cause for it; a graph compiled alone would give its own."""
    for union in batch.unions:
        joint = union.dag.origin[np.maximum(union.ends, 0)] == union.nodes[1:] - 1
        for g in np.flatnonzero(joint & (union.ends >= 0)).tolist():
            graph = batch.graphs[union.first + g]
            if graph.terminals()[1] is None:
                dag = build(graph)
                warn_of_default_ends(graph, dag.ends, f"graph {union.first + g}", 3)
                if dag.ends.size > 1:
                    return


def _cuts(edges: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of graphs, each closed once it has UNION_EDGES: fixed by sizes alone, so that bits are."""
    cuts, first, total = [], 0, 0
    for g, count in enumerate(edges):
        total += count
        if total >= UNION_EDGES or g == len(edges) - 1:
            cuts.append((first, g + 1))
            first, total = g + 1, 0
    return cuts


def _names_of(potentials: Iterable[str | None]) -> str:
    """A graph's potentials, for a message."""
    names = list(potentials)
    return "no named potential" if names == [None] else f"potentials {names}"


def _laid_out(graphs: Sequence[Graph], shared: Sequence[str]) -> tuple[Layout, list[list[Numbers]]]:
    """(the layout, [sections][graphs] each edge's place in the section)."""
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
            index = potential.index
            wrong = np.flatnonzero((index < -1) | (index >= potential.size))
            if wrong.size:
                raise GraphError(
                    f"graph {g}: edge {wrong[0]} reads entry {index[wrong[0]]} of potential "
                    f"{potential.name!r}; expected -1 (none) or an index below {potential.size}"
                )
    if isinstance(shared, str) or not set(shared) <= set(names) - {None}:
        raise GraphError(f"shared is {shared!r}; expected a list of names among {names}")
    made = [section(name, [own[name] for own in potentials], name in shared) for name in names]
    return Layout(len(graphs), tuple(part for part, _ in made)), [places for _, places in made]
