"""The functions `dagdp.dp_*` in float64 and plain Python loops, to be read with the paper in hand.

Algorithms 1 and 2 are followed line by line: every local weight q_ij and its tangent is stored, nodes are visited one
at a time, and max_Ω is found by bisection instead of the kernels' solvers. Slow and clear. Parameters, errors and the
shapes of results are those of the functions of `dagdp` with equal names; `threads` has no effect. Only NumPy arrays: a
tensor raises InputError, as nothing here is differentiable.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp.compiled.dag import CompiledDAG
from dagdp.describe.linear_reads import triples
from dagdp.engine.faults import raise_first_fault
from dagdp.engine.infeasible import refuse_infeasible, refuses
from dagdp.engine.inputs import Weights, arrange, as_written, batch_of, checked, collect, terminal_shape
from dagdp.omega import Omega

Row = list[float]


def max_omega(x: Row, omega: Omega) -> tuple[float, Row, Row]:
    """(max_Ω(x), q = ∇max_Ω(x), s) for one row, where the Jacobian is (diag(s) - s sᵀ/Σs)/γ.

    x, q, s are lists [entries]; max_Ω(x) = min_τ τ + γ Σ_k ω*((x_k - τ)/γ), and τ solves Σ link((x_k - τ)/γ) = 1. A row
    whose entries are all -inf has value -inf and weights 0.

    >>> from dagdp import Negentropy
    >>> value, q, s = max_omega([0.0, 0.0], Negentropy(1.0))
    >>> round(value, 12) == round(math.log(2.0), 12), [round(k, 12) for k in q]
    (True, [0.5, 0.5])
    """
    m = max(x)
    if m == -math.inf:
        return m, [0.0] * len(x), [0.0] * len(x)
    if omega.solver == "first":
        first = x.index(m)
        return m, [1.0 if k == first else 0.0 for k in range(len(x))], [0.0] * len(x)
    gamma = omega.gamma
    live = [k for k in range(len(x)) if x[k] > -math.inf]

    def total(a: float) -> float:
        return sum(omega.link((x[k] - m) / gamma - a) for k in live)  # type: ignore[attr-defined]

    low, high = -omega.corner, -omega.corner + 1.0
    while total(high) > 1.0:
        high += high - low
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if total(middle) > 1.0 else (low, middle)
    a = 0.5 * (low + high)
    y = {k: (x[k] - m) / gamma - a for k in live}
    q = [omega.link(y[k]) if k in y else 0.0 for k in range(len(x))]  # type: ignore[attr-defined]
    s = [omega.slope(y[k]) if k in y else 0.0 for k in range(len(x))]  # type: ignore[attr-defined]
    value = m + gamma * (a + sum(omega.conjugate(y[k]) for k in live))  # type: ignore[attr-defined]
    return value, q, s


def jacobian_product(s: Row, x_dot: Row, gamma: float) -> Row:
    """q̇ = J_Ω ẋ = (diag(s) - s sᵀ/Σs) ẋ / γ (section B.1); lists [entries]."""
    if sum(s) == 0.0:
        return [0.0] * len(s)
    mean = sum(a * b for a, b in zip(s, x_dot, strict=True)) / sum(s)
    return [a * (b - mean) / gamma for a, b in zip(s, x_dot, strict=True)]


class _Item:
    """One batch item: the live edges as (number, parents, child), nodes in topological order.

    A hyperedge has two parents j and k, x_e = θ_e + v_j + v_k. Sums over parents count a node twice if they are equal.
    """

    def __init__(self, dag: CompiledDAG, theta: NDArray[Any], omega: Omega, end: int) -> None:
        by_user = np.lexsort((dag.slots, dag.edges))  # edges of number -1 enter the extra end in the order of ties
        second = np.full(dag.num_edges, -1) if dag.seconds is None else dag.seconds
        pairs = [[int(node) for node in (dag.parents[k], second[k]) if node >= 0] for k in range(dag.num_edges)]
        self.edges = [(int(dag.edges[k]), pairs[k], int(dag.children[k])) for k in by_user]
        self.into: dict[int, list[int]] = {i: [] for i in range(dag.num_nodes)}
        for k, (_, _, child) in enumerate(self.edges):
            self.into[child].append(k)
        self.theta, self.omega, self.end, self.nodes = theta, omega, end, dag.num_nodes

    @property
    def value(self) -> float:
        """v at the end; -inf if no path leads there."""
        return self.v[self.end] if self.end >= 0 else -math.inf

    def weight(self, k: int, of: NDArray[Any]) -> float:
        edge = self.edges[k][0]
        return float(of[edge]) if edge >= 0 else 0.0

    def scores(self, i: int, of: NDArray[Any], at: Row) -> Row:
        """For each edge into node i: its entry of `of`, plus `at` of its parents."""
        return [self.weight(k, of) + sum(at[j] for j in self.edges[k][1]) for k in self.into[i]]

    def forward(self, start: int | None = None) -> None:
        """Algorithm 1, first loop: v_i = max_Ω over j of θ_ij + v_j; v = 0 at `start`, or at all starts for None."""
        self.v = [0.0 if start in (None, i) else -math.inf for i in range(self.nodes)]
        self.q, self.s = [0.0] * len(self.edges), [0.0] * len(self.edges)
        for i in range(self.nodes):
            if self.into[i]:
                self.v[i], q, s = max_omega(self.scores(i, self.theta, self.v), self.omega)
                for place, k in enumerate(self.into[i]):
                    self.q[k], self.s[k] = q[place], s[place]

    def backward(self) -> None:
        """Algorithm 1, second loop: e_ij = q_ij ē_i, ē_j = Σ_i e_ij."""
        self.e_bar = [0.0] * self.nodes
        self.e = [0.0] * len(self.edges)
        self.e_bar[self.end] = 1.0 if self.value > -math.inf else 0.0
        for i in reversed(range(self.nodes)):
            if self.e_bar[i] != 0.0:
                for k in self.into[i]:
                    self.e[k] = self.q[k] * self.e_bar[i]
                    for j in self.edges[k][1]:
                        self.e_bar[j] += self.e[k]

    def weights_before_end(self) -> Row:
        """q_ij if i lies on a path to the end, else 0."""
        before = [False] * self.nodes
        before[self.end] = self.end >= 0
        for i in reversed(range(self.nodes)):
            for k in self.into[i] if before[i] else ():
                for j in self.edges[k][1]:
                    before[j] = True
        return [q if before[child] else 0.0 for q, (_, _, child) in zip(self.q, self.edges, strict=True)]

    def forward_tangent(self, z: NDArray[Any]) -> None:
        """Algorithm 2, (A1) and (A2): v̇_i = Σ_j q_ij (z_ij + v̇_j), q̇_i = J_Ω (z_ij + v̇_j)_j."""
        self.v_dot = [0.0] * self.nodes
        self.q_dot = [0.0] * len(self.edges)
        for i in range(self.nodes):
            rows = self.into[i]
            x_dot = self.scores(i, z, self.v_dot)
            self.v_dot[i] = sum(self.q[k] * x for k, x in zip(rows, x_dot, strict=True) if self.q[k] != 0.0)
            for k, q_dot in zip(
                rows, jacobian_product([self.s[k] for k in rows], x_dot, self.omega.gamma), strict=True
            ):
                self.q_dot[k] = q_dot

    def backward_tangent(self) -> None:
        """Algorithm 2, (A3): ė_ij = q̇_ij ē_i + q_ij ē̇_i."""
        e_bar_dot = [0.0] * self.nodes
        self.e_dot = [0.0] * len(self.edges)
        for i in reversed(range(self.nodes)):
            if self.e_bar[i] != 0.0 or e_bar_dot[i] != 0.0:
                for k in self.into[i]:
                    self.e_dot[k] = self.q_dot[k] * self.e_bar[i] + self.q[k] * e_bar_dot[i]
                    for j in self.edges[k][1]:
                        e_bar_dot[j] += self.e_dot[k]

    def per_edge(self, values: Row, num_edges: int) -> NDArray[np.float64]:
        """[edges] values of live edges in the user's order; 0 on dead edges."""
        made = np.zeros(num_edges)
        for (edge, _, _), value in zip(self.edges, values, strict=True):
            if edge >= 0:
                made[edge] = value
        return made


