"""Graphs of trees, as recurrences: parsers, and sum-product on models of variables.

Their solutions are derivations, trees in place of paths: an alternative that reads two cells has two parents. Values,
gradients, k best, samples and losses work as for paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dagdp import CompiledDAG, Graph, GraphError, recurrence
from dagdp.graphs.alignment_grid import positive

Numbers = NDArray[np.int64]

CKY = """
    c[i, i+1, A] = lexical[i, A]
    c[i, k, A] = max[j, B, C](when(i < j and j < k, c[i, j, B] + c[j, k, C]) + rule[A, B, C])
    return END
"""
CKY_OF_RULES = """
    c[i, i+1, A] = lexical[i, A]
    c[i, k, parent[r]] = max[j](when(i < j and j < k, c[i, j, first[r]] + c[j, k, second[r]]) + rule[r])
    return END
"""
SPANS = """
    c[i, i+1] = max[A](span[i, i+1, A])
    split[i, k] = max[j](when(i < j and j < k, c[i, j] + c[j, k]))
    c[i, k] = max[A](split[i, k] + span[i, k, A])
    return c[0, -1]
"""
EISNER = """
    right[i, i] = 0
    left[i, i] = 0
    right_arc[i, j] = max[k](when(CUT, right[i, k] + left[k+1, j]) + arc[i, j])
    left_arc[i, j] = max[k](when(i <= k and k < j, right[i, k] + left[k+1, j]) + arc[j, i])
    right[i, j] = max[k](when(i < k and k <= j, right_arc[i, k] + right[k, j]))
    left[i, j] = max[k](when(i <= k and k < j, left[i, k] + left_arc[k, j]))
    return END
"""
TREE_MODEL = """
    below[v, s] = max(when(last[v] < 0, 0), message[last[v], s]) + unary[v, s]
    message[v, p] = max[s](max(when(before[v] < 0, 0), message[before[v], p]) + below[v, s] + pairwise[v, s, p])
    return max[s](below[root, s])
"""
BELIEF_PROPAGATION = """
    message[0, d, s] = 0
    front[t, d, s] = when(first[d], 0)
    front[t, d, s] = when(not first[d], front[t, d-1, s] + message[t, d-1, s])
    behind[t, d, s] = when(last[d], 0)
    behind[t, d, s] = when(not last[d], behind[t, d+1, s] + message[t, d+1, s])
    cavity[t, d, s] = front[t, d, s] + behind[t, d, s] + unary[to[d], s]
    message[t, d, x] = max[s](when(along[d], cavity[t-1, back[d], s] + pairwise[edge[d], s, x]))
    message[t, d, x] = max[s](when(not along[d], cavity[t-1, back[d], s] + pairwise[edge[d], x, s]))
    belief[i, s] = max(when(final[i] < 0, 0), front[-1, final[i], s] + message[-1, final[i], s]) + unary[i, s]
    node[i] = max[s](belief[i, s])
    total[0] = node[0]
    total[i] = total[i-1] + node[i]
    return total[-1]
