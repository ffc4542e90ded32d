"""Sentence pairs French to English: reading, tokens, vocabularies, the split, and batches."""

from __future__ import annotations

import gzip
import random
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from dagdp.nn import pad_ragged
from examples.experiment import DATA

SAMPLE = DATA / "tatoeba_fra_eng"
FEWEST, MOST = 5, 12  # words of a sentence, on both sides
PAD, UNKNOWN, BEGIN, END = range(4)
SPECIAL = ["<pad>", "<unknown>", "<begin>", "<end>"]
RARE = 2  # a word seen less often in training has no entry in the vocabulary
POOL = 40  # batches among which sentences are sorted by length

FRENCH = re.compile(r"aujourd'hui|\w+'|-\w+|\w+|[^\w\s]")
ENGLISH = re.compile(r"\w+(?:-\w+)*|'\w+|[^\w\s]")


class Pair(NamedTuple):
    """A sentence and its translation."""

    english: str
    french: str


class Split(NamedTuple):
    """Three lists of pairs. No English and no French sentence of train is in valid or test."""

    train: list[Pair]
    valid: list[Pair]
    test: list[Pair]


class Batch(NamedTuple):
    """Numbers of tokens. Rows are filled up with PAD."""

    source: Tensor  # [B, T]
    lengths: Tensor  # [B], how many tokens of the source count
    target: Tensor  # [B, S + 1], from BEGIN to END

    @property
    def given(self) -> Tensor:
        """[B, S] what the decoder is fed with."""
        return self.target[:, :-1]

    @property
    def wanted(self) -> Tensor:
        """[B, S] what the decoder should say at each step; PAD where a sentence has ended."""
        return self.target[:, 1:]


def count_words(sentence: str) -> int:
    """Pieces between spaces that hold a letter or a digit."""
    return sum(any(sign.isalnum() for sign in piece) for piece in sentence.split())


def read_pairs(folder: Path | None = None) -> list[Pair]:
    """The pairs of 5 to 12 words on both sides, from fra-eng.zip or fra.txt in the folder; None: the sample."""
    if folder is None:
        text = gzip.decompress((SAMPLE / "pairs.tsv.gz").read_bytes()).decode()
    elif (folder / "fra-eng.zip").is_file():
        with zipfile.ZipFile(folder / "fra-eng.zip") as archive:
            text = archive.read("fra.txt").decode()
    elif (folder / "fra.txt").is_file():
        text = (folder / "fra.txt").read_text(encoding="utf-8")
    else:
        raise SystemExit(f"--data is {folder}, which holds no fra-eng.zip and no fra.txt; expected one of them")
    pairs = [Pair(*line.split("\t")[:2]) for line in text.splitlines() if "\t" in line]
    return [pair for pair in pairs if all(FEWEST <= count_words(sentence) <= MOST for sentence in pair)]


def split_pairs(pairs: Sequence[Pair], held_out: tuple[int, int], most: int | None, seed: int) -> Split:
    """Deal out distinct English sentences: `held_out` of them to valid and to test, the others to train.

    A pair of train whose French sentence is in valid or test, with another translation, is left out. `most` cuts
    train to that many pairs, drawn at random.
    """
    draw = random.Random(seed)
    sentences = sorted({pair.english for pair in pairs})
    draw.shuffle(sentences)
    valid, test = set(sentences[: held_out[0]]), set(sentences[held_out[0] : sum(held_out)])
    heard = {pair.french for pair in pairs if pair.english in valid or pair.english in test}
    train = [p for p in pairs if p.english not in valid and p.english not in test and p.french not in heard]
    draw.shuffle(train)
    parts = [[pair for pair in pairs if pair.english in chosen] for chosen in (valid, test)]
    for part in parts:
        draw.shuffle(part)
    return Split(train[:most], *parts)


def split_french(sentence: str) -> list[str]:
    """Lower-case tokens; l'homme becomes l' homme, and viens-tu becomes viens -tu.

    >>> split_french("L'homme vient-il aujourd'hui ?")
    ["l'", 'homme', 'vient', '-il', "aujourd'hui", '?']
    """
    return FRENCH.findall(sentence.lower().replace("’", "'"))


