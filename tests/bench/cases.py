"""Graphs and batches that several scripts ask about."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import dagdp
from dagdp import CompiledDAG, Graph

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import word_lattice


def random_dag(edges: int, seed: int = 0) -> Graph:
    """Each node but the first has two parents before it, each but the last a child behind it, most of them near.

    So no node is dead, and nobody gains by pruning. Fan-in is 2 and upwards, 3 on average.
    """
    rng = np.random.default_rng(seed)
    nodes = 1 + round(edges / 3)
    into = np.repeat(np.arange(1, nodes), 2)
    before = np.minimum((into * rng.random(into.size) ** 0.2).astype(np.int64), into - 1)
    out_of = np.arange(nodes - 1)
    behind = 1 + (out_of + 1) / rng.random(out_of.size) ** 0.2
    behind = np.where(behind < nodes, behind, rng.integers(out_of + 1, nodes)).astype(np.int64)
    parents, children = np.concatenate([before, out_of]), np.concatenate([into, behind])
    return Graph.from_edges(parents, children, starts=[0], ends=[nodes - 1])


def lattices(count: int = 500, seed: int = 0) -> list[tuple[CompiledDAG, np.ndarray]]:
    """(dag, theta) of sentences of 4 to 20 words drawn from jieba's dictionary by their frequency; nodes are numbered
    by place."""
    words = word_lattice.dictionary()
    names, chance = list(words), np.exp(np.array(list(words.values())))
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 21, count)
    drawn = rng.choice(len(names), lengths.sum(), p=chance / chance.sum())
    made = []
    for sentence in np.split(drawn, np.cumsum(lengths)[:-1]):
        dag, theta = word_lattice.lattice("".join(names[k] for k in sentence), words)
        assert dag.graph.nodes is not None
        places = np.array(list(dag.graph.nodes))
        made.append((dagdp.compile(Graph.from_edges(*(places[end] for end in dag.graph.edges()))), theta))
    return made