"""


def cky(
    n: int, K: int, root: int = 0, rules: Sequence[tuple[int, int, int]] | None = None, ragged: bool = False
) -> Graph:
    """All parses of n words by a grammar in Chomsky normal form with K symbols (CKY; Baker 1979, inside-outside).

    Potentials `lexical` (n, K) as [word, symbol] and `rule` (K, K, K) as [parent, left child, right child], scores to
    be maximised: log-probabilities for a PCFG, -inf for rules that the grammar does not have. A parse scores the
    `lexical` entry of each word plus the `rule` entry of each inner node. Under Negentropy the value is the log of the
    inside probability, and the gradients are the expected counts of inside-outside.

    The table c[i, k, A] has the parses of words i to k-1 by symbol A. For sentences of several lengths pass
    `end=dag.cell("c", 0, lengths, root)`: no node is added, and what lies behind a sentence is never read. The full
    grammar takes this `end=` as it is; with `rules` set ragged=True.

    n : words, at least 1.
    K : symbols, at least 1.
    root : the symbol of a sentence, 0 to K-1.
    rules : the rules that the grammar has, as triples of symbols (parent, left child, right child). `rule` then has the
        shape (rules,), and the graph n³/6 edges a rule, where the full grammar has n³ K³/6.
    ragged : one end for each length, for `end=`. Without `end=` the value is then the maximum over all ends.

    Raises GraphError for sizes below 1, for a root that is no symbol, and for rules that are no triples of symbols.

    >>> print(cky(3, 2).text)
    c[i, i+1, A] = lexical[i, A]
    c[i, k, A] = max[j, B, C](when(i < j and j < k, c[i, j, B] + c[j, k, C]) + rule[A, B, C])
    return c[0, -1, 0]
    >>> print(cky(3, 2, rules=[(0, 0, 1), (1, 1, 1)]).text.splitlines()[1])
    c[i, k, parent[r]] = max[j](when(i < j and j < k, c[i, j, first[r]] + c[j, k, second[r]]) + rule[r])
    """
    positive("cky", n=n, K=K)
    if isinstance(root, bool) or not isinstance(root, int | np.integer) or not 0 <= root < K:
        raise GraphError(f"cky was given root={root!r}; expected a symbol, 0 to {K - 1}")
    indices: dict[str, Any] = {"i": n, "j": n + 1, "k": n + 1, "A": K}
    shape: tuple[int, ...] = (K, K, K)
    if rules is None:
        text = CKY
        indices |= {"B": K, "C": K}
    else:
        symbols = _rules("cky", K, rules)
        text, shape = CKY_OF_RULES, (len(symbols),)
        indices |= {"r": len(symbols), **dict(zip(["parent", "first", "second"], symbols.T, strict=True))}
    if ragged:
        indices["m"] = 1, n + 1
    text = text.replace("END", f"max[m](c[0, m, {root}])" if ragged else f"c[0, -1, {root}]")
    return recurrence(text, {"lexical": (n, K), "rule": shape}, **indices)


def span_parser(n: int, K: int) -> Graph:
    """All binary trees over n words whose nodes have one of K labels each (Stern, Andreas & Klein 2017).

    One potential `span` (n, n+1, K) as [first word, word behind the last, label], scores to be maximised. A tree scores
    the entry of each of the 2n - 1 spans. The gradient is the probability of each span with each label. Entries [i, k]
    with k <= i are never read.

    The table c[i, k] has the trees over words i to k-1, and split[i, k] the trees without a label of the span. For
    sentences of several lengths pass `end=dag.cell("c", 0, lengths)`.

    n : words, at least 1.  K : labels, at least 1.

    Raises GraphError for sizes below 1.

    >>> print(span_parser(3, 2).text)
    c[i, i+1] = max[A](span[i, i+1, A])
    split[i, k] = max[j](when(i < j and j < k, c[i, j] + c[j, k]))
    c[i, k] = max[A](split[i, k] + span[i, k, A])
    return c[0, -1]
    """
    positive("span_parser", n=n, K=K)
    return recurrence(SPANS, {"span": (n, n + 1, K)}, i=n, j=n + 1, k=n + 1, A=K)


def eisner(n: int, multiroot: bool = True, ragged: bool = False) -> Graph:
    """All projective dependency trees of n words (Eisner 1996).

    One potential `arc` (n+1, n+1) as [head, modifier], scores to be maximised: row 0 is the root, words are 1 to n. A
    tree scores the arc into each word. The gradient is the probability of each arc; column 0 and the diagonal are never
    read. The heads of the best tree are `dp_grad(dag, arc, HardMax()).argmax(-2)[..., 1:]`; `heads_of` reads the heads
    of k best trees and of samples.

    Tables: right[i, j] and left[i, j] have the complete trees over words i to j with the head at the left and at the
    right; right_arc[i, j] and left_arc[i, j] those whose last arc joins i and j. For sentences of several lengths pass
    `end=dag.cell("right", 0, lengths)`, and set ragged=True where the root has one modifier.

    Under SquaredL2 all trees pay for one number of nodes, 2n. Labels: pass the maximum over the labels of an arc as its
    score, under Negentropy `torch.logsumexp(scores, -1)`; the gradient then flows back to each label.

    n : words, at least 1.
    multiroot : whether the root may have several modifiers, or one alone.
    ragged : one end for each length, for `end=`. Without `end=` the value is then the maximum over all ends. Trees with
        multiroot=True take `end=` without it.

    Raises GraphError for sizes below 1.

    >>> print(eisner(3).text)
    right[i, i] = 0
    left[i, i] = 0
    right_arc[i, j] = max[k](when(i <= k and k < j, right[i, k] + left[k+1, j]) + arc[i, j])
    left_arc[i, j] = max[k](when(i <= k and k < j, right[i, k] + left[k+1, j]) + arc[j, i])
    right[i, j] = max[k](when(i < k and k <= j, right_arc[i, k] + right[k, j]))
    left[i, j] = max[k](when(i <= k and k < j, left[i, k] + left_arc[k, j]))
    return right[0, -1]
    """
    positive("eisner", n=n)
    cut = "i <= k and k < j" if multiroot else "i <= k and k < j and (i > 0 or k == 0)"
    text = EISNER.replace("CUT", cut).replace("END", "max[m](right[0, m])" if ragged else "right[0, -1]")
    ends = {"m": (1, n + 1)} if ragged else {}
    return recurrence(text, {"arc": (n + 1, n + 1)}, i=n + 1, j=n + 1, k=n + 1, **ends)


def heads_of(dag: CompiledDAG, derivations: Any) -> Any:
    """The head of each word of parses of an `eisner` graph: int64 [*axes, n], 0 for the root.

    -1 behind the end of a sentence. A tensor where the derivations hold tensors.

    derivations : of `best_path`, `k_best`, `sample_paths` or `support`, with their axes.

    Raises InputError for a graph without a potential `arc`.

    >>> import dagdp
    >>> dag = dagdp.compile(eisner(3))
    >>> arc = np.zeros((4, 4))
    >>> arc[0, 2] = arc[2, 1] = arc[2, 3] = 1.0
    >>> heads_of(dag, dagdp.best_path(dag, arc)).tolist()
    [2, 0, 2]
    """
    read = derivations.entries(dag, "arc")
    arcs = np.asarray(read.cpu() if hasattr(read, "cpu") else read)
    n = dag.potentials[0].shape[0] - 1
    heads = np.full((*arcs.shape[:-2], n + 2), -1)
    modifiers = np.where(arcs[..., 1] < 0, n + 1, arcs[..., 1])  # edges without an arc go behind the last word
    np.put_along_axis(heads, modifiers, arcs[..., 0], -1)
    return read.new_tensor(heads[..., 1:-1]) if hasattr(read, "new_tensor") else heads[..., 1:-1]


def tree_model(parents: Sequence[int], S: int) -> Graph:
    """Sum-product on a tree of variables with S states each (Pearl 1988; Kschischang, Frey & Loeliger 2001).

    Potentials `unary` (n, S) as [variable, state] and `pairwise` (n, S, S) as [variable, its state, state of its
    parent], scores to be maximised. An assignment scores all unary entries, and the pairwise entry of each variable but
    the root, whose pairwise block is never read. Under Negentropy the value is log Z, and the gradients are the
    marginals of variables and of pairs: one backward pass is the second half of sum-product. HardMax is max-product.

    Tables: below[v, s] has the assignments of v and all variables below, with v in state s. message[v, p] joins v and
    the siblings listed before v, with their parent in state p: each alternative reads two cells, so that a variable may
    have any number of children. A forest: give the further roots a parent, and a pairwise block of zeros.

    parents : the parent of each variable, -1 for the root.  S : states, at least 1.

    Raises GraphError where the parents are no tree with one root, and for sizes below 1.

    >>> print(tree_model([-1, 0, 0], 2).text)
    below[v, s] = max(when(last[v] < 0, 0), message[last[v], s]) + unary[v, s]
    message[v, p] = max[s](max(when(before[v] < 0, 0), message[before[v], p]) + below[v, s] + pairwise[v, s, p])
    return max[s](below[root, s])
    """
    positive("tree_model", variables=len(parents), S=S)
    above, root = _tree("tree_model", parents)
    n, below = above.size, np.flatnonzero(above >= 0)
    last, before = np.full(n, -1), np.full(n, -1)
    last[above[below]] = below  # of several children the last one stays
    order = np.argsort(above, kind="stable")
    siblings = above[order[1:]] == above[order[:-1]]
    before[order[1:][siblings]] = order[:-1][siblings]
    potentials = {"unary": (n, S), "pairwise": (n, S, S)}
    return recurrence(TREE_MODEL, potentials, v=n, s=S, p=S, last=last, before=before, root=np.array(root))


def belief_propagation(n: int, S: int, edges: Sequence[tuple[int, int]], rounds: int) -> Graph:
    """Loopy belief propagation on a pairwise model, unrolled for some rounds (Pearl 1988; paper, end of section 3.1).

    Potentials `unary` (n, S) as [variable, state] and `pairwise` (E, S, S) as [edge, state of its first variable, state
    of its second one], scores to be maximised. Every round all messages are computed from those of the round before, at
    first 0. Under Negentropy these are sum-product messages in log space, not normalised; under HardMax max-product.

    The value is the sum over variables of max_Ω of their beliefs, and not the Bethe free energy. The beliefs, rows that
    sum to 1, are the probabilities of the cells that max_Ω reads:
    `node_marginals(dag, theta)[..., dag.cell("belief", i, s)]`, differentiable from torch. They are the marginals where
    the model is a forest and the rounds are at least its longest path; else an approximation.

    Tables: message[t, d, s] of the directed edge d; front and behind, the sums of messages into the same variable
    before and behind d; cavity, the sum of all but d; belief, node and total. The solutions are trees of copies of the
    variables, and their number of copies grows like (degree - 1)^rounds, and so do values: take few rounds.

    n : variables.  S : states of each.  edges : pairs of variables.  rounds : at least 1.

    Raises GraphError for sizes below 1, and for edges that are no pairs of two variables.

    >>> dag = belief_propagation(3, 2, [(0, 1), (1, 2), (2, 0)], rounds=4)
    >>> print("\\n".join(dag.text.splitlines()[:2]))
    message[0, d, s] = 0
    front[t, d, s] = when(first[d], 0)
    """
    positive("belief_propagation", n=n, S=S, rounds=rounds)
    pairs = _pairs("belief_propagation", n, edges)
    to = np.concatenate([pairs[:, 1], pairs[:, 0]])  # each edge in both directions
    order = np.argsort(to, kind="stable")  # directed edges by the variable that they enter
    place = np.argsort(order)
    to, along, edge = to[order], order < len(pairs), order % len(pairs)
    changes = np.append(True, to[1:] != to[:-1])
    final = np.full(n, -1)
    final[to] = np.arange(to.size)  # of several edges the last one stays
    return recurrence(
        BELIEF_PROPAGATION,
        {"unary": (n, S), "pairwise": (len(pairs), S, S)},
        t=rounds + 1,
        d=to.size,
        s=S,
        x=S,
        i=n,
        to=to,
        along=along,
        edge=edge,
        back=place[(order + len(pairs)) % order.size],
        first=changes,
        last=np.append(changes[1:], True),
        final=final,
    )


def _tree(builder: str, parents: Sequence[int]) -> tuple[Numbers, int]:
    """(parents [n], root). Raises GraphError where they are no tree."""
    above, n = np.asarray(parents), len(parents)
    if above.ndim != 1 or above.dtype.kind not in "iu" or (above < -1).any() or (above >= n).any():
        raise GraphError(f"{builder} was given parents={parents!r}; expected integers below {n}, and -1 for the root")
    roots = np.flatnonzero(above < 0)
    if roots.size != 1:
        raise GraphError(
            f"{builder} was given {roots.size} roots, {roots.tolist()}; expected one variable of parent -1"
        )
    root = int(roots[0])
    up = np.where(above < 0, root, above)
    for _ in range(n.bit_length()):
        up = up[up]
    if (up != root).any():
        lost = int(np.flatnonzero(up != root)[0])
        raise GraphError(f"{builder}: variable {lost} has no way up to the root {root}; expected parents of a tree")
    return above.astype(np.int64), root


def _rules(builder: str, K: int, rules: Sequence[tuple[int, int, int]]) -> Numbers:
    """[R, 3] the rules. Raises GraphError where they are no triples of symbols."""
    symbols = np.asarray(rules)
    if symbols.ndim != 2 or symbols.shape[1] != 3 or symbols.dtype.kind not in "iu":
        raise GraphError(f"{builder} was given rules={rules!r}; expected triples of symbols, at least one")
    wrong = symbols[((symbols < 0) | (symbols >= K)).any(1)]
    if len(wrong):
        raise GraphError(f"{builder} was given the rule {tuple(wrong[0].tolist())}; expected symbols 0 to {K - 1}")
    return symbols.astype(np.int64)


def _pairs(builder: str, n: int, edges: Sequence[tuple[int, int]]) -> Numbers:
    """[E, 2] the edges. Raises GraphError where they are no pairs of two variables."""
    pairs = np.asarray(edges)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise GraphError(f"{builder} was given edges={edges!r}; expected pairs of variables, at least one")
    wrong = ((pairs < 0) | (pairs >= n)).any(1) | (pairs[:, 0] == pairs[:, 1])
    if wrong.any():
        k = int(np.flatnonzero(wrong)[0])
        raise GraphError(f"{builder}: edge {k} is {tuple(pairs[k].tolist())}; expected two variables, each below {n}")
    return pairs.astype(np.int64)
