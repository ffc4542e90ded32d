"""Training: the three attentions, one after another, with the same data, seed and settings."""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from examples.attention import decode
from examples.attention.data import Batch, Corpus, batches, read_pairs, split_pairs
from examples.attention.model import NAMES, Sizes, Translator
from examples.experiment import Checkpoint, machine, read_json, write_json

MAPS, SHORTEST_MAP = 40, 8  # attention maps that a result holds, and the fewest source tokens of each


@dataclass(frozen=True)
class Settings:
    """What a training is made with; a checkpoint of other settings is refused."""

    data: str = "sample"
    seed: int = 0
    pairs: int = 30_000  # of training, at most
    held_out: tuple[int, int] = (1000, 2000)  # distinct English sentences of validation and test
    vocabulary: int = 8000  # entries on each side, at most
    units: int = 256
    dropout: float = 0.2
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.65  # of the rate, once an epoch
    decay_after: int = 4  # epochs
    clip: float = 1.0  # the norm of all gradients

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Settings:
        """The settings that the command line asks for."""
        data = "sample" if arguments.data is None else "full"
        if arguments.quick:
            small: dict[str, Any] = {"held_out": (40, 40), "vocabulary": 400, "units": 32, "batch": 32, "rate": 1e-2}
            return cls(data=data, seed=arguments.seed, pairs=min(arguments.pairs, 640), **small)
        held_out = (1000, 2000) if arguments.data else (400, 800)
        return cls(data=data, seed=arguments.seed, pairs=arguments.pairs, held_out=held_out)

    def rate_in(self, epoch: int) -> float:
        """The rate of an epoch, counted from 1. It does not depend on how many epochs there will be."""
        return float(self.rate * self.decay ** max(0, epoch - self.decay_after))


def make_corpus(settings: Settings, folder: Path | None) -> Corpus:
    """The split and the vocabularies."""
    split = split_pairs(read_pairs(folder), settings.held_out, settings.pairs, settings.seed)
    return Corpus(split, settings.vocabulary)


def make_model(settings: Settings, corpus: Corpus, attention: str) -> tuple[Translator, torch.optim.Optimizer]:
    """A fresh model and its optimiser, from the seed."""
    torch.manual_seed(settings.seed)
    sizes = Sizes(len(corpus.french), len(corpus.english), settings.units, settings.dropout)
    model = Translator(sizes, attention)
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return model, torch.optim.Adam(learnt, settings.rate, fused=True)


def step(model: Translator, optimiser: torch.optim.Optimizer, batch: Batch, clip: float) -> tuple[float, int]:
    """Forward, loss, backward, one step of the optimiser: (mean loss in nats a token, tokens)."""
    scores, wanted = model(batch)
    loss = nn.functional.cross_entropy(scores, wanted)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimiser.step()
    return loss.item(), len(wanted)


@torch.no_grad()
def mean_loss(model: Translator, encoded: list[Any], size: int) -> float:
    """The loss in nats a target token."""
    model.eval()
    total, tokens = 0.0, 0
    for batch in batches(encoded, size, None):
        scores, wanted = model(batch)
        total += float(nn.functional.cross_entropy(scores, wanted, reduction="sum"))
        tokens += len(wanted)
    return total / tokens


