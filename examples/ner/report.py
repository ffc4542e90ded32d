"""The tables and the pictures of the README, from the result files alone."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from dagdp.plot import trellis_marginals
from examples.experiment import markdown_table, put_between, read_json
from examples.ner.data import LANGUAGES, TITLES
from examples.ner.inspect import DRAWS, PAIR
from examples.ner.model import LOSSES, TABLE_1
from examples.ner.train import chosen_result, read_results

matplotlib.use("Agg")

NAMES = {"negentropy-surrogate": "Negentropy", "l2-surrogate": "SquaredL2"}


def write_report(options: argparse.Namespace) -> None:
    """Write every table of the README and every picture."""
    if not read_results(options.out):
        raise SystemExit(f"{options.out} has no results; expected those of `train --out {options.out}`")
    for name, text in tables(options.out).items():
        put_between(options.readme, name, text)
    options.pictures.mkdir(parents=True, exist_ok=True)
    for path in sorted(options.out.glob("inspection-*.json")):
        content = read_json(path)
        draw_marginals(content, options.pictures / f"marginals-{content['language']}.png")
        draw_precision_recall(content, options.pictures / f"precision-recall-{content['language']}.png")


def tables(folder: Path) -> dict[str, str]:
    """The text of each table, by its name in the README."""
    results = read_results(folder)
    made = {
        "table 1": table_1(folder),
        "runs": _runs([chosen_result(results, language, loss, "lstm") for language in LANGUAGES for loss in TABLE_1]),
        "step sizes": _step_sizes(results, "en"),
        "linear": _runs([chosen_result(results, "en", loss, "features") for loss in LOSSES]),
    }
    for path in sorted(folder.glob("inspection-*.json")):
        content = read_json(path)
        made[f"sequences {content['language']}"] = _sequences(content)
        made[f"precision and recall {content['language']}"] = _precision_recall(content)
    return made


def table_1(folder: Path) -> str:
    """Test F1 in percent; a language has a column where all five losses were trained on it."""
    results = read_results(folder)
    yardsticks = [read_json(path) for path in sorted(folder.glob("*-crfsuite.json"))]
    columns = [
        language
        for language in LANGUAGES
        if all(chosen_result(results, language, loss, "lstm") is not None for loss in TABLE_1)
    ]
    rows = []
    for loss in TABLE_1:
        found = [chosen_result(results, language, loss, "lstm") for language in columns]
        cells = [_percent(r["test"]["f1"]) + _note(r) for r in found if r is not None]
        rows.append([LOSSES[loss].title, *cells])
    crfsuite = {result["language"]: _percent(result["test"]["f1"]) for result in yardsticks}
    rows.append(["CRFsuite, features by hand", *(crfsuite.get(language, "") for language in columns)])
    return markdown_table(["loss", *(TITLES[language] for language in columns)], rows)


def _runs(results: Sequence[dict[str, Any] | None]) -> str:
    """A row for each chosen run."""
    rows = [
        [
            f"{result['title']}: {LOSSES[result['run']['loss']].title}",
            f"{result['run']['rate']:g}" + _note(result),
            f"{result['epoch']} of {len(result['history'])}",
            _percent(result["validation"]),
            *(_percent(result["test"][name]) for name in ("precision", "recall", "f1")),
            f"{result['seconds']:.0f}",
        ]
        for result in results
        if result is not None
    ]
    header = ["run", "step size", "epoch", "validation F1", "test precision", "recall", "F1", "training, s"]
    return "\n\n".join([markdown_table(header, rows), *_provenance([r for r in results if r is not None])])


def _provenance(results: Sequence[dict[str, Any]]) -> list[str]:
    """Where, when and with what the runs were made, as a sentence."""
    if not results:
        return []
    dates, machines, versions, seeds = (
        sorted({written(result) for result in results})
        for written in (
            lambda r: r["machine"]["date"],
            lambda r: f"{r['machine']['machine']}, {r['threads']} thread",
            lambda r: f"Python {r['machine']['python']}, torch {r['machine']['torch']}",
            lambda r: f"seed {r['run']['seed']}",
        )
    )
    minutes = sum(result["seconds"] for result in results) / 60
    return [f"{', '.join([*dates, *machines, *versions, *seeds])}; {minutes:.0f} minutes of training in all."]


def _precision_recall(content: dict[str, Any]) -> str:
    """Precision and recall at four thresholds, in percent."""
    rows = []
    for percent in (90, 50, 10, 1):
        row = [f"{percent} %"]
        for loss in PAIR:
            point = next((p for p in content[loss]["curve"] if abs(p["threshold"] - percent / 100) < 1e-9), None)
            row += ["", ""] if point is None else [_percent(point["precision"]), _percent(point["recall"])]
        rows.append(row)
    header = ["probability at least", *(f"{NAMES[loss]}, {part}" for loss in PAIR for part in ("precision", "recall"))]
    return markdown_table(header, rows)


def _step_sizes(results: list[dict[str, Any]], language: str) -> str:
    """Validation F1 of each step size that was tried, in percent."""
    tried = {
        (r["run"]["loss"], r["run"]["rate"]): r["validation"]
        for r in results
        if r["run"]["language"] == language and r["run"]["encoder"] == "lstm" and not r["run"].get("warm")
    }
    rates = sorted({rate for _, rate in tried})
    rows = [
        [LOSSES[loss].title, *(_percent(tried[loss, rate]) if (loss, rate) in tried else "" for rate in rates)]
        for loss in TABLE_1
    ]
    return markdown_table(["validation F1 at step size", *(f"{rate:g}" for rate in rates)], rows)


def _sequences(content: dict[str, Any]) -> str:
    """The possible tag sequences of the first chosen sentence, and how many there are over all test sentences."""
    support = content["support"]
    zeros = {NAMES[loss]: _percent(content[loss]["zeros"]) for loss in PAIR}
    sizes = [size for size in support["sizes"] if size is not None]
    lines = [
        f"Of {support['sentences']} test sentences {support['single']} have one tag sequence of non-zero probability "
        f"under SquaredL2, {support['over_limit']} have more than {support['limit']}; the median is "
        f"{np.median([*sizes, *[np.inf] * support['over_limit']]):.0f}. Exact zeros among the marginals: "
        f"{zeros['SquaredL2']} % under SquaredL2, {zeros['Negentropy']} % under Negentropy.",
    ]
    for example in content["examples"]:
        words, count = example["words"], len(content["tags"])
        order = round(len(words) * math.log10(count))
        rows = [
            [_written(words, tags) + (" (the true one)" if tags == example["tags"] else ""), f"{probability:.3f}"]
            for tags, probability in example["sequences"]
        ]
        missing = not any(tags == example["tags"] for tags, _ in example["sequences"])
        note = f" The true one, {_written(words, example['tags'])}, is not among them." if missing else ""
        lines += [
            "",
            f"“{' '.join(words)}”: {len(rows)} sequences under SquaredL2; {count}^{len(words)}, about 10^{order}, "
            f"under Negentropy.{note}",
            "",
            markdown_table(["tags other than O", "probability"], rows),
        ]
    return "\n".join(lines)


def _written(words: list[str], tags: list[str]) -> str:
    """The words that are tagged, each with its tag."""
    return ", ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True) if tag != "O") or "none"


def _note(result: dict[str, Any]) -> str:
    """A word where the first epochs were those of the surrogate loss."""
    return " (warm)" if result["run"].get("warm") else ""


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def draw_marginals(content: dict[str, Any], path: Path) -> None:
    """Figure 6: the marginals of a few sentences under both operators; dots are the truth."""
    import matplotlib.pyplot as plt

    examples = content["examples"]
    if not examples:
        return
    widths = [len(example["words"]) for example in examples]
    figure, axes = plt.subplots(
        len(PAIR), len(examples), figsize=(2.2 + 0.52 * sum(widths), 8.0), layout="constrained", squeeze=False,
        width_ratios=widths, sharey=True,
    )  # fmt: skip
    for column, example in enumerate(examples):
        truth = [content["tags"].index(tag) if tag in content["tags"] else -1 for tag in example["tags"]]
        for row, loss in enumerate(PAIR):
            ax = axes[row, column]
            values = np.array(content[loss]["marginals"][column])
            last = column == len(examples) - 1
            trellis_marginals(values, states=content["tags"], steps=example["words"], truth=truth, colorbar=last, ax=ax)
            ax.set_title(f"{NAMES[loss]}: {100 * (values > 0).mean():.0f} % of cells above 0", fontsize=10, loc="left")
            ax.tick_params(axis="y", labelsize=7, labelleft=column == 0)
    figure.suptitle("Probability of each tag; a line borders cells above 0, a dot marks the true tag", fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_precision_recall(content: dict[str, Any], path: Path) -> None:
    """Precision against recall, over the least probability at which an entity is taken."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    for loss, colour, beside in zip(PAIR, ("C0", "C1"), ((4, 4), (-14, -12)), strict=True):
        curve, best = content[loss]["curve"], content[loss]["best_path"]
        label = f"{NAMES[loss]}, " + ("listed sequences" if loss == "l2-surrogate" else f"{DRAWS} drawn sequences")
        ax.plot([p["recall"] for p in curve], [p["precision"] for p in curve], "-", color=colour, label=label)
        ax.plot(best["recall"], best["precision"], "o", color=colour, label=f"{NAMES[loss]}, best path")
        for percent in (1, 10, 50, 90, 100):
            point = next((p for p in curve if abs(p["threshold"] - percent / 100) < 1e-9), None)
            if point is not None:
                spot = (point["recall"], point["precision"])
                ax.annotate(f"{percent} %", spot, textcoords="offset points", xytext=beside, fontsize=8, color=colour)
                ax.plot(*spot, ".", color=colour)
    ax.set(xlabel="recall of entities", ylabel="precision of entities")
    ax.set_title(f"{TITLES[content['language']]}: entities of at least this probability", loc="left", fontsize=11)
    ax.legend(frameon=False, fontsize=9)
    ax.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)
