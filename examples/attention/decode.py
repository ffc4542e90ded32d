"""Greedy translation, its BLEU, and how sparse the attention is on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from examples.attention.data import BEGIN, END, PAD, UNKNOWN, Corpus, Pair, batches, join_english, split_french
from examples.attention.model import Translator

LONGEST = 24  # tokens of a translation; the longest English sentence of the data has 19
FAINT = 0.01  # weights below this are hardly seen in a picture


class Translation(NamedTuple):
    """A translated sentence and where the decoder looked."""

    tokens: list[str]  # without END
    weights: Tensor  # [steps, T] attention; the last step says END unless the translation was cut


@torch.no_grad()
def translate(model: Translator, source: Tensor, lengths: Tensor, words: Sequence[str]) -> list[Translation]:
    """The likeliest next token, again and again, until END. <unknown> is never said."""
    model.eval()
    vectors, state = model.encode(source, lengths)
    said = torch.full((source.shape[0], 1), BEGIN)
    ended = torch.zeros(source.shape[0], dtype=torch.bool)
    steps: list[Tensor] = []
    looked: list[Tensor] = []
    while len(steps) < LONGEST and not ended.all():
        states, state = model.decoder(model.english(said), state)
        outputs, weights = model.attend(states, vectors, lengths)
        scores = model.score(outputs[:, 0])
        scores[:, [PAD, UNKNOWN, BEGIN]] = -torch.inf
        said = scores.argmax(-1, keepdim=True)
        steps.append(said[:, 0])
        looked.append(weights[:, 0])
        ended = ended | (said[:, 0] == END)
    found = []
    numbers, maps = torch.stack(steps, 1).tolist(), torch.stack(looked, 1)
    for row, length, seen in zip(numbers, lengths.tolist(), maps, strict=True):
        count = row.index(END) if END in row else len(row)
        found.append(Translation([words[n] for n in row[:count]], seen[: count + 1, :length]))
    return found


def translate_all(model: Translator, corpus: Corpus, pairs: Sequence[Pair], size: int) -> list[Translation]:
    """The translation of each pair's French sentence."""
    words, found = corpus.english.tokens, []
    for batch in batches(corpus.encode(pairs), size, None):
        found += translate(model, batch.source, batch.lengths, words)
    return found


def bleu(pairs: Sequence[Pair], translations: Sequence[Translation]) -> float:
    """BLEU of the joined, cased sentences, by sacrebleu's defaults: 0 to 100."""
    return float(_score(pairs, translations)[0].score)


def bleu_margin(pairs: Sequence[Pair], translations: Sequence[Translation]) -> tuple[float, str]:
    """(half the width of BLEU's 95% interval, from 1000 draws of the sentences; sacrebleu's signature)."""
    score, signature = _score(pairs, translations, 1000)
    described = json.loads(score.format(signature=signature, is_json=True))
    return float(described.get("confidence_var", 0.0)), signature


def _score(pairs: Sequence[Pair], translations: Sequence[Translation], draws: int = 1) -> tuple[Any, str]:
    from sacrebleu.metrics import BLEU  # here, so that no other part needs the package

    hypotheses = [join_english(translation.tokens) for translation in translations]
    metric = BLEU()
    score = metric.corpus_score(hypotheses, [[pair.english for pair in pairs]], n_bootstrap=draws)
    return score, str(metric.get_signature())


def sparsity(translations: Sequence[Translation]) -> dict[str, float]:
    """Means over all steps of all translations, the step that says END included."""
    steps = [row for translation in translations for row in translation.weights]
    positions = sum(row.numel() for row in steps)
    attended = [row > 0 for row in steps]
    faint = sum(int(((row < FAINT) & (row > 0)).sum()) for row in steps)
    runs = sum(int(mask[0]) + int((mask[1:] & ~mask[:-1]).sum()) for mask in attended)
    return {
        "exact_zeros": 1.0 - sum(int(mask.sum()) for mask in attended) / positions,
        "faint": faint / positions,  # above 0 and below 0.01
        "positions_a_step": sum(int(mask.sum()) for mask in attended) / len(steps),
        "segments_a_step": runs / len(steps),
        "largest_weight": sum(float(row.max()) for row in steps) / len(steps),
        "steps_without_attention": sum(not bool(mask.any()) for mask in attended) / len(steps),
        "source_length": positions / len(steps),
    }


def kept_maps(pairs: Sequence[Pair], translations: Sequence[Translation], most: int, shortest: int) -> list[Any]:
    """The first `most` sentences of at least `shortest` source tokens, with their attention, for the pictures.

    A row of weights is one string of numbers, so that the file can be read.
    """
    kept: list[Any] = []
    for pair, translation in zip(pairs, translations, strict=True):
        source = split_french(pair.french)
        if len(source) >= shortest and len(kept) < most:
            rows = [" ".join(f"{weight:.3g}" for weight in row.tolist()) for row in translation.weights]
            kept.append(
                {
                    "source": " ".join(source),
                    "reference": pair.english,
                    "tokens": " ".join(translation.tokens),
                    "weights": rows,
                }
            )
    return kept
