"""A graph with linear potentials, as arrays and as the dense matrices that say the same."""

from __future__ import annotations

import numpy as np
from oracles import reading_matrix

from dagdp import Graph

#: Parallel edges, a relay, and two ends, one of which has an outgoing edge.
EDGES = [(0, 1), (0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (0, 4)]
ENDS = [3, 4]
#: {name: (shape, index, coefficient)}: several entries, an entry read twice, an entry that is read twice to 0, negative
#: and fractional coefficients, 0, an edge that reads nothing; a potential of one number; one that is plain.
READS = {
    "cost": (
        (2, 3),
        [[0, 1], [2, 2], [3, -1], [4, 5], [1, 1], [-1, -1], [0, 3], [5, 2], [4, -1]],
        [
            [1.0, -0.5],
            [0.5, 0.25],
            [2.0, 7.0],
            [1.0, 1.0],
            [1.5, -1.5],
            [3.0, 3.0],
            [0.0, 1.0],
            [-1.0, 0.3],
            [1.0, 0.0],
        ],
    ),
    "gap": ((), [0, -1, 0, 0, -1, -1, 0, -1, 0], [-1.0, 1.0, 2.0, 0.5, 1.0, 1.0, 0.0, 1.0, -2.0]),
    "kind": ((2,), [0, 1, -1, 0, 1, -1, 0, 0, 1]),
}
MATRICES = {name: reading_matrix(int(np.prod(shape)), *reads) for name, (shape, *reads) in READS.items()}


def linear(ends=ENDS) -> Graph:
    parents, children = zip(*EDGES, strict=True)
    return Graph.from_edges(parents, children, ends=ends, potentials=READS)


def random_theta(rng: np.random.Generator, batch=(), shared=()) -> dict[str, np.ndarray]:
    """Blocks [*batch, *shape], without batch axes for the names in `shared`."""
    return {name: rng.normal(size=(*(() if name in shared else batch), *shape)) for name, (shape, *_) in READS.items()}


def edge_weights(theta: dict[str, np.ndarray], batch=()) -> np.ndarray:
    """[*batch, edges] by dense matrices."""
    total = np.zeros((*batch, len(EDGES)))
    for name, block in theta.items():
        own = block.shape[: block.ndim - len(READS[name][0])]
        total = total + block.reshape(*own, -1) @ MATRICES[name].T
    return total


def entry_gradients(flows: np.ndarray, theta: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The gradients of flows [*batch, edges] in the form of theta: a block without batch axes gets the sum."""
    made = {}
    for name, block in theta.items():
        whole = flows @ MATRICES[name]
        carried = block.ndim > len(READS[name][0])
        made[name] = (whole if carried else whole.reshape(-1, whole.shape[-1]).sum(0)).reshape(block.shape)
    return made
