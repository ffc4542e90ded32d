"""Corpora of sentences with named entities, and their batches as tensors."""

from __future__ import annotations

import functools
import gzip
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dagdp.nn import convert_tags, pad_ragged
from examples.experiment import DATA

UNKNOWN = 0  # the number of a word or a character that the training data do not have
TREEBANKS = {"da": "da_ddt", "sv": "sv_talbanken", "pt": "pt_bosque", "hr": "hr_set"}
TITLES = {
    "en": "English, Wikigold",
    "da": "Danish, Universal NER",
    "sv": "Swedish, Universal NER",
    "pt": "Portuguese, Universal NER",
    "hr": "Croatian, Universal NER",
    "conll": "CoNLL-2003",
}
LANGUAGES = list(TITLES)


@dataclass(frozen=True)
class Sentence:
    """Words and their tags in the scheme IOBES: B-X, I-X, E-X for entities of several words, S-X for one word."""

    words: list[str]
    tags: list[str]


@dataclass(frozen=True)
class Corpus:
    """Sentences for training, for choices (validation), and for the table (test)."""

    language: str
    training: list[Sentence]
    validation: list[Sentence]
    test: list[Sentence]


def read_documents(path: Path, word: int, tag: int) -> list[list[Sentence]]:
    """Documents of sentences from a file with a token a line, in columns; `word` and `tag` number two columns.

    Lines with # are comments, an empty line ends a sentence, -DOCSTART- begins a document. Tags may be IOB1 or BIO
    (IOB2): read as IOB1, both give the entities that were meant.
    """
    if not path.is_file():
        raise SystemExit(f"{path} is not there; expected it under --data PATH, a folder laid out as README.md says")
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    documents: list[list[Sentence]] = []
    for document in re.split(r"(?m)^-DOCSTART-.*$", text):
        documents.append([])
        for block in re.split(r"\n\s*\n", document):
            lines = [line for line in block.splitlines() if line.strip() and not re.match(r"#[\w\s]+=|# newdoc", line)]
            rows = [line.split("\t" if "\t" in line else None) for line in lines]  # words may have blanks between tabs
            if rows:
                tags = convert_tags([row[tag] for row in rows], "IOB1", "IOBES")
                documents[-1].append(Sentence([row[word] for row in rows], tags))
    return [document for document in documents if document]


def read_sentences(path: Path, word: int, tag: int) -> list[Sentence]:
    """All sentences of a file, whatever document they belong to."""
    return [sentence for document in read_documents(path, word, tag) for sentence in document]


def load_corpus(language: str, data: Path | None, conll: Path | None = None) -> Corpus:
    """The corpus of a language, from the sample in this checkout, from `data`, or from a folder with CoNLL-2003."""
    if language == "en":
        return _wikigold((data / "ner_wikigold" if data else DATA / "wikigold") / "wikigold.conll.txt.gz")
    if language == "conll":
        if conll is None:
            raise SystemExit("conll was asked for without --conll-dir DIR; expected a folder with CoNLL-2003")
        paths = [_conll_file(conll, part) for part in ("train", "testa", "testb")]
        return Corpus(language, *(read_sentences(path, 0, -1) for path in paths))
    if data is None:
        raise SystemExit(f"{language} was asked for without --data PATH; expected a folder that holds ner_uner/")
    stem = data / "ner_uner" / f"{TREEBANKS[language]}-ud-"
    parts = [read_sentences(Path(f"{stem}{part}.iob2.gz"), 1, 2) for part in ("train", "dev", "test")]
    if language == "sv":  # the validation part has 23 entities: every tenth sentence of the training part joins it
        parts[1] = parts[1] + parts[0][::10]
        parts[0] = [sentence for k, sentence in enumerate(parts[0]) if k % 10]
    return Corpus(language, *parts)


