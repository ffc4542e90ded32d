"""Training tokens a second of the three attentions, measured in one process on the same batches in turn."""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time

import torch
from tqdm import tqdm

from examples.attention.data import batches
from examples.attention.train import Settings, make_corpus, make_model, step
from examples.experiment import machine, write_json

WARM = 5  # batches before the measurement


def speed(arguments: argparse.Namespace) -> None:
    """The command `speed`: forward, loss, backward and the optimiser's step on each batch; medians over batches."""
    torch.set_num_threads(arguments.threads)
    if hasattr(os, "sched_setaffinity"):  # the chain takes as many threads as the process has cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    settings = Settings.of(arguments)
    rounds = min(arguments.rounds, 5) if arguments.quick else arguments.rounds
    corpus = make_corpus(settings, arguments.data)
    encoded = corpus.encode(corpus.split.train)
    made = {name: make_model(settings, corpus, name) for name in arguments.attention}
    taken: dict[str, list[float]] = {name: [] for name in made}
    tokens: list[int] = []
    drawn = list(itertools.islice(batches(encoded, settings.batch, settings.seed), WARM + rounds))
    for place, batch in enumerate(tqdm(drawn, "speed", mininterval=1.0)):
        names = list(made)
        for name in names[place % len(names) :] + names[: place % len(names)]:
            model, optimiser = made[name]
            model.train()
            began = time.perf_counter()
            _, said = step(model, optimiser, batch, settings.clip)
            if place >= WARM:
                taken[name].append(time.perf_counter() - began)
        if place >= WARM:
            tokens.append(said)
    rates = {
        name: statistics.median(n / seconds for n, seconds in zip(tokens, taken[name], strict=True)) for name in made
    }
    first = arguments.attention[0]
    slower = {
        name: statistics.median(own / base for own, base in zip(taken[name], taken[first], strict=True))
        for name in made
    }
    content = {
        "tokens_a_second": rates,
        "times_slower": slower,  # the median over batches of seconds by those of the first
        "batches": len(tokens),
        "tokens_a_batch": statistics.mean(tokens),
        "settings": {"units": settings.units, "batch": settings.batch, "data": settings.data, "pairs": settings.pairs},
        "vocabulary": {"french": len(corpus.french), "english": len(corpus.english)},
        "threads": arguments.threads,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "machine": machine(),
    }
    write_json(arguments.out / "speed.json", content)
    for name in made:
        print(f"{name}: {rates[name]:.0f} tokens a second, {slower[name]:.2f} times the seconds of {first}")
