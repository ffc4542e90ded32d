"""The tables of the README and the pictures, from the result files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import plot
from examples.attention.model import NAMES
from examples.experiment import markdown_table, put_between, read_json

#: Table 3 of the paper, and the training tokens a second of section C.3
PAPER_BLEU = {"softmax": (27.96, 28.08), "negentropy": (27.96, 27.98), "squared_l2": (27.21, 27.28)}
PAPER_SPEED = {"softmax": 15000, "negentropy": 7500, "squared_l2": 5000}
SENTENCES = 4  # of Figure 8
Results = dict[str, dict[str, Any]]


class Map(NamedTuple):
    """One translated sentence and its attention."""

    source: list[str]
    reference: str
    tokens: list[str]  # with "<end>", unless the translation was cut
    weights: NDArray[np.float64]  # [tokens, source]


def read_results(folder: Path) -> Results:
    """The result of each attention that the folder has, in the order of the paper."""
    found = {name: read_json(folder / f"{name}.json") for name in NAMES if (folder / f"{name}.json").is_file()}
    if not found:
        raise SystemExit(f"{folder} holds none of {[f'{name}.json' for name in NAMES]}; run `train --out {folder}`")
    return found


def read_map(kept: dict[str, Any]) -> Map:
    """One entry of "maps"."""
    weights = np.array([row.split() for row in kept["weights"]], dtype=np.float64)
    tokens = kept["tokens"].split()
    ends = ["<end>"] * (len(weights) - len(tokens))
    return Map(kept["source"].split(), kept["reference"], tokens + ends, weights)


def bleu_table(results: Results) -> str:
    """Table 3."""
    header = [
        "Attention",
        "BLEU, test",
        "95% interval",
        "BLEU, validation",
        "epoch chosen",
        "training, minutes",
        "paper, fr→en",
        "paper, en→fr",
    ]
    rows = []
    for name, result in results.items():
        score = result["bleu"]
        cells = [f"{score['test']:.2f}", f"± {score['test_margin']:.2f}", f"{score['valid']:.2f}"]
        epoch = f"{result['chosen_epoch']} of {result['epochs']}"
        paper = [f"{number:.2f}" for number in PAPER_BLEU[name]]
        rows.append([NAMES[name], *cells, epoch, f"{result['seconds'] / 60:.0f}", *paper])
    return markdown_table(header, rows) + "\n\n" + _spread_text(results)


def _spread_text(results: Results) -> str:
    here = [result["bleu"]["test"] for result in results.values()]
    paper = [PAPER_BLEU[name][0] for name in results]
    return (
        f"The best and the worst differ by {max(here) - min(here):.2f} BLEU on the test part; "
        f"in the paper, fr→en, by {max(paper) - min(paper):.2f}."
    )


def sparsity_table(results: Results) -> str:
    """How many positions each word of a translation attends to."""
    header = [
        "Attention",
        "exact zeros",
        "above 0, below 0.01",
        "positions attended a word",
        "segments a word",
        "largest weight",
        "words without attention",
    ]
    rows = []
    for name, result in results.items():
        own = result["sparsity"]
        share = [f"{100 * own[key]:.1f} %" for key in ("exact_zeros", "faint")]
        means = [f"{own[key]:.2f}" for key in ("positions_a_step", "segments_a_step", "largest_weight")]
        rows.append([NAMES[name], *share, *means, f"{100 * own['steps_without_attention']:.2f} %"])
    length = next(iter(results.values()))["sparsity"]["source_length"]
    note = f"A source sentence has {length:.1f} positions on the mean, weighted by the words of its translation."
    return markdown_table(header, rows) + "\n\n" + note


def transition_table(results: Results) -> str:
    """The learnt transitions t_{to,from}, and what they say about neighbours."""
    header = ["Attention", "t_{0,0}", "t_{0,1}", "t_{1,0}", "t_{1,1}", "t_{1,1} + t_{0,0} - t_{1,0} - t_{0,1}"]
    rows = []
    for name, result in results.items():
        if result["transition"] is not None:
            (stay, stop), (begin, go_on) = result["transition"]
            numbers = (stay, stop, begin, go_on, go_on + stay - begin - stop)
            rows.append([NAMES[name], *[f"{number:.2f}" for number in numbers]])
    return markdown_table(header, rows)


def speed_table(folder: Path) -> str:
    """Training tokens a second beside the paper's."""
    if not (folder / "speed.json").is_file():
        return f"Not measured: {folder.name} holds no speed.json."
    measured = read_json(folder / "speed.json")
    header = ["Attention", "tokens/s", "times the seconds of softmax", "paper, tokens/s", "paper, times the seconds"]
    rows = []
    for name, rate in measured["tokens_a_second"].items():
        slower, paper = measured["times_slower"][name], PAPER_SPEED[name]
        ratio = f"{PAPER_SPEED['softmax'] / paper:.2f}"
        rows.append([NAMES[name], f"{rate:.0f}", f"{slower:.2f}", str(paper), ratio])
    at, settings = measured["machine"], measured["settings"]
    note = (
        f"{at['date']}, {at['machine']}, {measured['threads']} thread, torch {at['torch']}. "
        f"Medians over {measured['batches']} batches of {settings['batch']} sentences, "
        f"{measured['tokens_a_batch']:.0f} target tokens each; {settings['units']} units, "
        f"{measured['vocabulary']['english']} English entries. One-minute load average of the machine at the end of "
        f"the measurement: {measured['load_average']:.1f}. The paper measured on a Titan X (GPU)."
    )
    return markdown_table(header, rows) + "\n\n" + note


