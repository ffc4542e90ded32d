"""The yardstick: CRFsuite's linear CRF on words, shapes, beginnings and endings. One setting, not tuned."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pycrfsuite
from tqdm import tqdm

from examples.experiment import machine, write_json
from examples.ner.data import TITLES, load_corpus
from examples.ner.evaluate import entity_scores
from examples.ner.features import sentence_features
from examples.ner.train import shortened

SETTINGS = {"c1": 0.1, "c2": 0.01, "max_iterations": 100}  # of its L-BFGS: weights of the l1 and the squared l2 penalty


def train_crfsuite(options: argparse.Namespace) -> None:
    """Train on each language and score its test part. The validation part is not used: nothing is chosen."""
    for language in tqdm(options.languages, desc="crfsuite", disable=None):
        corpus = load_corpus(language, options.data, options.conll_dir)
        corpus = shortened(corpus) if options.quick else corpus
        began = time.perf_counter()
        trainer = pycrfsuite.Trainer(verbose=False)
        trainer.set_params(SETTINGS)
        for sentence in corpus.training:
            trainer.append(sentence_features(sentence), sentence.tags)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "model")
            trainer.train(path)
            tagger = pycrfsuite.Tagger()
            tagger.open(path)
            predicted = [tagger.tag(sentence_features(sentence)) for sentence in corpus.test]
            tagger.close()
        result = {
            "crfsuite": SETTINGS,
            "language": language,
            "title": TITLES[language],
            "test": entity_scores(predicted, corpus.test)._asdict(),
            "seconds": time.perf_counter() - began,
            "machine": machine(),
        }
        write_json(options.out / f"{language}-crfsuite.json", result)