def _edge_weights(dag: CompiledDAG, weights: Weights, item: int) -> NDArray[np.float64]:
    """[edges] the sum over potentials of what each edge reads: an entry, or coefficient x entry of several."""
    total = np.zeros(dag.graph.num_edges)
    for potential, block in zip(dag.potentials, weights.blocks, strict=True):
        row, reads = block[item if block.shape[0] > 1 else 0], triples(potential.reads)
        for edge, entry, coefficient in zip(reads.edge, reads.entry, reads.coefficient, strict=True):
            total[edge] += coefficient * row[entry]
    return total


def _run(
    dag: CompiledDAG,
    theta: Any,
    omega: Omega | None,
    z: Any,
    minimize: bool | None,
    between: tuple[Any, Any],
    on_infeasible: str,
) -> tuple[Any, Any, Any, Any]:
    """(value, gradient, jvp, hvp) of all items; the last two are None without z."""
    omega = checked(dag, omega, None)
    refuse = refuses(on_infeasible)
    keyed, arrays, batches = collect(dag, theta)
    z_parts = (False, [], []) if z is None else collect(dag, z, "z")
    batch = batch_of(batches, z_parts[2], terminal_shape(*between, dag))
    weights = arrange(keyed, arrays, batches, batch, np.float64)
    direction = None if z is None else arrange(*z_parts, batch, np.float64)
    starts, ends, _ = dag.terminals(*between, batch)
    sign = -1.0 if as_written(dag, minimize) else 1.0
    raise_first_fault(dag, weights, ends, "theta", -np.inf, sign, None, starts)
    if direction is not None:
        raise_first_fault(dag, direction, ends, "z", float(np.finfo(np.float64).min), 1.0, None, starts)
    value, slope = np.empty(ends.size), np.empty(ends.size)
    E, H = [np.zeros(a.shape) for a in weights.given], [np.zeros(a.shape) for a in weights.given]
    for b, at in enumerate(ends):
        item = _Item(dag, sign * _edge_weights(dag, weights, b), omega, int(at))
        item.forward(int(starts[b]) if starts.size else None)
        item.backward()
        value[b] = sign * item.value + 0.0
        _scatter(dag, weights, b, item.per_edge(item.e, dag.graph.num_edges), E)
        if direction is not None:
            item.forward_tangent(_edge_weights(dag, direction, b))
            item.backward_tangent()
            slope[b] = item.v_dot[item.end] if math.isfinite(item.value) else 0.0
            _scatter(dag, weights, b, sign * item.per_edge(item.e_dot, dag.graph.num_edges), H)

    if refuse:
        refuse_infeasible(value.reshape(batch), sign)

    def shaped(arrays: list[NDArray[np.float64]]) -> Any:
        return {p.name: a for p, a in zip(dag.potentials, arrays, strict=True)} if keyed else arrays[0]

    value, slope = value.reshape(batch)[()], slope.reshape(batch)[()]
    return (value, shaped(E), None, None) if z is None else (value, shaped(E), slope, shaped(H))


