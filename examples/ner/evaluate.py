"""Decoding, and scores of entities by seqeval."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from seqeval.metrics import f1_score, precision_score, recall_score

from examples.ner.data import Sentence, batches
from examples.ner.model import Tagger


class Scores(NamedTuple):
    """Shares from 0 to 1: an entity is right where its boundaries and its type are right."""

    precision: float
    recall: float
    f1: float


@torch.no_grad()
def decode(tagger: Tagger, sentences: Sequence[Sentence]) -> list[list[str]]:
    """The best tags of each sentence, in the order of the sentences."""
    tagger.eval()
    found: dict[int, list[str]] = {}
    for group in batches(sentences, 64):
        emission, _, lengths = tagger.emission(group)
        for sentence, row in zip(group, tagger.crf.decode(emission, lengths).tolist(), strict=True):
            found[id(sentence)] = [tagger.tags[k] for k in row[: len(sentence.words)]]
    return [found[id(sentence)] for sentence in sentences]


def entity_scores(predicted: list[list[str]], sentences: Sequence[Sentence]) -> Scores:
    """Precision, recall and F1 over all entities, as seqeval counts them."""
    true = [sentence.tags for sentence in sentences]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns where nothing was predicted, which an untrained model does
        parts = [float(measure(true, predicted)) for measure in (precision_score, recall_score, f1_score)]
    return Scores(*parts)


def evaluate(tagger: Tagger, sentences: Sequence[Sentence]) -> Scores:
    """Scores of the best tags."""
    return entity_scores(decode(tagger, sentences), sentences)