def setting_text(results: Results) -> str:
    """With what the trainings were made."""
    first = next(iter(results.values()))
    at, settings, sizes = first["machine"], first["settings"], first["sizes"]
    dates = sorted({result["machine"]["date"] for result in results.values()})
    data = "the full set" if settings["data"] == "full" else "the sample in examples/data"
    return (
        f"{' and '.join(dates)}, {at['machine']}, {first['threads']} thread, Python {at['python']}, "
        f"torch {at['torch']}, seed {settings['seed']}. Data: {data}, {sizes['train']} training pairs, "
        f"{sizes['valid']} validation pairs, {sizes['test']} test pairs; {sizes['french']} French and "
        f"{sizes['english']} English entries. Model: {settings['units']} units, dropout {settings['dropout']}, "
        f"{first['parameters']} parameters. Batches of {settings['batch']}, rate {settings['rate']}, times "
        f"{settings['decay']} each epoch after epoch {settings['decay_after']}. "
        f"sacrebleu signature: `{first['bleu']['signature']}`."
    )


def chosen_maps(results: Results) -> tuple[int, list[int]]:
    """Which sentences are drawn, by a rule that does not look at the maps: (Figure 4, Figure 8).

    Figure 4: the first sentence that all translate to the same words, as in the paper; without one, the first.
    Figure 8: the first four others.
    """
    tokens = [[kept["tokens"] for kept in result["maps"]] for result in results.values()]
    alike = [place for place, said in enumerate(zip(*tokens, strict=True)) if len(set(said)) == 1]
    first = alike[0] if alike else 0
    return first, [place for place in range(len(tokens[0])) if place != first][:SENTENCES]


def translations_text(results: Results) -> str:
    """The sentences of the pictures and what the models said."""
    figure4, figure8 = chosen_maps(results)
    blocks = []
    for place in (figure4, *figure8):
        kept = next(iter(results.values()))["maps"][place]
        lines = [f"Source: {kept['source']}", f"Reference: {kept['reference']}"]
        lines += [f"{NAMES[name]}: {result['maps'][place]['tokens']}" for name, result in results.items()]
        blocks.append("\n".join(f"- {line}" for line in lines))
    title = ["Figure 4:", *[f"Figure 8, row {row}:" for row in range(1, len(figure8) + 1)]]
    return "\n\n".join(f"{label}\n\n{block}" for label, block in zip(title, blocks, strict=True))


def draw_maps(results: Results, places: list[int], path: Path) -> None:
    """One row a sentence, one column an attention."""
    plt = _pyplot()
    maps = [[read_map(result["maps"][place]) for result in results.values()] for place in places]
    wide = max(0.34 * len(own.source) + 1.3 for row in maps for own in row)
    high = [max(0.27 * len(own.tokens) for own in row) + 1.25 for row in maps]
    figure, axes = plt.subplots(
        len(places),
        len(results),
        figsize=(wide * len(results), sum(high) + 0.3),
        height_ratios=high,
        squeeze=False,
        layout="constrained",
    )
    for row, line in zip(axes, maps, strict=True):
        for ax, own, name in zip(row, line, results, strict=True):
            plot.attention_map(own.weights, rows=own.tokens, columns=own.source, ax=ax)
            ax.set_xlabel(NAMES[name])
        row[0].set_ylabel("translation")
        figure.colorbar(row[0].images[0], ax=row, label="weight", fraction=0.02, pad=0.01, ticks=(0.0, 0.5, 1.0))
    figure.suptitle("Attention weights. Above each map: the source. Lines border the cells that are not 0.")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def draw_curves(results: Results, path: Path) -> None:
    """Loss and BLEU over epochs."""
    plt = _pyplot()
    from matplotlib.ticker import MaxNLocator

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    for colour, (name, result) in enumerate(results.items()):
        epochs = [line["epoch"] for line in result["history"]]
        for key, style, part in (("train_loss", ":", "training"), ("valid_loss", "-", "validation")):
            values = [line[key] for line in result["history"]]
            left.plot(epochs, values, style, color=f"C{colour}", marker=".", label=f"{NAMES[name]}, {part}")
        scores = [line["valid_bleu"] for line in result["history"]]
        right.plot(epochs, scores, color=f"C{colour}", marker=".", label=NAMES[name])
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set(xlabel="epoch", ylabel="loss (nats a token)")
    right.set(xlabel="epoch", ylabel="BLEU on validation data (0 to 100)")
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")  # no display is needed
    import matplotlib.pyplot as plt

    return plt


def tables(folder: Path) -> dict[str, str]:
    """What stands between the comments of the README, by their names."""
    results = read_results(folder)
    return {
        "settings": setting_text(results),
        "table of bleu": bleu_table(results),
        "table of sparsity": sparsity_table(results),
        "table of transitions": transition_table(results),
        "table of speed": speed_table(folder),
        "translations": translations_text(results),
    }


def report(arguments: argparse.Namespace) -> None:
    """The command `report`."""
    results = read_results(arguments.results)
    for name, text in tables(arguments.results).items():
        put_between(arguments.page, name, text)
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    figure4, figure8 = chosen_maps(results)
    draw_maps(results, [figure4], arguments.pictures / "figure4.png")
    draw_maps(results, figure8, arguments.pictures / "figure8.png")
    draw_curves(results, arguments.pictures / "curves.png")
    print(f"wrote the tables of {arguments.page} and three pictures in {arguments.pictures}")