def _scatter(
    dag: CompiledDAG, weights: Weights, item: int, edges: NDArray[np.float64], out: list[NDArray[np.float64]]
) -> None:
    for potential, block, array in zip(dag.potentials, weights.blocks, out, strict=True):
        row, reads = array.reshape(block.shape)[item if block.shape[0] > 1 else 0], triples(potential.reads)
        for edge, entry, coefficient in zip(reads.edge, reads.entry, reads.coefficient, strict=True):
            row[entry] += coefficient * edges[edge]


def dp_value(
    dag: CompiledDAG,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
) -> Any:
    """DP_Ω(θ): array float64 [*batch], a score, or a cost when minimising (equation 6). See `dagdp.dp_value`.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> float(dp_value(dag, [1.0, 2.5, 2.0], dagdp.HardMax()))
    3.0
    """
    return _run(dag, theta, omega, None, minimize, (start, end), on_infeasible)[0]


def dp_grad(
    dag: CompiledDAG,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
) -> Any:
    """E = ∇DP_Ω(θ), float64, shaped and keyed like theta (Algorithm 1); counts on graphs with hyperedges.

    In [0, 1] on graphs without hyperedges, where entries are not shared. See `dagdp.dp_grad`.

    >>> import dagdp
    >>> dag = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))
    >>> dp_grad(dag, [1.0, 2.5, 2.0], dagdp.HardMax()).tolist()
    [1.0, 0.0, 1.0]
    """
    return _run(dag, theta, omega, None, minimize, (start, end), on_infeasible)[1]