class Run:
    """The training of one attention: its model, history, checkpoint and result file."""

    def __init__(self, settings: Settings, corpus: Corpus, attention: str, out: Path) -> None:
        self.settings, self.corpus, self.attention = settings, corpus, attention
        self.model, self.optimiser = make_model(settings, corpus, attention)
        self.result, self.checkpoint = out / f"{attention}.json", Checkpoint(out / f"{attention}.pt")
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}

    def resume(self) -> None:
        """Go on from the checkpoint, where there is one."""
        state = self.checkpoint.load()
        if state is None:
            return
        if state["settings"] != _plain(self.settings):
            raise SystemExit(
                f"{self.checkpoint.path} was made with {state['settings']}; expected {_plain(self.settings)}: "
                "give the options it was made with, another --out, or leave --resume out"
            )
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.history, self.best = state["history"], state["best"]

    def train(self, epochs: int) -> None:
        """Train until there are `epochs` epochs, with a checkpoint after each; keep the epoch of best validation."""
        encoded, valid = self.corpus.encode(self.corpus.split.train), self.corpus.encode(self.corpus.split.valid)
        for epoch in range(len(self.history) + 1, epochs + 1):
            began, total, tokens = time.perf_counter(), 0.0, 0
            self.model.train()
            for group in self.optimiser.param_groups:
                group["lr"] = self.settings.rate_in(epoch)
            label = f"{self.attention}, epoch {epoch}/{epochs}"
            count = -(-len(encoded) // self.settings.batch)
            for batch in (bar := tqdm(self._batches(encoded, epoch), label, count, mininterval=1.0)):
                loss, said = step(self.model, self.optimiser, batch, self.settings.clip)
                total, tokens = total + loss * said, tokens + said
                bar.set_postfix(loss=f"{total / tokens:.3f}", refresh=False)
            trained = time.perf_counter()
            score = decode.bleu(self.corpus.split.valid, self._translate("valid"))
            self.history.append(
                {
                    "epoch": epoch,
                    "train_loss": total / tokens,
                    "valid_loss": mean_loss(self.model, valid, self.settings.batch),
                    "valid_bleu": score,
                    "train_seconds": trained - began,
                    "train_tokens": tokens,
                    "seconds": time.perf_counter() - began,
                }
            )
            if score >= max(line["valid_bleu"] for line in self.history):
                self.best = copy.deepcopy(self.model.state_dict())
            self.checkpoint.save(
                settings=_plain(self.settings),
                model=self.model.state_dict(),
                optimiser=self.optimiser.state_dict(),
                history=self.history,
                best=self.best,
            )

    def finish(self) -> None:
        """Write the result: the test set is translated once, by the epoch of best validation."""
        self.model.load_state_dict(self.best)
        split = self.corpus.split
        valid, test = self._translate("valid"), self._translate("test")
        margin, signature = decode.bleu_margin(split.test, test)
        chain = getattr(self.model.attention, "chain", None)
        content = {
            "attention": self.attention,
            "epochs": len(self.history),
            "settings": _plain(self.settings),
            "sizes": {part: len(getattr(split, part)) for part in split._fields}
            | {"french": len(self.corpus.french), "english": len(self.corpus.english)},
            "parameters": sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad),
            "threads": torch.get_num_threads(),
            "machine": machine(),
            "seconds": sum(line["seconds"] for line in self.history),
            "chosen_epoch": max(self.history, key=lambda line: (line["valid_bleu"], line["epoch"]))["epoch"],
            "bleu": {
                "valid": decode.bleu(split.valid, valid),
                "test": decode.bleu(split.test, test),
                "test_margin": margin,
                "signature": signature,
            },
            "sparsity": decode.sparsity(test),
            "transition": None if chain is None else chain.transition.tolist(),
            "history": self.history,
            "maps": decode.kept_maps(split.test, test, MAPS, SHORTEST_MAP),
        }
        write_json(self.result, content)

    def _batches(self, encoded: list[Any], epoch: int) -> Any:
        return batches(encoded, self.settings.batch, f"{self.settings.seed} {epoch}")

    def _translate(self, part: str) -> list[decode.Translation]:
        pairs = getattr(self.corpus.split, part)
        return decode.translate_all(self.model, self.corpus, pairs, self.settings.batch)


def _plain(settings: Settings) -> dict[str, Any]:
    """As JSON and checkpoints hold them."""
    return asdict(settings) | {"held_out": list(settings.held_out)}


def train(arguments: argparse.Namespace) -> None:
    """The command `train`."""
    torch.set_num_threads(arguments.threads)
    settings = Settings.of(arguments)
    epochs = 2 if arguments.quick and arguments.epochs is None else arguments.epochs or EPOCHS
    corpus = make_corpus(settings, arguments.data)
    for attention in arguments.attention:
        run = Run(settings, corpus, attention, arguments.out)
        if arguments.resume:
            if _is_done(run.result, settings, epochs):
                print(f"{run.result} is there")
                continue
            run.resume()
        run.train(epochs)
        run.finish()
        content = read_json(run.result)
        print(
            f"{NAMES[attention]}: BLEU {content['bleu']['test']:.2f} (test), {content['bleu']['valid']:.2f} "
            f"(validation), {content['seconds'] / 60:.1f} minutes; {run.result}"
        )


EPOCHS = 8


def _is_done(result: Path, settings: Settings, epochs: int) -> bool:
    if not result.is_file():
        return False
    content = read_json(result)
    return content["settings"] == _plain(settings) and content["epochs"] >= epochs
