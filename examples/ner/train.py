"""Training: one run for each language, loss and learning rate, each with a result file of its own."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from examples.experiment import Checkpoint, machine, ranks, read_json, write_json
from examples.ner.data import TITLES, Corpus, Sentence, Vocabulary, batches, glove, load_corpus
from examples.ner.evaluate import evaluate
from examples.ner.features import FeatureNumbers
from examples.ner.model import LOSSES, FeatureTagger, LSTMTagger, Measure, Tagger, surrogate

OPTIMIZERS = {"lstm": torch.optim.SGD, "features": torch.optim.Adam}


@dataclass(frozen=True)
class Run:
    """What one training run depends on."""

    language: str
    loss: str
    rate: float
    encoder: str = "lstm"
    batch: int = 8
    epochs: int = 15
    patience: int = 4
    seed: int = 0
    warm: int = 0  # epochs of the surrogate loss before those of a relaxed one

    @property
    def name(self) -> str:
        """The name of its files."""
        warm = f"-warm{self.warm}" if self.warm else ""
        return f"{self.language}-{self.encoder}-{self.loss}-{self.rate:g}{warm}"


def build_tagger(run: Run, corpus: Corpus, data: Path | None) -> Tagger:
    """The untrained tagger: its random numbers depend on the seed alone, not on the loss."""
    torch.manual_seed(run.seed)
    omega = LOSSES[run.loss].omega
    if run.encoder == "features":
        return FeatureTagger(Vocabulary(corpus.training), omega, FeatureNumbers(corpus.training))
    known = glove(data) if run.language == "en" else None
    if known is None:
        return LSTMTagger(Vocabulary(corpus.training), omega)
    words, vectors = known
    vocabulary = Vocabulary(corpus.training, words)
    table = torch.full((len(vocabulary.words) + 1, vectors.shape[1]), torch.nan)
    table[1 : len(words) + 1] = vectors
    return LSTMTagger(vocabulary, omega, table)


class Losses(nn.Module):
    """The loss of each sentence as a module, which DistributedDataParallel wraps."""

    def __init__(self, tagger: Tagger, measure: Measure) -> None:
        super().__init__()
        self.tagger, self.measure = tagger, measure

    def forward(self, group: Sequence[Sentence]) -> Tensor:
        """[sentences]."""
        return self.measure(self.tagger.crf, *self.tagger.emission(group))


def train_epoch(tagger: Tagger, training: Sequence[Sentence], run: Run, optimizer: Any, epoch: int) -> float:
    """One pass over the training sentences; the mean loss of a sentence.

    Ranks of torchrun divide each group of `batch` sentences a rank; gradients and the mean are those of all.
    """
    tagger.train()
    rank, world = ranks()
    model: nn.Module = Losses(tagger, surrogate if epoch < run.warm else LOSSES[run.loss].measure)
    if world > 1:
        model = DistributedDataParallel(model)
    total = torch.zeros((), dtype=torch.float64)
    for group in batches(training, run.batch * world, random.Random(f"{run.seed}-{epoch}")):
        optimizer.zero_grad()
        share = group[rank::world]
        loss = model(share or group[:1]).sum() * bool(share)  # a rank without a sentence takes part with weight 0
        (loss * (world / len(group))).backward()  # DistributedDataParallel takes the mean over ranks
        optimizer.step()
        total += float(loss.detach())
    if world > 1:
        dist.all_reduce(total)
    return float(total) / len(training)


def train(run: Run, corpus: Corpus, options: argparse.Namespace) -> dict[str, Any]:
    """Train until the validation F1 has not risen for `patience` epochs; the result, with the test scores.

    The epoch is chosen by the validation F1, and the test part is scored once, with the model of that epoch.
    """
    tagger = build_tagger(run, corpus, options.data)
    optimizer = OPTIMIZERS[run.encoder]([p for p in tagger.parameters() if p.requires_grad], lr=run.rate)
    rank, world = ranks()
    checkpoint = Checkpoint(options.out / f"{run.name}.checkpoint.pt")
    kept = Checkpoint(options.out / f"{run.name}.model.pt")
    history: list[dict[str, float]] = []
    state = checkpoint.load() if options.resume else None
    if state is not None:
        history = state["history"]
        tagger.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    bar = tqdm(total=run.epochs, initial=len(history), desc=run.name, disable=True if rank else None, leave=False)
    while len(history) < run.epochs and len(history) - _best(history) <= run.patience:
        began = time.perf_counter()
        loss = train_epoch(tagger, corpus.training, run, optimizer, len(history))
        seconds = time.perf_counter() - began
        scores = evaluate(tagger, corpus.validation)
        history.append({"loss": loss, "seconds": seconds, **scores._asdict()})
        if rank == 0 and _best(history) == len(history):
            kept.save(model=tagger.state_dict())
        if rank == 0:
            checkpoint.save(history=history, model=tagger.state_dict(), optimizer=optimizer.state_dict())
        bar.set_postfix(loss=f"{loss:.3f}", f1=f"{scores.f1:.4f}")
        bar.update()
    bar.close()
    if world > 1:
        dist.barrier()  # rank 0 has written
    best = kept.load()
    assert best is not None
    tagger.load_state_dict(best["model"])
    result = {
        "run": asdict(run),
        "title": TITLES[run.language],
        "vectors": "GloVe 6B, 50" if run.language == "en" and options.data else "random",
        "quick": options.quick,
        "sentences": [len(part) for part in (corpus.training, corpus.validation, corpus.test)],
        "history": history,
        "epoch": _best(history),
        "validation": history[_best(history) - 1]["f1"],
        "test": evaluate(tagger, corpus.test)._asdict(),
        "seconds": sum(epoch["seconds"] for epoch in history),
        "threads": options.threads,
        "ranks": world,
        "machine": machine(),
    }
    if rank == 0:
        write_json(options.out / f"{run.name}.json", result)
        checkpoint.remove()
    return result


def load_tagger(run: Run, corpus: Corpus, options: argparse.Namespace) -> Tagger:
    """The trained tagger of a run, in evaluation mode."""
    tagger = build_tagger(run, corpus, options.data)
    state = Checkpoint(options.out / f"{run.name}.model.pt").load()
    if state is None:
        raise SystemExit(f"{options.out} has no {run.name}.model.pt; expected the model of this run: train it first")
    tagger.load_state_dict(state["model"])
    return tagger.eval()


def _best(history: Sequence[dict[str, float]]) -> int:
    """How many epochs the best model has seen: the first of highest F1, 0 before any."""
    return 1 + max(range(len(history)), key=lambda k: (history[k]["f1"], -k)) if history else 0


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All training results in a folder."""
    found = [read_json(path) for path in sorted(folder.glob("*.json"))]
    return [result for result in found if "run" in result]


