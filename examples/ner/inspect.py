"""What sparse marginals are for: a list of all possible tag sequences, and precision against recall (section C.1)."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from seqeval.metrics.sequence_labeling import get_entities
from tqdm import tqdm

from dagdp import InputError
from examples.experiment import machine, write_json
from examples.ner.data import Sentence, load_corpus
from examples.ner.evaluate import evaluate
from examples.ner.model import Tagger
from examples.ner.train import Run, chosen_result, load_tagger, read_results, shortened

PAIR = ("negentropy-surrogate", "l2-surrogate")  # the losses whose predictions are laid side by side
LIMIT = 2000  # sequences that a support may have to be listed; where it has more, DRAWS of them are drawn
DRAWS = 1000
SHOWN = 2  # sentences in the picture

Weighted = list[tuple[list[str], float]]  # tag sequences with their probabilities


@torch.no_grad()
def possible_sequences(tagger: Tagger, sentence: Sentence) -> Weighted | None:
    """Every tag sequence of non-zero probability, likeliest first; None where there are more than LIMIT."""
    emission = tagger.emission([sentence])[0][0]
    try:
        tags, probabilities = tagger.crf.support(emission, limit=LIMIT)
    except InputError:
        return None
    rows = zip(tags.tolist(), probabilities.tolist(), strict=True)
    return [([tagger.tags[k] for k in row], p) for row, p in rows]


@torch.no_grad()
def drawn_sequences(tagger: Tagger, sentence: Sentence, seed: int) -> Weighted:
    """DRAWS tag sequences from the distribution, each with its share."""
    draws = tagger.crf.sample(tagger.emission([sentence])[0][0], DRAWS, seed=seed).tolist()
    return [([tagger.tags[k] for k in row], 1 / DRAWS) for row in draws]


def entity_probabilities(sequences: Weighted) -> dict[tuple[str, int, int], float]:
    """For each entity (kind, first word, last word) the probability of the sequences that have it."""
    found: dict[tuple[str, int, int], float] = defaultdict(float)
    for tags, probability in sequences:
        for entity in get_entities(tags):
            found[entity] += probability
    return dict(found)


def precision_recall(
    found: Sequence[dict[tuple[str, int, int], float]], sentences: Sequence[Sentence]
) -> list[dict[str, float]]:
    """Precision and recall of the entities whose probability is at least a threshold, from 1 % to 100 %."""
    true = [set(get_entities(sentence.tags)) for sentence in sentences]
    pairs = [(p, entity in own) for own, row in zip(true, found, strict=True) for entity, p in row.items()]
    total = sum(map(len, true))
    curve = []
    for percent in range(1, 101):
        kept = [right for p, right in pairs if p >= percent / 100 - 1e-6]
        if kept:
            curve.append({"threshold": percent / 100, "precision": sum(kept) / len(kept), "recall": sum(kept) / total})
    return curve


def ambiguous(sentences: Sequence[Sentence], possible: Sequence[Weighted | None]) -> list[int]:
    """Sentences of 6 to 14 words with 2 to 6 possible sequences, in which the best is least sure: their numbers."""
    fitting = [
        k
        for k, (sentence, own) in enumerate(zip(sentences, possible, strict=True))
        if own is not None and 2 <= len(own) <= 6 and 6 <= len(sentence.words) <= 14
    ]
    return sorted(fitting, key=lambda k: possible[k][0][1])[:SHOWN]  # type: ignore[index]


@torch.no_grad()
def marginal_shares(tagger: Tagger, sentences: Sequence[Sentence]) -> tuple[list[Any], float]:
    """(marginals [T][S] of each sentence, the share of all of them that is exactly 0)."""
    rows = [tagger.crf.marginals(tagger.emission([sentence])[0])[0] for sentence in sentences]
    zeros = sum(int((row == 0).sum()) for row in rows)
    return [row.tolist() for row in rows], zeros / sum(row.numel() for row in rows)


def inspect(options: argparse.Namespace) -> None:
    """Write inspection-LANGUAGE.json for each language: nothing in it was used for a choice."""
    torch.set_num_threads(options.threads)
    for language in options.languages:
        corpus = load_corpus(language, options.data, options.conll_dir)
        corpus = shortened(corpus) if options.quick else corpus
        taggers, results = {}, read_results(options.out)
        for loss in PAIR:
            result = chosen_result(results, language, loss, options.encoder)
            if result is None:
                raise SystemExit(f"{options.out} has no result of {loss} for {language}; train it first")
            taggers[loss] = load_tagger(Run(**result["run"]), corpus, options)
        sentences = corpus.test
        sparse = [possible_sequences(taggers["l2-surrogate"], s) for s in tqdm(sentences, desc="support", disable=None)]
        chosen = ambiguous(sentences, sparse)
        content: dict[str, Any] = {"language": language, "tags": taggers["l2-surrogate"].tags, "machine": machine()}
        content["support"] = {
            "sentences": len(sentences),
            "limit": LIMIT,
            "over_limit": sum(own is None for own in sparse),
            "single": sum(own is not None and len(own) == 1 for own in sparse),
            "sizes": [None if own is None else len(own) for own in sparse],
        }
        for loss, tagger in taggers.items():
            rows = []
            for k, sentence in enumerate(tqdm(sentences, desc=loss, disable=None)):
                listed = sparse[k] if loss == "l2-surrogate" else None
                rows.append(entity_probabilities(listed or drawn_sequences(tagger, sentence, options.seed + k)))
            marginals, zeros = marginal_shares(tagger, sentences)
            content[loss] = {
                "curve": precision_recall(rows, sentences),
                "zeros": zeros,
                "best_path": evaluate(tagger, sentences)._asdict(),
                "marginals": [marginals[k] for k in chosen],
            }
        content["examples"] = [
            {"words": sentences[k].words, "tags": sentences[k].tags, "sequences": sparse[k]} for k in chosen
        ]
        write_json(options.out / f"inspection-{language}.json", content)