def local_weights(
    dag: CompiledDAG,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
) -> NDArray[np.float64]:
    """q = ∇max_Ω of every edge at its child: float64 [*batch, edges], in [0, 1]. See `dagdp.local_weights`."""
    omega = checked(dag, omega, threads)
    _, arrays, batches = collect(dag, theta)
    batch = batch_of(batches, [], terminal_shape(start, end, dag))
    weights = arrange(isinstance(theta, dict), arrays, batches, batch, np.float64)
    starts, ends, _ = dag.terminals(start, end, batch)
    sign = -1.0 if as_written(dag, minimize) else 1.0
    raise_first_fault(dag, weights, ends, "theta", -np.inf, sign, None, starts)
    q = np.zeros((ends.size, dag.graph.num_edges))
    for b, at in enumerate(ends):
        edges = sign * _edge_weights(dag, weights, b)
        item = _Item(dag, edges, omega, int(at))
        item.forward(int(starts[b]) if starts.size else None)
        q[b] = item.per_edge(item.weights_before_end(), dag.graph.num_edges)
    return q.reshape(*batch, dag.graph.num_edges)


def dp_value_and_grad(
    dag: CompiledDAG,
    theta: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
) -> tuple[Any, Any]:
    """(DP_Ω(θ) float64 [*batch], E float64 shaped and keyed like theta). See `dagdp.dp_value_and_grad`."""
    return _run(dag, theta, omega, None, minimize, (start, end), on_infeasible)[:2]


def dp_jvp(
    dag: CompiledDAG,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
) -> Any:
    """<E, Z>, the derivative of DP_Ω(θ) along z: float64 [*batch] (Algorithm 2, A1). See `dagdp.dp_jvp`."""
    return _run(dag, theta, omega, z, minimize, (start, end), on_infeasible)[2]


def dp_hvp(
    dag: CompiledDAG,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
) -> Any:
    """∇²DP_Ω(θ) Z, the Hessian times z: float64, shaped and keyed like theta (Algorithm 2). See `dagdp.dp_hvp`."""
    return _run(dag, theta, omega, z, minimize, (start, end), on_infeasible)[3]


def dp_jvp_and_hvp(
    dag: CompiledDAG,
    theta: Any,
    z: Any,
    omega: Omega | None = None,
    *,
    minimize: bool | None = None,
    start: Any = None,
    end: Any = None,
    on_infeasible: str = "value",
    threads: int | None = None,
) -> tuple[Any, Any]:
    """(<E, Z> float64 [*batch], ∇²DP_Ω(θ) Z float64 shaped and keyed like theta). See `dagdp.dp_jvp_and_hvp`."""
    return _run(dag, theta, omega, z, minimize, (start, end), on_infeasible)[2:]
