"""The three tables of docs/experiments.md, from the committed results: python -m examples.summary."""

from __future__ import annotations

from pathlib import Path

from examples.attention import report as attention_report
from examples.attention.model import NAMES
from examples.audio_to_score import report as audio_report
from examples.experiment import EXAMPLES, markdown_table, put_between, read_json
from examples.ner import report as ner_report

PAGE = EXAMPLES.parent / "docs" / "experiments.md"


def alignments(results: Path) -> str:
    """Table 2: errors of onsets in seconds, on the pieces left out."""
    _, folds = audio_report.results(results)
    rows = []
    for method, label in audio_report.ROWS.items():
        train, test = (audio_report.column(folds, method, part) for part in ("train", "test"))
        rows.append([label, audio_report.spread(train), audio_report.spread(test), audio_report.middle(test)])
    return markdown_table(["alignment by", "train, s", "test, s", "test median, s"], rows)


def translations(results: Path) -> str:
    """Table 3: BLEU, sparsity, and the seconds of a training step beside softmax attention."""
    slower = read_json(results / "speed.json")["times_slower"]
    rows = [
        [
            NAMES[name],
            f"{result['bleu']['test']:.2f} ± {result['bleu']['test_margin']:.2f}",
            f"{100 * result['sparsity']['exact_zeros']:.1f} %",
            f"{slower[name]:.2f}",
        ]
        for name, result in attention_report.read_results(results).items()
    ]
    return markdown_table(["attention", "BLEU, test", "exact zeros", "times the seconds of softmax"], rows)


def tables() -> dict[str, str]:
    """The text of each table, by its name on the page."""
    return {
        "table 1": ner_report.table_1(EXAMPLES / "ner" / "results"),
        "table 2": alignments(EXAMPLES / "audio_to_score" / "results"),
        "table 3": translations(EXAMPLES / "attention" / "results"),
    }


if __name__ == "__main__":
    for name, text in tables().items():
        put_between(PAGE, name, text)
