"""
Parsing
=======

A parser finds the tree over a sentence. The dynamic program of parsing, CKY, combines two neighbouring parts into one:
its solutions are trees in place of paths, and its edges have two parents (*hyperedges*). Everything else stays: a
value, a gradient (the expected use of each rule), the best tree, the k best, samples, and losses.

You will parse an ambiguous sentence with a probabilistic grammar, read and draw its trees and their probabilities,
train a parser on trees that Python's own parser makes, and find the heads of words with Eisner's algorithm.
"""

import ast
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import torch

import dagdp
from dagdp import HardMax
from dagdp.graphs import trees
from dagdp.nn import Target, crf_loss, pad_ragged

# %%
# A probabilistic grammar
# -----------------------
#
# Each rule replaces a symbol by two symbols, each word belongs to a symbol, and both have probabilities. The
# probability of a tree is the product over its rules and words.

RULES = {
    "S -> NP VP": 1.0,
    "NP -> Det N": 0.8,
    "NP -> NP PP": 0.2,
    "VP -> V NP": 0.6,
    "VP -> VP PP": 0.4,
    "PP -> P NP": 1.0,
}
WORDS = {
    "Det": {"the": 0.7, "a": 0.3},
    "N": {"girl": 0.3, "dog": 0.3, "telescope": 0.2, "park": 0.2},
    "V": {"saw": 1.0},
    "P": {"with": 0.5, "in": 0.5},
}
SYMBOLS = ["S", "NP", "VP", "PP", "Det", "N", "V", "P"]
sentence = ["the", "girl", "saw", "a", "dog", "with", "the", "telescope", "in", "the", "park"]

# %%
# ``trees.cky`` has the recurrence ready. Its cell ``c[i, k, A]`` stands for all trees of symbol A over the words from i
# up to, and without, k. The second line says how such a tree is made: by a rule r, from a tree over the words i to j
# and one over the words j to k. For a grammar of another form change the text, and give it to ``dagdp.recurrence``.

rules = [tuple(SYMBOLS.index(name) for name in rule.replace("->", " ").split()) for rule in RULES]
graph = trees.cky(len(sentence), len(SYMBOLS), rules=rules)
print(graph.text)
dag = dagdp.compile(graph)

lexical = np.full((len(sentence), len(SYMBOLS)), -np.inf)  # -inf: this word never belongs to this symbol
for i, word in enumerate(sentence):
    for symbol, known in WORDS.items():
        if word in known:
            lexical[i, SYMBOLS.index(symbol)] = np.log(known[word])
theta = {"lexical": lexical, "rule": np.log(list(RULES.values()))}

# %%
# Under ``Negentropy(1.0)``, the default, the value of log-probabilities is the log-probability of the sentence: the
# *inside* algorithm. Its gradient by ``rule`` has the expected counts of *inside-outside*. Divided by their sums over
# each left side they would be the next grammar of expectation maximisation.

value, counts = dagdp.dp_value_and_grad(dag, theta)
print(f"log-probability of the sentence {value:.3f}")
for rule, count in zip(RULES, counts["rule"], strict=True):
    print(f"{rule:12} is used {count:.2f} times on average")
assert np.isclose(counts["rule"].sum(), len(sentence) - 1)  # a binary tree over n words has n - 1 inner nodes

# %%
# Trees
# -----
#
# ``k_best`` lists trees from the best one on. ``names`` writes each as (cell, parts), and cells are named as in the
# text. The sentence has five readings: who has the telescope, and who or what is in the park?


def brackets(tree):
    """A tree as text: words in brackets, without the brackets of single words."""
    (_, i, _, symbol), parts = tree
    return f"({SYMBOLS[symbol]} {' '.join(map(brackets, parts))})" if parts else sentence[i]


best = dagdp.k_best(dag, theta, 10)
for score, tree in zip(best.scores, best.names(dag), strict=True):
    print(f"{np.exp(score - value):.3f} {brackets(tree)}")
