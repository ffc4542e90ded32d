"""What the answers must be, by means that share no mathematics with the package.

Paths are enumerated; rows are solved by closed forms, by sorting (simplex projection) or by bisection in
mpmath; derivatives are finite differences. Nothing here imports dagdp's omega, kernels or reference.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import mpmath
import numpy as np

Edges = list[tuple[int, int]]
Hyperedges = list[tuple[tuple[int, ...], int]]


def paths(edges: Edges, starts: list[int], ends: list[int]) -> Iterator[tuple[int, ...]]:
    """Every path as a tuple of edge numbers."""
    leaving: dict[int, list[int]] = {}
    for e, (parent, _) in enumerate(edges):
        leaving.setdefault(parent, []).append(e)

    def walk(node: int, taken: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if node in ends and taken:
            yield taken
        for e in leaving.get(node, []):
            yield from walk(edges[e][1], (*taken, e))

    for start in starts:
        yield from walk(start, ())


def terminals(edges: Edges) -> tuple[list[int], list[int]]:
    """Nodes without parents, nodes without children."""
    parents, children = {p for p, _ in edges}, {c for _, c in edges}
    return sorted(parents - children), sorted(children - parents)


# ---- one row: (max_Ω(x), weights), each by its own route ----


def hard(x: np.ndarray, gamma: float) -> tuple[float, np.ndarray]:
    best = int(np.argmax(x))
    return float(x[best]), np.eye(len(x))[best] * (x[best] > -math.inf)


def softmax(x: np.ndarray, gamma: float) -> tuple[float, np.ndarray]:
    if np.all(np.isneginf(x)):
        return -math.inf, np.zeros(len(x))
    with mpmath.workdps(30):
        terms = [mpmath.exp(mpmath.mpf(float(k)) / gamma) if k > -math.inf else mpmath.mpf(0) for k in x]
        total = mpmath.fsum(terms)
        return float(gamma * mpmath.log(total)), np.array([float(t / total) for t in terms])


def projection(x: np.ndarray, gamma: float) -> tuple[float, np.ndarray]:
    """The simplex projection of x/γ by sorting, and <q, x> - γ/2 ||q||²."""
    live = np.flatnonzero(x > -math.inf)
    if live.size == 0:
        return -math.inf, np.zeros(len(x))
    z = np.sort(x[live] / gamma)[::-1]
    sums = np.cumsum(z)
    k = max(j for j in range(len(z)) if 1 + (j + 1) * z[j] > sums[j]) + 1
    q = np.zeros(len(x))
    q[live] = np.maximum(x[live] / gamma - (sums[k - 1] - 1) / k, 0)
    return float(q[live] @ x[live] - gamma / 2 * q @ q), q


def tsallis(alpha: float) -> Callable[[np.ndarray, float], tuple[float, np.ndarray]]:
    """max <q, x> - γ Σ (q^α - q)/(α(α-1)): the threshold by bisection on the KKT conditions."""

    def solve(x: np.ndarray, gamma: float) -> tuple[float, np.ndarray]:
        live = np.flatnonzero(x > -math.inf)
        if live.size == 0:
            return -math.inf, np.zeros(len(x))
        scaled = (alpha - 1) * x[live] / gamma
        low, high = scaled.max() - 1, scaled.max()
        for _ in range(200):
            middle = (low + high) / 2
            if (np.maximum(scaled - middle, 0) ** (1 / (alpha - 1))).sum() > 1:
                low = middle
            else:
                high = middle
        q = np.zeros(len(x))
        q[live] = np.maximum(scaled - (low + high) / 2, 0) ** (1 / (alpha - 1))
        return float(q[live] @ x[live] - gamma * ((q**alpha - q).sum()) / (alpha * (alpha - 1))), q

    return solve


def row_solver(omega) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """The oracle for an operator of tests/cases.py, told by its name only."""
    name = type(omega).__name__
    solve = {"HardMax": hard, "Negentropy": softmax, "SquaredL2": projection, "Tsallis15": tsallis(1.5)}.get(name)
    solve = tsallis(omega.alpha) if solve is None else solve
    return lambda x: solve(np.asarray(x, float), float(omega.gamma))


def walk_weights(
    edges: Edges, weights: np.ndarray, starts: list[int], ends: list[int], row
) -> tuple[np.ndarray, float, np.ndarray]:
    """(q [edges], value, q of the choice between the ends), v by recursion with the oracle's row solver."""
    into: dict[int, list[int]] = {}
    for e, (_, child) in enumerate(edges):
        into.setdefault(child, []).append(e)
    values: dict[int, float] = {}
    q = np.zeros(len(edges))

    def value(node: int) -> float:
        if node in starts:
            return 0.0
        if node not in values:
            rows = into.get(node, [])
            if not rows:
                values[node] = -math.inf
            else:
                values[node], q[rows] = row(np.array([weights[e] + value(edges[e][0]) for e in rows]))
        return values[node]

    finals = np.array([value(end) for end in ends])
    total, end_weight = (finals[0], np.ones(1)) if len(ends) == 1 else row(finals)
    return q, float(total), end_weight


