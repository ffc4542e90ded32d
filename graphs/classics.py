"""Textbooks' dynamic programs as recurrences: intervals, knapsacks, subsequences, paragraphs.

Under HardMax each gives the textbook's number. Under Negentropy the gradients and `node_marginals` are probabilities of
the parts of a solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import Graph, GraphError, recurrence
from dagdp.graphs.alignment_grid import positive

MATRIX_CHAIN = """
    product[i, i] = 0
    product[i, j] = min[k](when(i <= k and k < j, product[i, k] + product[k+1, j]) + cost[i, k, j])
    return product[0, -1]
"""
SEARCH_TREE = """
    tree[i, i] = weight[i, i]
    tree[i, j] = min[r](when(i <= r and r < j, tree[i, r] + tree[r+1, j])) + weight[i, j]
    return tree[0, -1]
"""
RNA_FOLDING = """
    fold[i, i] = 0
    fold[i, j] = when(i < j, fold[i, j-1])
    fold[i, j] = max[k](when(i <= k and j - k > loop + 1, fold[i, k] + fold[k+1, j-1]) + pair[k, j-1])
    return fold[0, -1]
"""
KNAPSACK = """
    best[0, c] = 0
    best[i, c] = max(best[i-1, c], when(i > 0, best[i-1, c - weight[i-1]] + value[i-1]))
    return best[-1, -1]
"""
INCREASING_SUBSEQUENCE = """
    best[i] = max(0, max[j](when(j < i and x[j] < x[i], best[j]))) + score[i]
    return max[i](best[i])
"""
JUSTIFICATION = """
    lines[0] = 0
    lines[j] = min[i](when(i < j and fits[i, j], lines[i] + square[i, j] * price))
    return lines[-1]
"""
COIN_CHANGE = """
    paid[0, 0] = 0
    paid[c, a] = min(paid[c-1, a], paid[c, a - coin[c]] + price[c])
    return paid[-1, -1]
