"""The experiment on named entities: it learns, it can be interrupted, and its README says what its results say."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

for needed in ("pycrfsuite", "seqeval", "tqdm", "matplotlib"):
    pytest.importorskip(needed)

from dagdp import Negentropy  # noqa: E402
from dagdp.nn import LinearChainCRF  # noqa: E402
from examples.ner import inspect, report, train  # noqa: E402
from examples.ner.__main__ import main  # noqa: E402
from examples.ner.data import Sentence, Vocabulary, batches, load_corpus, read_documents  # noqa: E402
from examples.ner.model import LOSSES, TABLE_1, BothWays  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "examples" / "ner"


@pytest.fixture(scope="module")
def quick(tmp_path_factory, start) -> Path:
    """The results of a quick run of every step but the report."""
    out, threads = tmp_path_factory.mktemp("ner"), torch.get_num_threads()
    start("examples.ner", "train", "--quick", "--threads", 1, "--out", out)
    try:
        main(["crfsuite", "--quick", "--out", str(out)])
        main(["inspect", "--quick", "--threads", "1", "--out", str(out)])
    finally:
        torch.set_num_threads(threads)
    return out


@pytest.mark.parametrize("loss", TABLE_1)
def test_every_loss_falls_in_a_quick_run(quick, loss):
    (path,) = quick.glob(f"en-lstm-{loss}-*.json")
    result = json.loads(path.read_text())
    losses = [epoch["loss"] for epoch in result["history"]]
    assert losses[-1] < losses[0] and result["quick"] and set(result["test"]) == {"precision", "recall", "f1"}
    assert not list(quick.glob("*.checkpoint.pt")) and path.with_suffix(".model.pt").is_file()


def test_a_report_is_made_from_the_results(quick, tmp_path):
    readme = tmp_path / "README.md"
    names = re.findall(r"<!-- end of (.+?) -->", (HOME / "README.md").read_text())
    readme.write_text("\n".join(f"<!-- {name} -->\nstale\n<!-- end of {name} -->" for name in names))
    main(["report", "--out", str(quick), "--readme", str(readme), "--pictures", str(tmp_path)])
    text = readme.read_text()
    assert "stale" not in text and text.count("| structured perceptron |") == 2 and "CRFsuite" in text
    assert (tmp_path / "precision-recall-en.png").stat().st_size > 10_000


def test_the_readme_has_the_tables_of_the_committed_results():
    page = (HOME / "README.md").read_text()
    made = report.tables(HOME / "results")
    assert len(made) >= 4
    for name, text in made.items():
        assert f"<!-- {name} -->\n{text}\n<!-- end of {name} -->" in page, name
    assert not any(result["quick"] for result in train.read_results(HOME / "results"))


def test_an_interrupted_run_goes_on_to_the_result_of_a_whole_one(tmp_path, monkeypatch):
    corpus = train.shortened(load_corpus("en", None))
    settings = train.Run("en", "negentropy-surrogate", 0.1, epochs=3)
    options = argparse.Namespace(data=None, resume=True, quick=True, threads=1, out=tmp_path / "whole")
    whole = train.train(settings, corpus, options)
    options.out, calls = tmp_path / "parts", itertools.count()

    def interrupted(*given):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return epoch(*given)

    epoch = train.train_epoch
    monkeypatch.setattr(train, "train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.train(settings, corpus, options)
    resumed = train.train(settings, corpus, options)
    assert next(calls) == 4  # one epoch, the interruption, two epochs
    for name in ("loss", "f1"):
        assert [e[name] for e in resumed["history"]] == [e[name] for e in whole["history"]]
    assert resumed["test"] == whole["test"]


@pytest.mark.exhaustive
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path):
    given = [
        "-m",
        "examples.ner",
        "train",
        "--quick",
        "--threads",
        "1",
        "--encoder",
        "features",
        "--losses",
        "negentropy-surrogate",
    ]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    found = []
    for k, (before, batch) in enumerate([([], "8"), (launch, "4")]):
        command = [sys.executable, *before, *given, "--batch", batch, "--out", str(tmp_path / str(k))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
        assert done.returncode == 0, done.stderr
        (path,) = (tmp_path / str(k)).glob("*.json")
        found.append(json.loads(path.read_text()))
    one, two = found
    assert [result["ranks"] for result in found] == [1, 2] and one["test"] == two["test"]
    for name in ("loss", "f1"):
        assert [e[name] for e in two["history"]] == pytest.approx([e[name] for e in one["history"]], rel=1e-5)


def test_documents_are_read_from_each_form_of_columns(tmp_path):
    path = tmp_path / "some.txt"
    path.write_text("-DOCSTART- O\n\nAda I-PER\nLovelace I-PER\n# O\n\nParis I-LOC\nLyon B-LOC\n-DOCSTART- O\n\nhe O\n")
    assert read_documents(path, 0, -1) == [
        [Sentence(["Ada", "Lovelace", "#"], ["B-PER", "E-PER", "O"]), Sentence(["Paris", "Lyon"], ["S-LOC", "S-LOC"])],
        [Sentence(["he"], ["O"])],
    ]
    path.write_text("# sent_id = 1\n# text = 10 000 x\n1\t10 000\tB-ORG\t-\ts\n2\tx\tO\t-\ts\n\n")
    assert read_documents(path, 1, 2) == [[Sentence(["10 000", "x"], ["S-ORG", "O"])]]


def test_wikigold_is_divided_by_documents():
    corpus = load_corpus("en", None)
    assert [len(part) for part in (corpus.training, corpus.validation, corpus.test)] == [1349, 163, 184]
    with pytest.raises(SystemExit, match="da was asked for without --data PATH"):
        load_corpus("da", None)
    with pytest.raises(SystemExit, match="conll was asked for without --conll-dir DIR"):
        load_corpus("conll", None)


def test_missing_data_and_results_are_named(tmp_path):
    with pytest.raises(SystemExit, match=r"wikigold.conll.txt.gz is not there; expected it under --data PATH"):
        load_corpus("en", tmp_path)
    with pytest.raises(SystemExit, match="has no results; expected those of `train --out"):
        main(["report", "--out", str(tmp_path), "--readme", str(tmp_path / "README.md")])


def test_conll_files_are_found_by_either_name(tmp_path):
    for name in ("eng.train", "valid.txt", "eng.testb"):
        (tmp_path / name).write_text("-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\n\n")
    assert load_corpus("conll", None, tmp_path).validation == [Sentence(["EU"], ["S-ORG"])]
    (tmp_path / "eng.testb").unlink()
    with pytest.raises(SystemExit, match="has none of"):
        load_corpus("conll", None, tmp_path)


def test_batches_hold_every_sentence_once():
    corpus = load_corpus("en", None)
    groups = list(batches(corpus.test, 10))
    assert sorted(id(s) for group in groups for s in group) == sorted(map(id, corpus.test))
    batch = Vocabulary(corpus.training).encode(groups[-1])
    words = [word for sentence in groups[-1] for word in sentence.words]
    assert batch.lengths.sum() == len(words) and batch.characters.shape[0] == len(set(words))


def test_both_directions_are_those_of_packed_sequences():
    torch.manual_seed(0)
    ours, packed = BothWays(3, 2), torch.nn.LSTM(3, 2, batch_first=True, bidirectional=True)
    for ending, part in (("", ours.forth), ("_reverse", ours.back)):
        for name, block in part.named_parameters():
            getattr(packed, name + ending).data.copy_(block.data)
    x, lengths = torch.randn(3, 5, 3), torch.tensor([5, 1, 3])
    states, (last, _) = packed(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    states = pad_packed_sequence(states, batch_first=True)[0]
    found = ours(x, lengths)
    for item, length in enumerate(lengths):
        assert torch.allclose(found[item, :length], states[item, :length], atol=1e-6)
    assert torch.allclose(ours.last(x, lengths), torch.cat([*last], -1), atol=1e-6)


def test_relaxed_losses_against_enumeration():
    torch.manual_seed(0)
    crf, emission = LinearChainCRF(3, Negentropy(1.0)), torch.randn(1, 3, 3)
    tags, lengths = torch.tensor([[2, 0, 1]]), torch.tensor([3])
    every = torch.tensor(list(itertools.product(range(3), repeat=3)))
    probabilities = crf.score(emission.expand(27, 3, 3), every).softmax(0)
    marginals = torch.stack([(probabilities * (every[:, t] == s)).sum() for t in range(3) for s in range(3)])
    marginals = marginals.reshape(3, 3)
    right = marginals[range(3), tags[0]]
    kl = LOSSES["negentropy-relaxed"].measure(crf, emission, tags, lengths)
    assert torch.allclose(kl, -right.log().sum(), atol=1e-5)
    l2 = LOSSES["l2-relaxed"].measure(crf, emission, tags, lengths)
    assert torch.allclose(l2, marginals.square().sum() + (1 - 2 * right).sum(), atol=1e-5)


def test_precision_and_recall_follow_the_threshold():
    sentences = [Sentence(["a", "b", "c"], ["S-PER", "O", "S-LOC"])]
    found = [inspect.entity_probabilities([(["S-PER", "O", "O"], 0.7), (["S-PER", "S-LOC", "O"], 0.3)])]
    assert found == [{("PER", 0, 0): 1.0, ("LOC", 1, 1): 0.3}]
    curve = {point["threshold"]: point for point in inspect.precision_recall(found, sentences)}
    assert (curve[0.3]["precision"], curve[0.3]["recall"]) == (0.5, 0.5)
    assert (curve[0.31]["precision"], curve[1.0]["recall"]) == (1.0, 0.5)


def test_ambiguous_sentences_are_taken_by_rule():
    def sentence(n):
        return Sentence(["w"] * n, ["O"] * n)

    sentences = [sentence(6), sentence(5), sentence(7), sentence(8), sentence(9)]
    pair = [(["O"], 0.6), (["O"], 0.4)]
    possible = [pair, pair, None, [(["O"], 1.0)], [(["O"], 0.5), (["O"], 0.5)]]
    assert inspect.ambiguous(sentences, possible) == [4, 0]