assert np.isclose(np.exp(best.scores - value).sum(), 1.0)


def draw(ax, tree, depth=0):
    """Draw a tree, and return the place of its root."""
    (_, i, _, symbol), parts = tree
    places = [draw(ax, part, depth + 1) for part in parts]
    x = np.mean(places) if parts else i
    for place in places:
        ax.plot([x, place], [-depth, -depth - 1], color="0.6", lw=1, zorder=1)
    if not parts:
        ax.plot([x, x], [-depth, -7], color="0.85", lw=1, zorder=0)
        ax.text(x, -7.3, sentence[i], ha="right", va="top", rotation=45, rotation_mode="anchor")
    ax.text(x, -depth, SYMBOLS[symbol], ha="center", va="center", bbox={"fc": "white", "ec": "none", "pad": 1})
    return x


figure, axes = plt.subplots(2, 1, figsize=(7, 8), layout="constrained")
for ax, tree, score in zip(axes, best.names(dag), best.scores, strict=False):
    draw(ax, tree)
    ax.set(ylim=(-9, 0.5), title=f"probability {np.exp(score - value):.2f}")
    ax.axis("off")
plt.show()

# %%
# ``sample_paths`` draws trees with their probabilities. ``node_marginals`` has the probability of each cell, summed
# over all trees: is "a dog with the telescope" (words 3 to 7) a noun phrase?

drawn = Counter(map(brackets, dagdp.sample_paths(dag, theta, n=1000, seed=0).names(dag)))
print("share of the best tree among 1000 samples", drawn[brackets(best.names(dag)[0])] / 1000)
phrase = dag.cell("c", 3, 8, SYMBOLS.index("NP"))
print(f"probability of the noun phrase {dagdp.node_marginals(dag, theta)[phrase]:.3f}")

# %%
# Training on trees
# -----------------
#
# Which tree has ``a+b*c**d-e``? Python's parser knows: a table says which operator binds tighter, and whether ``a-b-c``
# is grouped to the left or to the right. We learn that table from trees, with ``trees.span_parser``, a parser without a
# grammar: each span of words has a score, and a tree scores the sum over its spans. The words are the operands, and
# ``spans`` reads the spans of a tree from Python's parse.

OPERATORS = ["**", "*", "/", "+", "-", "<<", "&", "|"]
rng = np.random.default_rng(0)


def spans(node):
    """The spans (first, behind the last) of an expression with operands x0, x1, ..., the whole first."""
    if isinstance(node, ast.Name):
        return [(int(node.id[1:]), int(node.id[1:]) + 1)]
    left, right = spans(node.left), spans(node.right)
    return [(left[0][0], right[0][1]), *left, *right]


def expressions(count, fewest, most):
    """Random expressions: a list of operators [n - 1] by number, and a list of spans [2n - 1, 2]."""
    between = [rng.integers(len(OPERATORS), size=n - 1) for n in rng.integers(fewest, most + 1, size=count)]
    texts = ["x0" + "".join(f"{OPERATORS[o]}x{k}" for k, o in enumerate(row, 1)) for row in between]
    return between, [spans(ast.parse(text, mode="eval").body) for text in texts]


# %%
# A span's score is a sum of weights: one for each operator inside, beside the operator to the left of the span, and one
# beside the operator to the right. So there are two tables [outside, inside] of weights. In place of this linear model
# a network on words could compute the scores.


def features(between, n):
    """[n, n + 1, 2, 8, 8] how often each span reads each weight, [side, outside, inside]."""
    counts, last = np.zeros((n, n + 1, 2, 8, 8)), len(between) + 1
    for i in range(last):
        for k in range(i + 2, last + 1):
            inside = np.bincount(between[i : k - 1], minlength=8)
            if i > 0:
                counts[i, k, 0, between[i - 1]] = inside
            if k < last:
                counts[i, k, 1, between[k - 1]] = inside
    return counts