def chosen_result(results: Sequence[dict[str, Any]], language: str, loss: str, encoder: str) -> dict[str, Any] | None:
    """Of the runs with different rates the one with the highest validation F1.

    A run whose best epoch is one of the surrogate loss, before the relaxed one, does not count.
    """
    wanted = {"language": language, "loss": loss, "encoder": encoder}
    found = [r for r in results if all(r["run"][name] == value for name, value in wanted.items())]
    found = [r for r in found if r["epoch"] > r["run"].get("warm", 0)]
    return max(found, key=lambda r: (r["validation"], -r["run"]["rate"]), default=None)


def planned_runs(options: argparse.Namespace) -> Iterator[Run]:
    """The runs that the command line asks for."""
    for language in options.languages:
        for loss in options.losses:
            rates = options.rates
            if options.rates_from is not None:
                found = chosen_result(read_results(options.out), options.rates_from, loss, options.encoder)
                if found is None:
                    raise SystemExit(
                        f"--rates-from {options.rates_from}: {options.out} has no result of that language for the loss "
                        f"{loss}; train it there first"
                    )
                rates = [found["run"]["rate"]]
            for rate in rates:
                settings = {
                    name: getattr(options, name) for name in ("encoder", "batch", "epochs", "patience", "seed", "warm")
                }
                yield Run(language, loss, rate, **settings)


def shortened(corpus: Corpus) -> Corpus:
    """A few sentences of each part, for --quick."""
    return Corpus(corpus.language, corpus.training[:40], corpus.validation[:24], corpus.test[:24])


def train_all(options: argparse.Namespace) -> None:
    """Every planned run, but those whose result is there already where --resume is given."""
    torch.set_num_threads(options.threads)
    corpora: dict[str, Corpus] = {}
    for run in planned_runs(options):
        path = options.out / f"{run.name}.json"
        if options.resume and path.is_file():
            continue
        if run.language not in corpora:
            corpora[run.language] = load_corpus(run.language, options.data, options.conll_dir)
        corpus = corpora[run.language]
        if options.quick:
            corpus = shortened(corpus)
        result = train(run, corpus, options)
        test = result["test"]
        if ranks()[0]:
            continue
        tqdm.write(
            f"{run.name}: epoch {result['epoch']}, validation F1 {100 * result['validation']:.2f}, test F1 "
            f"{100 * test['f1']:.2f}, {result['seconds']:.0f} s"
        )
