"""The best path of one graph, and of every graph of a batch."""

from __future__ import annotations

from typing import Any

from dagdp.compiled.dag import CompiledDAG
from dagdp.compiler.batch import CompiledBatch
from dagdp.engine.each_graph import for_each_graph
from dagdp.engine.inputs import as_written
from dagdp.errors import InputError
from dagdp.paths.best_of_batch import best_paths
from dagdp.paths.best_on_device import best_on_device, stays_on_device
from dagdp.paths.derivations.ranked import best_tree
from dagdp.paths.derivations.result import of_graphs
from dagdp.paths.loops.sample_blocks import best_edges
from dagdp.paths.request.request import make_request
from dagdp.paths.result import laid_out
from dagdp.paths.ties import tied_paths, tied_shares

TIES = ("first", "list", "share")


def best_path(
    dag: CompiledDAG | CompiledBatch,
    theta: Any,
    *,
    minimize: bool | None = None,
    end: Any = None,
    ties: str = "first",
) -> Any:
    """The path of the highest score (the lowest when minimising), equation (3): `Paths` with axes [*batch].

    On a graph with hyperedges the derivation of the highest score: `Derivations` with axes [*batch].

    Ties go to the first edge, in the user's order, into each node, as for `dp_grad` under HardMax; `ties` chooses
    otherwise. An item without a path has length 0. Of a batch of different graphs, the best path of each graph: axes
    [*batch, graphs].

    Scores are summed in about 106 bits and rounded once. In float64 they are the `dp_value` under HardMax to the bit,
    and the path is the one that `dp_grad` marks. Of float32 weights the score is rounded to float32 at the end, whereas
    `dp_value` rounds the potentials of each edge to float32 and goes on in about 48 bits: on a graph with one potential
    the two agree unless rounding falls between them, and differ by one unit in the last place then.

    Tensors on a CUDA device stay there: one launch finds the paths, and the host does not wait. Scores are then those
    of `dp_value` under HardMax, edges and nodes are padded to the longest path of the graph, and errors come late, as
    for `dp_value`. Batches of different graphs, derivations and graphs with linear potentials are computed on the host,
    which theta is moved to and the paths are moved from.

    ties : "first": one path. "list": every best path, `Paths` or `Derivations` with axes [*batch, m], the path of
        "first" in front; items with fewer of them are padded with paths of length 0. "share": an array [*batch, edges]
        in the order of `add_edge`, in theta's dtype: a unit flows from the item's end back to the starts, and at each
        node the edges that attain the maximum divide the flow evenly. The shares are a subgradient of the best score,
        as that of `torch.amax`. Of a batch of different graphs a list with an array for each graph. Paths tie if their
        sums of about 106 bits are equal: 0.1 + 0.2 and 0.3 do not tie.
    theta, minimize, end : as in `dp_value`.

    Raises InputError as `dp_value` does, for other `ties`, and where "list" would have more than 10⁸ edges.

    Example
    -------
    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> best_path(dag, [1.0, 3.0, 2.0], ties="list").edges.tolist()
    [[1, -1], [0, 2]]
    >>> best_path(dag, [1.0, 3.0, 2.0], ties="share").tolist()
    [0.5, 0.5, 0.5]
    >>> path = best_path(dag, [1.0, 2.5, 2.0])
    >>> float(path.scores), path.edges.tolist(), path.nodes.tolist()
    (3.0, [0, 2], [0, 1, 2])
    """
    if ties not in TIES:
        raise InputError(f"ties is {ties!r}; expected one of {TIES}")
    minimize = as_written(dag, minimize)
    if ties != "first":
        return (tied_paths if ties == "list" else tied_shares)(dag, theta, minimize, end)
    if isinstance(dag, CompiledDAG) and stays_on_device(dag, theta):
        return best_on_device(dag, theta, minimize, end)
    if isinstance(dag, CompiledBatch) and not any(part.dag.has_hyperedges for part in dag.merged):
        return best_paths(dag, theta, minimize, end)
    return _best_path(dag, theta, minimize, end)


@for_each_graph(of_graphs)
def _best_path(dag: CompiledDAG | CompiledBatch, theta: Any, minimize: bool, end: Any) -> Any:
    request = make_request(dag, theta, minimize, end)
    if request.trees:
        return best_tree(request)
    scores, edges = best_edges(request)
    return laid_out(request, edges.reshape(*request.batch, edges.shape[-1]), scores.reshape(request.batch))