# %%
# One graph for ten words serves all expressions: ``end=`` names the cell of the whole expression, and what lies behind
# is never read. ``Target.from_entries`` makes the true trees from the spans, [first, behind the last, label]; the only
# label is 0, and rows of -1 stand behind the spans of a shorter expression.

N = 10
parser = dagdp.compile(trees.span_parser(N, 1))


def batch_of(between, true):
    """(features [batch, N, N + 1, 2, 8, 8], true trees)."""
    entries, _ = pad_ragged([[(*span, 0) for span in tree] for tree in true], value=-1)
    ends = parser.cell("c", 0, np.array([len(row) + 1 for row in between]))
    counts = torch.tensor(np.stack([features(row, N) for row in between]))
    return counts, Target.from_entries(parser, entries, "span", end=ends)


def scores_of(weights, counts):
    return torch.einsum("bikspo,spo->bik", counts, weights)[..., None]


def exact(weights, counts, target):
    """The share of expressions whose best tree is the true one."""
    scores = scores_of(weights, counts)
    found = dagdp.dp_grad(parser, scores, HardMax(), end=target.end)
    return (found == target.indicator([scores])[0]).all((1, 2, 3)).double().mean().item()


training, evaluation = batch_of(*expressions(300, 3, 6)), batch_of(*expressions(200, 7, 10))
weights = torch.zeros(2, 8, 8, dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.LBFGS([weights], max_iter=40, line_search_fn="strong_wolfe")


def closure():
    optimizer.zero_grad()
    counts, target = training
    loss = crf_loss(parser, scores_of(weights, counts), target, end=target.end) + 1e-4 * weights.square().sum()
    loss.backward()
    losses.append(loss.item())
    return loss


losses = []
optimizer.step(closure)
weights = weights.detach()
print(f"loss {losses[0]:.3f} before training, {losses[-1]:.3f} after {len(losses)} evaluations")
print(f"right trees: training {exact(weights, *training):.3f}, longer expressions {exact(weights, *evaluation):.3f}")

bound = weights.abs().max().item()
figure, axes = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
for ax, table, side in zip(axes, weights, ("left", "right"), strict=True):
    image = ax.imshow(table.numpy(), cmap="RdBu", vmin=-bound, vmax=bound)
    ax.set_xticks(range(8), OPERATORS)
    ax.set_yticks(range(8), OPERATORS)
    ax.set(xlabel="operator inside", ylabel=f"operator to the {side}")
figure.colorbar(image, ax=axes, shrink=0.8, label="weight")
plt.show()

# %%
# The tables have Python's order of operators. Red: an operator inside binds less tightly than its neighbour, so the
# span is no part of the tree. The diagonals differ: ``-`` inside is red beside ``-`` to the left, and not beside ``-``
# to the right, as ``a-b-c`` is grouped to the left; for ``**`` it is the other way round. The longer expressions have
# spans longer than any in training, where a sum of many positive weights may exceed a negative one: hence the wrong
# trees.
#
# Dependencies
# ------------
#
# A dependency tree gives each word a *head*. ``trees.eisner`` has the projective trees, from a score for each arc
# [head, modifier], with the root as row 0. Its gradient is the probability of each arc. Training is as for spans, with
# ``Target.from_entries(dag, arcs, "arc")``.

words = ["ROOT", "she", "saw", "the", "man", "with", "binoculars"]
arc = np.full((7, 7), -2.0)
for head, modifier in [(0, 2), (2, 1), (4, 3), (2, 4), (2, 5), (4, 5), (5, 6)]:  # "with" may have two heads
    arc[head, modifier] = 2.0
arc[2, 5] += 0.5
dag = dagdp.compile(trees.eisner(6, multiroot=False))
probability = dagdp.dp_grad(dag, arc)
for modifier, head in enumerate(trees.heads_of(dag, dagdp.best_path(dag, arc)), 1):
    print(f"{words[modifier]:10} <- {words[head]:5} {probability[head, modifier]:.2f}")
assert np.allclose(probability[:, 1:].sum(0), 1.0)  # each word has one head