"""


def matrix_chain(N: int) -> Graph:
    """The order in which a product of N matrices is computed (Godbole 1973; CLRS, section 15.2).

    One potential `cost` (N, N, N) as [i, k, j], to be minimised: the price of the product of two products, of matrices
    i to k and of matrices k+1 to j. Entries without i <= k < j are never read. For matrices of sizes p[i] x p[i+1] the
    numbers of multiplications are `p[:-1, None, None] * p[None, 1:, None] * p[None, None, 1:]`.

    The table product[i, j] has the ways to compute the product of matrices i to j, and its node marginal is the
    probability that this product is formed.

    Raises GraphError for sizes below 1.

    >>> print(matrix_chain(6).text)
    product[i, i] = 0
    product[i, j] = min[k](when(i <= k and k < j, product[i, k] + product[k+1, j]) + cost[i, k, j])
    return product[0, -1]
    >>> import dagdp
    >>> p = np.array([30.0, 35, 15, 5, 10, 20, 25])  # the sizes of CLRS
    >>> cost = p[:-1, None, None] * p[None, 1:, None] * p[None, None, 1:]
    >>> dagdp.dp_value(dagdp.compile(matrix_chain(6)), cost, dagdp.HardMax()).item()
    15125.0
    """
    positive("matrix_chain", N=N)
    return recurrence(MATRIX_CHAIN, {"cost": (N, N, N)}, i=N, j=N, k=N)


def search_tree(N: int) -> Graph:
    """The binary search tree of least expected cost over N keys (Knuth 1971; CLRS, section 15.5).

    One potential `weight` (N+1, N+1) as [i, j], to be minimised: the probability that a search reaches the subtree of
    keys i to j-1. For probabilities p [N] of the keys and q [N+1] of the gaps around them `weight[i, j]` is
    `p[i:j].sum() + q[i:j+1].sum()`; entries with j < i are never read. A tree costs the weights of its subtrees, the
    empty ones [i, i] included: CLRS's expected number of comparisons.

    The table tree[i, j] has the trees of keys i to j-1, and the gradient is the probability that these keys form a
    subtree. A torch user who computes `weight` from p gets the expected depth of each key, counted from 1.

    Raises GraphError for sizes below 1.

    >>> print(search_tree(5).text)
    tree[i, i] = weight[i, i]
    tree[i, j] = min[r](when(i <= r and r < j, tree[i, r] + tree[r+1, j])) + weight[i, j]
    return tree[0, -1]
    """
    positive("search_tree", N=N)
    return recurrence(SEARCH_TREE, {"weight": (N + 1, N + 1)}, i=N + 1, j=N + 1, r=N)


def rna_folding(N: int, min_loop: int = 3) -> Graph:
    """Secondary structures of N bases without crossing pairs (Nussinov et al. 1978).

    One potential `pair` (N, N) as [k, j], k < j, to be maximised: the score of a pair of bases k and j, -inf where they
    cannot pair. A score of 1 for each pair gives Nussinov's largest number of pairs; -energy / (R T) gives a partition
    function in the way of McCaskill (1990), and the gradient is the matrix of base-pair probabilities.

    Every structure is one derivation: the last base is alone, or is paired with some k. Nussinov's four cases count a
    structure several times, and would give other probabilities. The table fold[i, j] has the structures of bases i to
    j-1. For sequences of several lengths pass `end=dag.cell("fold", 0, lengths)`.

    N : bases, at least 1.  min_loop : the least number of bases between the two of a pair, at least 0.

    Raises GraphError for sizes below 1, and for a loop that is no whole number.

    >>> print(rna_folding(8).text)
    fold[i, i] = 0
    fold[i, j] = when(i < j, fold[i, j-1])
    fold[i, j] = max[k](when(i <= k and j - k > loop + 1, fold[i, k] + fold[k+1, j-1]) + pair[k, j-1])
    return fold[0, -1]
    """
    positive("rna_folding", N=N)
    if isinstance(min_loop, bool) or not isinstance(min_loop, int | np.integer) or min_loop < 0:
        raise GraphError(f"rna_folding was given min_loop={min_loop!r}; expected a whole number, at least 0")
    return recurrence(RNA_FOLDING, {"pair": (N, N)}, i=N + 1, j=N + 1, k=N, loop=np.array(min_loop))


def knapsack(weights: Sequence[int], capacity: int) -> Graph:
    """All subsets of items whose weights are at most a capacity together: the 0/1 knapsack (Bellman 1957).

    One potential `value` (N,), to be maximised: what each item is worth. The gradient is the probability that an item
    is packed. Every subset is one path. The table best[i, c] has the subsets of the first i items that fit into a room
    of c.

    weights : whole numbers, at least 0.  capacity : a whole number, at least 0.

    Raises GraphError for other weights and capacities.

    >>> print(knapsack([3, 4, 5], 7).text)
    best[0, c] = 0
    best[i, c] = max(best[i-1, c], when(i > 0, best[i-1, c - weight[i-1]] + value[i-1]))
    return best[-1, -1]
    """
    weight = _whole("knapsack", 0, weights=weights)
    _whole("knapsack", 0, capacity=[capacity])
    return recurrence(KNAPSACK, {"value": (weight.size,)}, i=weight.size + 1, c=int(capacity) + 1, weight=weight)


def increasing_subsequence(x: Sequence[float]) -> Graph:
    """All increasing subsequences of a series, of one number or more (Schensted 1961; the classic of length N²).

    One potential `score` (N,), to be maximised: 1 for each number gives the length of the longest one. The gradient is
    the probability that a number is in the subsequence. The table best[i] has the subsequences that end at x[i].

    x : numbers, at least one. Equal numbers do not follow each other.

    Raises GraphError where x is no series of numbers.

    >>> print(increasing_subsequence([3, 1, 2]).text)
    best[i] = max(0, max[j](when(j < i and x[j] < x[i], best[j]))) + score[i]
    return max[i](best[i])
    """
    series = _numbers("increasing_subsequence", x=x)
    N = series.size
    return recurrence(INCREASING_SUBSEQUENCE, {"score": (N,)}, i=N, j=N, x=series)


def justification(widths: Sequence[float], line: float, space: float = 1.0) -> Graph:
    """All ways to break a paragraph into lines (Knuth & Plass 1981, with squared slack).

    One potential `price` (), to be minimised: the cost of a layout is the price times the sum of the squared slack of
    all lines but the last, in squared units of width. The table lines[j] has the layouts of the first j words, and its
    node marginal is the probability that a line breaks before word j. Under Negentropy a small price makes all layouts
    alike.

    widths : of the words.  line : the width of a line.  space : the width between two words.

    Raises GraphError where the widths are no numbers, and for a word wider than the line.

    >>> print(justification([3, 2, 2, 5], 6).text)
    lines[0] = 0
    lines[j] = min[i](when(i < j and fits[i, j], lines[i] + square[i, j] * price))
    return lines[-1]
    """
    words = _numbers("justification", widths=widths)
    if words.max() > line:
        k = int(words.argmax())
        raise GraphError(f"justification: word {k} is {words[k]:g} wide; expected at most line={line:g}")
    at = np.append(0.0, np.cumsum(words + space))  # where each word begins on one long line
    slack = line + space - (at - at[:, None])
    square = np.where(np.arange(at.size) == words.size, 0.0, slack**2)
    potentials: dict[str, Any] = {"price": ()}
    return recurrence(JUSTIFICATION, potentials, i=at.size, j=at.size, fits=slack >= 0, square=square)


def coin_change(coins: Sequence[int], amount: int) -> Graph:
    """All multisets of coins of a total amount (Pólya, "On picture-writing", 1956).

    One potential `price` (C,), to be minimised: 1 for each coin gives the fewest coins, and `count_paths` the number of
    ways. The gradient is the expected number of coins of each kind. The table paid[c, a] has the ways to pay a by the
    coins 0 to c.

    coins : whole numbers, at least 1.  amount : a whole number, at least 0.

    Raises GraphError for other coins and amounts.

    >>> print(coin_change([1, 5, 10], 20).text)
    paid[0, 0] = 0
    paid[c, a] = min(paid[c-1, a], paid[c, a - coin[c]] + price[c])
    return paid[-1, -1]
    >>> import dagdp
    >>> dagdp.count_paths(dagdp.compile(coin_change([1, 5, 10, 25, 50, 100], 100)))
    293
    """
    coin = _whole("coin_change", 1, coins=coins)
    _whole("coin_change", 0, amount=[amount])
    return recurrence(COIN_CHANGE, {"price": (coin.size,)}, c=coin.size, a=int(amount) + 1, coin=coin)


def _whole(builder: str, least: int, **given: Sequence[int]) -> NDArray[np.int64]:
    """Whole numbers as an array. Raises GraphError for others, and for none."""
    ((name, values),) = given.items()
    array = np.asarray(values)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu" or (array < least).any():
        raise GraphError(f"{builder} was given {name}={values!r}; expected whole numbers, at least {least} each")
    return array.astype(np.int64)


def _numbers(builder: str, **given: Sequence[float]) -> NDArray[np.float64]:
    """Finite numbers as an array. Raises GraphError for others, and for none."""
    ((name, values),) = given.items()
    array = np.asarray(values)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise GraphError(f"{builder} was given {name}={values!r}; expected finite numbers, at least one")
    return array.astype(np.float64)
