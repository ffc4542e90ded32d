"""What a linear model sees of a word: the words around it, their shapes, their beginnings and endings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from examples.ner.data import Sentence


def word_features(words: Sequence[str], k: int) -> Iterator[str]:
    """The features of word k, as text."""
    for offset in range(-2, 3):
        word = words[k + offset] if 0 <= k + offset < len(words) else "<edge>"
        yield f"{offset} word {word.lower()}"
        if abs(offset) < 2:
            shape = "".join("A" if c.isupper() else "a" if c.islower() else "0" if c.isdigit() else c for c in word)
            yield f"{offset} shape {shape[:2]}{shape[-2:]}{min(len(shape), 6)}"
            yield f"{offset} capital {word[:1].isupper()} {k + offset == 0}"
            yield from (f"{offset} ends {word[-n:].lower()}" for n in (2, 3))
    yield from (f"begins {words[k][:n].lower()}" for n in (2, 3))


def sentence_features(sentence: Sentence) -> list[list[str]]:
    """The features of every word."""
    return [list(word_features(sentence.words, k)) for k in range(len(sentence.words))]


class FeatureNumbers:
    """The numbers of the features that the training data have; others are left out."""

    def __init__(self, training: Sequence[Sentence]) -> None:
        self._known: dict[str, int] = {}
        for sentence in training:
            for row in sentence_features(sentence):
                for feature in row:
                    self._known.setdefault(feature, len(self._known))

    def __len__(self) -> int:
        return len(self._known)

    def encode(self, sentence: Sentence) -> list[list[int]]:
        """For each word the numbers of its features."""
        return [[self._known[f] for f in row if f in self._known] for row in sentence_features(sentence)]