def split_english(sentence: str) -> list[str]:
    """Tokens that `join_english` puts together again; I'm becomes I 'm.

    >>> split_english('"I\\'m well-known," he said.')
    ['"', 'I', "'m", 'well-known', ',', '"', 'he', 'said', '.']
    """
    return ENGLISH.findall(sentence.replace("’", "'"))


def join_english(tokens: Sequence[str]) -> str:
    """The sentence of which these are the tokens (detokenisation).

    >>> join_english(split_english('"I\\'m well-known," he said at 5:30.'))
    '"I\\'m well-known," he said at 5:30.'
    """
    text, opened = "", False
    for token in tokens:
        closing = token == '"' and opened
        glued = text.endswith("$") or (text.endswith('"') and opened)
        timed = text[-1:] == ":" and text[-2:-1].isdigit() and token.isdigit()
        number = text[-1:] in (",", ".") and text[-2:-1].isdigit() and token.isdigit()
        if not text or closing or glued or timed or number or re.match(r"['.,!?;:%]", token):
            text += token
        else:
            text += " " + token
        if token == '"':
            opened = not opened
    return text


class Vocabulary:
    """Numbers for the tokens that training sentences have, most frequent first, at most `size` with the special ones.

    >>> words = Vocabulary.of([["a", "b"], ["a", "b", "c"]], size=10)
    >>> words.tokens, words.encode(["b", "c"])
    (['<pad>', '<unknown>', '<begin>', '<end>', 'a', 'b'], [5, 1])
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = list(tokens)
        self.numbers = {token: number for number, token in enumerate(self.tokens)}

    @classmethod
    def of(cls, sentences: Sequence[Sequence[str]], size: int) -> Vocabulary:
        """The tokens that occur at least twice, ties in the order of the alphabet."""
        counts = Counter(token for sentence in sentences for token in sentence)
        known = sorted((token for token in counts if counts[token] >= RARE), key=lambda token: (-counts[token], token))
        return cls([*SPECIAL, *known[: size - len(SPECIAL)]])

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """The number of each token, UNKNOWN for those that have none."""
        return [self.numbers.get(token, UNKNOWN) for token in tokens]


class Corpus:
    """A split, the vocabularies of its training part, and batches of its parts."""

    def __init__(self, split: Split, size: int) -> None:
        self.split = split
        self.french = Vocabulary.of([split_french(pair.french) for pair in split.train], size)
        self.english = Vocabulary.of([split_english(pair.english) for pair in split.train], size)

    def encode(self, pairs: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
        """(source, target) numbers of each pair; the target begins with BEGIN and ends with END."""
        return [
            (
                self.french.encode(split_french(pair.french)),
                [BEGIN, *self.english.encode(split_english(pair.english)), END],
            )
            for pair in pairs
        ]


def make_batch(encoded: Sequence[tuple[list[int], list[int]]]) -> Batch:
    """The pairs as one batch."""
    sources, targets = zip(*encoded, strict=True)
    source, lengths = pad_ragged(sources, PAD)
    return Batch(source, lengths, pad_ragged(targets, PAD)[0])


def batches(encoded: Sequence[tuple[list[int], list[int]]], size: int, seed: int | str | None) -> Iterator[Batch]:
    """All pairs once, in batches of similar length; `seed` gives the order, None keeps it.

    Pairs are shuffled, sorted by length inside pools of 40 batches, cut, and the batches of a pool are shuffled.
    """
    order, draw = list(encoded), random.Random(seed)
    if seed is None:
        yield from (make_batch(order[first : first + size]) for first in range(0, len(order), size))
        return
    draw.shuffle(order)
    for first in range(0, len(order), POOL * size):
        pool = sorted(order[first : first + POOL * size], key=lambda pair: (len(pair[0]), len(pair[1])))
        cut = [pool[place : place + size] for place in range(0, len(pool), size)]
        draw.shuffle(cut)
        yield from (make_batch(part) for part in cut)