def _wikigold(path: Path) -> Corpus:
    """Of 20 documents in a row 14 are for training, 3 for validation, 3 for the test; no document is divided."""
    parts: list[list[Sentence]] = [[], [], []]
    for k, document in enumerate(read_documents(path, 0, -1)):
        parts[0 if k % 20 < 14 else 1 if k % 20 < 17 else 2].extend(document)
    return Corpus("en", *parts)


def _conll_file(folder: Path, part: str) -> Path:
    names = {"train": ["train.txt"], "testa": ["valid.txt", "dev.txt"], "testb": ["test.txt"]}[part]
    names = [f"eng.{part}", *names]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise SystemExit(f"{folder} has none of {names}; expected the three files of CoNLL-2003")
    return found[0]


@functools.cache
def normalised(word: str) -> str:
    """The word as the table of words has it: in small letters, digits as 0."""
    return re.sub(r"\d", "0", word.lower())


class Batch(NamedTuple):
    """Sentences as tensors. B sentences of up to T words; W different spellings of up to L characters."""

    words: Tensor  # [B, T] numbers of the words
    spellings: Tensor  # [B, T] the row of `characters` of each word
    characters: Tensor  # [W, L]
    character_counts: Tensor  # [W]
    tags: Tensor  # [B, T]
    lengths: Tensor  # [B]


class Vocabulary:
    """The numbers of words, characters and tags that the training data have; UNKNOWN for others."""

    def __init__(self, training: Sequence[Sentence], pretrained: Sequence[str] = ()) -> None:
        counts = Counter(normalised(word) for sentence in training for word in sentence.words)
        self.words = {word: k for k, word in enumerate(dict.fromkeys([*pretrained, *counts]), UNKNOWN + 1)}
        letters = sorted({letter for sentence in training for word in sentence.words for letter in word})
        self.characters = {letter: k for k, letter in enumerate(letters, UNKNOWN + 1)}
        found = {tag for sentence in training for tag in sentence.tags} - {"O"}
        self.tags = ["O", *sorted(found, key=lambda tag: (tag[2:], "BIES".index(tag[0])))]
        self.once = torch.zeros(len(self.words) + 1, dtype=torch.bool)  # words that the training data have once
        self.once[[k for word, k in self.words.items() if counts[word] == 1]] = True

    def encode(self, sentences: Sequence[Sentence]) -> Batch:
        """The sentences as one batch. A tag that training does not have counts as O, and is lost for the model."""
        numbers = {tag: k for k, tag in enumerate(self.tags)}
        spelled = {word: k for k, word in enumerate(dict.fromkeys(w for s in sentences for w in s.words))}
        words, lengths = pad_ragged([[self.words.get(normalised(w), UNKNOWN) for w in s.words] for s in sentences])
        characters, counts = pad_ragged([[self.characters.get(c, UNKNOWN) for c in word] for word in spelled])
        return Batch(
            words=words,
            spellings=pad_ragged([[spelled[w] for w in s.words] for s in sentences])[0],
            characters=characters,
            character_counts=counts,
            tags=pad_ragged([[numbers.get(tag, 0) for tag in s.tags] for s in sentences])[0],
            lengths=lengths,
        )


def batches(sentences: Sequence[Sentence], size: int, shuffle: random.Random | None = None) -> Iterator[list[Sentence]]:
    """Sentences of similar length together. With `shuffle` the batches, and sentences of one length, change order."""
    ordered = list(sentences)
    if shuffle is not None:
        shuffle.shuffle(ordered)
    ordered.sort(key=lambda sentence: len(sentence.words))
    groups = [ordered[first : first + size] for first in range(0, len(ordered), size)]
    if shuffle is not None:
        shuffle.shuffle(groups)
    yield from groups


def glove(data: Path | None) -> tuple[list[str], Tensor] | None:
    """(words, vectors [words, 50]) of the English vectors GloVe 6B, where --data has them; else None."""
    path = data / "emb_glove50" / "glove6b_50d_subset.npz" if data else None
    if path is None or not path.is_file():
        return None
    with np.load(path) as held:
        return bytes(held["words"]).decode().split("\n"), torch.from_numpy(held["vectors"].astype(np.float32))
