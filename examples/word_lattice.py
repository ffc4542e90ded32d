"""Chinese word segmentation as best paths through word lattices: a DAG per sentence, no two alike.

    python examples/word_lattice.py                      # a few sentences that can be read in several ways
    python examples/word_lattice.py --data treebank.conllu.gz [more ...]    # score against a treebank's own words

Nodes are the places between characters, edges the words of the dictionary that comes with the package jieba (in the
extra `examples`), weighted by the log of their frequency; a path is a way to cut the sentence into words. The best
path is the plain unigram segmentation. Under SquaredL2 only a few readings keep a probability: they can be listed.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import dagdp
from dagdp import CompiledDAG, Graph, Negentropy, SquaredL2

OWN = ["南京市 长江 大桥", "研究 生命 的 起源", "结婚 的 和 尚未 结婚 的", "他 说 的 确实 在理"]
LONGEST = 16  # characters of a word: what is longer is rare and is found by its parts


def dictionary() -> dict[str, float]:
    """Log frequency of each word of jieba's dictionary; jieba itself is not imported."""
    found = importlib.util.find_spec("jieba")
    if found is None or found.origin is None:
        raise SystemExit('the dictionary is missing: pip install "dagdp[examples]", or pip install jieba')
    lines = (Path(found.origin).parent / "dict.txt").read_text(encoding="utf-8").splitlines()
    counts = {word: int(count) for word, count, *_ in (line.split() for line in lines)}
    total = math.log(sum(counts.values()))
    return {word: math.log(max(count, 1)) - total for word, count in counts.items()}


def lattice(sentence: str, words: dict[str, float]) -> tuple[CompiledDAG, NDArray[np.float64]]:
    """(dag, theta): every dictionary word in the sentence, and every single character, as an edge between places."""
    unknown = min(words.values())
    graph, theta = Graph(), []
    for begin in range(len(sentence)):
        for end in range(begin + 1, min(begin + LONGEST, len(sentence)) + 1):
            if sentence[begin:end] in words or end == begin + 1:
                graph.add_edge(begin, end)
                theta.append(words.get(sentence[begin:end], unknown))
    return dagdp.compile(graph), np.array(theta)


def cut(sentence: str, places: list[int]) -> str:
    """The sentence with spaces at the places that a path visits."""
    return " ".join(sentence[a:b] for a, b in itertools.pairwise(places))


def spans(words: list[str]) -> set[tuple[int, int]]:
    """Where each word begins and ends."""
    ends = np.cumsum([len(word) for word in words]).tolist()
    return set(itertools.pairwise([0, *ends]))


def treebank(path: Path) -> list[list[str]]:
    """The sentences of a CoNLL-U file, gzipped or not, as lists of words."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    rows = [[line.split("\t") for line in part.splitlines() if line[:1].isdigit()] for part in text.split("\n\n")]
    return [[row[1] for row in part if row[0].isdigit()] for part in rows if part]


def score(sentences: list[list[str]], words: dict[str, float]) -> float:
    """Print precision, recall and F1 of the best paths against the given words; the F1."""
    right = found = wanted = edges = 0
    for gold in sentences:
        dag, theta = lattice("".join(gold), words)
        places = dagdp.best_path(dag, theta).names(dag)
        ours, theirs = set(itertools.pairwise(places)), spans(gold)
        right, found, wanted = right + len(ours & theirs), found + len(ours), wanted + len(theirs)
        edges += dag.num_edges
    precision, recall = right / found, right / wanted
    f1 = 2 * right / (found + wanted)
    print(f"{len(sentences)} sentences, {edges / len(sentences):.0f} edges each on average")
    print(f"best path: precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}")
    return f1


def readings(sentence: str, words: dict[str, float], gamma: float) -> None:
    """Print every segmentation that SquaredL2 leaves a probability, beside its probability under Negentropy."""
    dag, theta = lattice(sentence, words)
    probabilities, paths = dagdp.support(dag, theta, SquaredL2(gamma))
    soft = np.exp(dagdp.path_log_prob(dag, theta, paths, Negentropy(gamma)))
    entropy = float(dagdp.entropy(dag, theta, SquaredL2(gamma)))
    print(f"\n{sentence}: {dagdp.count_paths(dag)} segmentations, {len(probabilities)} in the support of ", end="")
    print(f"SquaredL2({gamma:g}), entropy {entropy:.2f} nats")
    for p, s, places in zip(probabilities, soft, paths.names(dag), strict=True):
        print(f"  {p:.3f}  (Negentropy {s:.3f})  {cut(sentence, places)}")


def ambiguous(sentences: list[list[str]], words: dict[str, float], gamma: float) -> str:
    """The sentence, of at most 20 characters, whose segmentation is the most open: the highest entropy."""
    short = ["".join(gold) for gold in sentences if len("".join(gold)) <= 20]
    return max(short, key=lambda sentence: float(dagdp.entropy(*lattice(sentence, words), SquaredL2(gamma))))


def main() -> None:
    """Segment the built-in sentences, or score against treebanks and list the readings of one sentence of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", type=Path, default=[], help="CoNLL-U files, gzipped or not")
    parser.add_argument("--gamma", type=float, default=4.0, help="temperature, in nats of log frequency (default 4)")
    given = parser.parse_args()
    words = dictionary()
    for path in given.data:
        print(f"\n{path.name}")
        sentences = treebank(path)
        score(sentences, words)
        readings(ambiguous(sentences, words, given.gamma), words, given.gamma)
    if not given.data:
        sentences = [line.split() for line in OWN]
        score(sentences, words)
        for gold in sentences:
            readings("".join(gold), words, given.gamma)


if __name__ == "__main__":
    main()