def walk_back(edges: Edges, weights: np.ndarray, starts: list[int], ends: list[int], row) -> tuple[float, np.ndarray]:
    """(value, expected path) where the expectation is summed over ENUMERATED paths of the random walk.

    v by recursion with the oracle's row solver; the probability of a path is the product of its q.
    Several ends: one more row over them, as equation (6) has it.
    """
    q, total, end_weight = walk_weights(edges, weights, starts, ends, row)
    expected = np.zeros(len(edges))
    if total > -math.inf:
        chance = dict(zip(ends, end_weight, strict=True))
        for path in paths(edges, starts, ends):
            expected[list(path)] += chance[edges[path[-1]][1]] * math.prod(q[e] for e in path)
    return total, expected


def distribution(
    edges: Edges, weights: np.ndarray, starts: list[int], ends: list[int], row
) -> dict[tuple[int, ...], float]:
    """The probability of every path: the product of the q along it and of the choice of its end. {} without any."""
    q, total, end_weight = walk_weights(edges, weights, starts, ends, row)
    chance = dict(zip(ends, end_weight, strict=True))
    if total == -math.inf:
        return {}
    return {
        path: float(chance[edges[path[-1]][1]] * math.prod(q[e] for e in path)) for path in paths(edges, starts, ends)
    }


# ---- hyperedges: edges are ((parent,) or (parent, parent), child) ----


def derivations(edges: Hyperedges, starts: list[int], node: int) -> list[tuple[int, ...]]:
    """Every derivation of a node as a sorted tuple of edge numbers, an edge as often as it is used."""
    if node in starts:
        return [()]
    found = []
    for e, (parents, child) in enumerate(edges):
        if child == node:
            trees = itertools.product(*(derivations(edges, starts, parent) for parent in parents))
            found += [tuple(sorted((e, *itertools.chain(*parts)))) for parts in trees]
    return found


def derive_back(
    edges: Hyperedges, weights: np.ndarray, starts: list[int], ends: list[int], row
) -> tuple[float, np.ndarray]:
    """(value, expected count of each edge), the expectation summed over ENUMERATED derivations."""
    total, chance, q = _walk_of_derivations(edges, weights, starts, ends, row)
    expected = np.zeros(len(edges))
    for end, share in zip(ends, chance, strict=True):
        for tree in derivations(edges, starts, end):
            np.add.at(expected, list(tree), share * math.prod(q[e] for e in tree))
    return total, expected


def _walk_of_derivations(
    edges: Hyperedges, weights: np.ndarray, starts: list[int], ends: list[int], row
) -> tuple[float, np.ndarray, np.ndarray]:
    """(value, probability of each end, q of each edge). Several ends: one more row over them; 0 without a derivation.

    The probability of a derivation is the product of its q.
    """
    into = {child: [e for e, (_, c) in enumerate(edges) if c == child] for _, child in edges}
    values: dict[int, float] = dict.fromkeys(starts, 0.0)
    q = np.zeros(len(edges))

    def value(node: int) -> float:
        if node not in values:
            rows = into.get(node, [])
            scores = [weights[e] + sum(value(parent) for parent in edges[e][0]) for e in rows]
            values[node], q[rows] = row(np.array(scores)) if rows else (-math.inf, [])
        return values[node]

    finals = np.array([value(end) for end in ends])
    total, chance = (finals[0], np.ones(1)) if len(ends) == 1 else row(finals)
    return float(total), chance if total > -math.inf else np.zeros(len(ends)), q


def preorders(edges: Hyperedges, starts: list[int], node: int) -> list[tuple[int, ...]]:
    """Every derivation of a node as edge numbers: an edge, then the derivations of its parents in order."""
    if node in starts:
        return [()]
    return [
        (e, *itertools.chain(*trees))
        for e, (parents, child) in enumerate(edges)
        if child == node
        for trees in itertools.product(*(preorders(edges, starts, parent) for parent in parents))
    ]


def derivation_distribution(
    edges: Hyperedges, weights: np.ndarray, starts: list[int], ends: list[int], row
) -> dict[tuple[int, ...], float]:
    """{derivation in preorder: product of its q}, for every derivation of an end. Several ends: one more row."""
    _, chance, q = _walk_of_derivations(edges, weights, starts, ends, row)
    return {
        tree: float(share * math.prod(q[e] for e in tree))
        for end, share in zip(ends, chance, strict=True)
        for tree in preorders(edges, starts, end)
    }


