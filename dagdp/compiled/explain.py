"""The structure that compilation found in a graph, as a few lines of text."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagdp.compiled.terminals import UNREACHED
from dagdp.describe.linear_reads import LinearReads, triples


def explained(dag: Any) -> str:
    """The text of `CompiledDAG.explain`."""
    levels = dag.wiring.incoming.levels
    widths = np.diff(levels)
    fan_in = np.bincount(dag.children, minlength=dag.num_nodes)[levels[1] :]
    dead_nodes = int((dag.rank < 0).sum())
    dead_edges = dag.graph.num_edges - int((dag.edges >= 0).sum())
    lines = [
        f"CompiledDAG: {dag.num_nodes} nodes, {dag.num_edges} edges, {dag.num_levels} levels",
        f"  given     {dag.graph.num_nodes} nodes, {dag.graph.num_edges} edges; "
        f"dead (on no start-end path): {dead_nodes} nodes, {dead_edges} edges",
        *_describe_added(dag),
        f"  ends      {_describe_ends(dag)}",
        f"  width     {widths.min()} to {widths.max()} nodes a level, {widths.mean():.1f} on average",
        f"  fan-in    {fan_in.min()} to {fan_in.max()} edges, {fan_in.mean():.1f} on average",
        f"  edges     {_describe_runs(dag)}",
        f"  arrays    {dag.nbytes} bytes of int32 indices",
    ]
    if dag.has_hyperedges:
        pairs = int((dag.seconds >= 0).sum())
        lines.insert(1, f"  of these  {pairs} edges have two parents; nothing is hoisted or tied beside such edges")
    if dag.minimize:
        lines.append("  sign      costs: minimised, unless a call says otherwise")
    if dag.linear is not None:
        lines.append(
            f"  linear    {dag.linear.reads} reads make the weights of {dag.linear.edges} edges, in front of the "
            f"kernels; {dag.linear.nbytes} bytes"
        )
    for k, potential in enumerate(dag.potentials):
        name = "theta" if potential.name is None else potential.name
        where = "hoisted to nodes: read once a node" if k in dag.hoisted else "read on each edge"
        if isinstance(potential.reads, LinearReads):
            where = "linear, with coefficients"
        entries = triples(potential.reads).entry
        uses = np.bincount(entries, minlength=1).max()
        tied = f"; tied, an entry serves up to {uses} edges" if uses > 1 else ""
        lines.append(f"  potential {name} {potential.shape}: {where}{tied}")
    window = int(dag.wiring.window.place[-1])
    back = "from weights stored in the gradient" if dag.weights_fit else "by pulling"
    lines.append(f"  kernels   cpu: rows of samples, or of nodes; forward over slots, backward {back}")
    lines += _describe_ties(dag)
    lines.append(f"  memory    v of {window} nodes at a time for the value alone, of all nodes for derivatives")
    return "\n".join(lines)


def _describe_runs(dag: Any) -> str:
    _, counts, _, steps = dag.wiring.incoming.runs.T
    shares = []
    for step, word in ((1, "shifted"), (0, "dense"), (-1, "read by index")):
        edges = int(counts[steps == step].sum())
        if edges:
            shares.append(f"{100 * edges / dag.num_edges:.0f} % {word}")
    return ", ".join(shares) + " (forward)"


def _describe_ties(dag: Any) -> list[str]:
    tied = dag.wiring.tied
    used = np.bincount(tied.pattern[tied.pattern >= 0], minlength=len(tied.shapes))
    what = [f"{n} levels by 1 matrix of {m} x {d}" for n, (m, d) in zip(used, tied.shapes.tolist(), strict=True)]
    return [f"  tied      {'; '.join(what)}: multiplied where samples share it (Negentropy)"] if what else []


def _describe_added(dag: Any) -> list[str]:
    inner, added = len(dag.entrances), dag.graph.added_start
    if inner:
        which = "1 start is" if inner == 1 else f"{inner} starts are"
        return [f"  starts    {dag.starts.size}; {which} reached from another start: 1 more node and edge each"]
    if added is None or dag.graph.recurrence is not None:
        return []
    starts = int((dag.graph.edges()[0] == added).sum())
    edges = f"{starts} edge{'' if starts == 1 else 's'}"
    return [f"  of these  1 node and {edges} were added in front of the starts, whose entries are read there"]


def _unreached_ends(dag: Any) -> int:
    """The number of nodes without children that no start reaches."""
    fan_out, fan_in = (np.bincount(nodes, minlength=dag.rank.size) for nodes in dag.graph.listed().arcs())
    return int(((fan_out == 0) & (fan_in > 0) & (dag.rank == UNREACHED)).sum())


def _describe_ends(dag: Any) -> str:
    named = dag.graph.terminals()[1]
    lost = _unreached_ends(dag) if named is None else int(np.unique(named).size - dag.ends.size)
    more = f"; dropped, as no start reaches them: {lost}" if lost else ""
    if dag.ends.size == 1:
        return f"1, no extra node{more}"
    return f"{dag.ends.size}, joined by one extra node (the maximum over them){more}"