def projective_trees(n: int) -> list[tuple[int, ...]]:
    """Every projective dependency tree of words 1 to n under the root 0: heads[k] is the head of word k + 1.

    A tree is projective if no two of its arcs cross; the root has one child or more.
    """

    def rooted(heads: tuple[int, ...]) -> bool:
        for word in range(1, n + 1):
            seen = set()
            while word != 0:
                if word in seen:
                    return False
                seen.add(word)
                word = heads[word - 1]
        return True

    def crossing(heads: tuple[int, ...]) -> bool:
        arcs = [tuple(sorted((word, head))) for word, head in enumerate(heads, 1)]
        return any(a < c < b < d for a, b in arcs for c, d in arcs)

    heads = itertools.product(*([head for head in range(n + 1) if head != word] for word in range(1, n + 1)))
    return [tree for tree in heads if rooted(tree) and not crossing(tree)]


def inside_outside(lexical: np.ndarray, rule: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """(log Z, expected lexical [n, K], expected rule [K, K, K] as [A, B, C]) of a grammar in Chomsky form: loops.

    Score of a tree: lexical[i, A] of each word plus rule[A, B, C] of each inner node; the root is symbol 0.
    """
    (n, K), symbols = lexical.shape, range(lexical.shape[1])
    inside, outside = np.zeros((n + 1, n + 1, K)), np.zeros((n + 1, n + 1, K))
    for i in range(n):
        inside[i, i + 1] = np.exp(lexical[i])
    spans = [(i, i + w) for w in range(2, n + 1) for i in range(n - w + 1)]
    for i, k in spans:
        for j in range(i + 1, k):
            for A, B, C in itertools.product(symbols, repeat=3):
                inside[i, k, A] += math.exp(rule[A, B, C]) * inside[i, j, B] * inside[j, k, C]
    outside[0, n, 0] = 1.0
    counts = np.zeros((K, K, K))
    for i, k in reversed(spans):
        for j in range(i + 1, k):
            for A, B, C in itertools.product(symbols, repeat=3):
                above = outside[i, k, A] * math.exp(rule[A, B, C])
                outside[i, j, B] += above * inside[j, k, C]
                outside[j, k, C] += above * inside[i, j, B]
                counts[A, B, C] += above * inside[i, j, B] * inside[j, k, C]
    total = inside[0, n, 0]
    words = np.stack([outside[i, i + 1] * inside[i, i + 1] for i in range(n)])
    return math.log(total), words / total, counts / total


def matrix_chain(sizes: list[int]) -> int:
    """The fewest multiplications for a product of matrices sizes[k] x sizes[k + 1]: the textbook's table."""
    n = len(sizes) - 1
    least = np.zeros((n, n), int)
    for width in range(1, n):
        for i in range(n - width):
            k = i + width
            least[i, k] = min(
                least[i, j] + least[j + 1, k] + sizes[i] * sizes[j + 1] * sizes[k + 1] for j in range(i, k)
            )
    return int(least[0, -1])


def textbook_viterbi(theta: np.ndarray) -> tuple[float, list[int]]:
    """Best state sequence of theta[t, to, from] with y_0 = 0, by trying all."""
    T, S, _ = theta.shape
    best = max(
        itertools.product(range(S), repeat=T),
        key=lambda y: theta[0, y[0], 0] + sum(theta[t, y[t], y[t - 1]] for t in range(1, T)),
    )
    score = theta[0, best[0], 0] + sum(theta[t, best[t], best[t - 1]] for t in range(1, T))
    return float(score), list(best)


def textbook_dtw(cost: np.ndarray) -> float:
    """The least cost of an alignment: the double loop of the textbooks."""
    n, m = cost.shape
    D = np.full((n + 1, m + 1), np.inf)
    D[0, 0] = 0
    for i in range(n):
        for j in range(m):
            D[i + 1, j + 1] = cost[i, j] + min(D[i, j], D[i, j + 1], D[i + 1, j])
    return float(D[n, m])


def delannoy(n: int, m: int) -> int:
    """Number of alignments of series of lengths n and m: Delannoy(n-1, m-1)."""
    a, b = n - 1, m - 1
    return sum(math.comb(a + b - k, a) * math.comb(a, k) for k in range(min(a, b) + 1))


def central(function: Callable[[float], np.ndarray], step: float = 1e-6) -> np.ndarray:
    """d function(t)/dt at 0, fourth order."""
    near, far = function(step) - function(-step), function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)


def reading_matrix(size: int, index, coefficient=1.0) -> np.ndarray:
    """[edges, size] the coefficient with which each edge reads each entry, summed entry by entry.

    index : one entry, or a list of entries, for each edge; -1 for none.  coefficient : a number, or like index.
    """
    made = np.zeros((len(index), size))
    for e, entries in enumerate(index):
        row = entries if isinstance(entries, list) else [entries]
        own = coefficient[e] if isinstance(coefficient, list) else coefficient
        for k, entry in enumerate(row):
            if entry != -1:
                made[e, entry] += own[k] if isinstance(own, list) else own
    return made
