"""The experiment examples/attention: it trains, goes on after an interruption, and reports what it measured."""

from __future__ import annotations

import itertools
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sacrebleu")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

from dagdp import Negentropy, SquaredL2  # noqa: E402
from examples.attention import data, decode, report  # noqa: E402
from examples.attention.__main__ import main  # noqa: E402
from examples.attention.model import (  # noqa: E402
    NAMES,
    SegmentationAttention,
    Sizes,
    SoftmaxAttention,
    Translator,
)
from examples.attention.train import Settings, make_corpus, mean_loss  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "examples" / "attention"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, start):
    """The folder of a quick training of the three attentions."""
    out = tmp_path_factory.mktemp("trained")
    start("examples.attention", "train", "--quick", "--threads", 1, "--out", out)
    return out


@pytest.fixture
def run():
    """Runs a command in this process, which spares importing torch; its threads and cores are set back."""
    threads, cores = torch.get_num_threads(), getattr(os, "sched_getaffinity", lambda _: None)(0)
    torch.set_num_threads(1)
    yield lambda *words: main(words)
    torch.set_num_threads(threads)
    if cores is not None:
        os.sched_setaffinity(0, cores)


def losses(folder: Path, name: str) -> list[float]:
    history = json.loads((folder / f"{name}.json").read_text())["history"]
    return [line[key] for line in history for key in ("train_loss", "valid_loss")]


@pytest.mark.parametrize("name", list(NAMES))
def test_quick_training_lowers_the_loss(trained, name):
    first_train, first_valid, last_train, last_valid = losses(trained, name)
    assert last_train < first_train - 0.3
    assert last_valid < first_valid - 0.1


@pytest.mark.parametrize("name", list(NAMES))
def test_result_holds_what_the_report_needs(trained, name):
    result = json.loads((trained / f"{name}.json").read_text())
    assert 0 <= result["bleu"]["test"] <= 100 and result["bleu"]["test_margin"] >= 0
    for kept in map(report.read_map, result["maps"]):
        assert kept.weights.shape == (len(kept.tokens), len(kept.source))
        np.testing.assert_allclose(kept.weights.sum(1), 1.0, atol=0.02)  # three digits are written


def test_report_writes_tables_and_pictures(trained, tmp_path, run):
    run("speed", "--quick", "--threads", "1", "--out", str(trained))
    page = tmp_path / "README.md"
    page.write_text((HERE / "README.md").read_text())
    run("report", "--results", str(trained), "--page", str(page), "--pictures", str(tmp_path))
    result = json.loads((trained / "softmax.json").read_text())
    assert f"| Softmax | {result['bleu']['test']:.2f} | ± {result['bleu']['test_margin']:.2f} |" in page.read_text()
    rate = json.loads((trained / "speed.json").read_text())["tokens_a_second"]["squared_l2"]
    assert f"| Segmentation, SquaredL2 | {rate:.0f} |" in page.read_text()
    for name in ("figure4.png", "figure8.png", "curves.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_resumed_training_equals_one_without_interruption(trained, tmp_path, run, capsys):
    options = ("--quick", "--threads", "1", "--attention", "squared_l2", "--out", str(tmp_path))
    run("train", *options, "--epochs", "1")
    assert len(losses(tmp_path, "squared_l2")) == 2
    run("train", *options, "--epochs", "2", "--resume")
    assert losses(tmp_path, "squared_l2") == losses(trained, "squared_l2")
    capsys.readouterr()
    run("train", *options, "--epochs", "2", "--resume")
    assert capsys.readouterr().out == f"{tmp_path / 'squared_l2.json'} is there\n"


def test_checkpoint_of_other_settings_is_refused(trained, run):
    with pytest.raises(SystemExit, match="was made with"):
        run("train", "--quick", "--seed", "5", "--resume", "--threads", "1", "--out", str(trained))


def test_committed_tables_are_those_of_the_committed_results():
    page = (HERE / "README.md").read_text(encoding="utf-8")
    for name, text in report.tables(HERE / "results").items():
        found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end of {name} -->", page, flags=re.S)
        assert found is not None and found[1] == text


def test_committed_pictures_are_shown():
    page = (HERE / "README.md").read_text(encoding="utf-8")
    for name in ("figure4.png", "figure8.png", "curves.png"):
        assert (HERE / "pictures" / name).is_file() and f"pictures/{name}" in page


def test_sample_has_sentences_of_5_to_12_words():
    pairs = data.read_pairs()
    assert len(pairs) == 10_000
    assert {data.count_words(sentence) for pair in pairs for sentence in pair} == set(range(5, 13))


def test_full_data_is_read_from_text_and_from_the_archive(tmp_path):
    import zipfile

    lines = "I have a very old dog.\tJ'ai un très vieux chien.\nGo.\tVa !\n"
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "fra.txt").write_text(lines, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "fra-eng.zip", "w") as archive:
        archive.writestr("fra.txt", lines)
    expected = [data.Pair("I have a very old dog.", "J'ai un très vieux chien.")]
    assert data.read_pairs(tmp_path) == data.read_pairs(tmp_path / "text") == expected
    (tmp_path / "fra-eng.zip").unlink()
    with pytest.raises(SystemExit, match=r"fra-eng\.zip"):
        data.read_pairs(tmp_path)


def test_split_shares_no_sentence_with_training():
    split = data.split_pairs(data.read_pairs(), (200, 300), None, 0)
    english = [{pair.english for pair in part} for part in split]
    assert [len(part) for part in english[1:]] == [200, 300]
    for one, other in itertools.combinations(english, 2):
        assert not one & other
    heard = {pair.french for pair in split.train}
    assert not heard & {pair.french for pair in split.valid + split.test}


def test_split_follows_the_seed():
    pairs = data.read_pairs()
    splits = [data.split_pairs(pairs, (200, 300), 1000, seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] and splits[0].test != splits[2].test and len(splits[0].train) == 1000


def test_english_is_put_together_again():
    sentences = [pair.english for pair in data.read_pairs()]
    same = sum(data.join_english(data.split_english(sentence)) == sentence for sentence in sentences)
    assert same > 0.998 * len(sentences)


def test_batches_hold_each_pair_once_and_are_of_similar_length():
    encoded = [([4] * n, [data.BEGIN, *[5] * n, data.END]) for n in range(1, 14)] * 20
    made = list(data.batches(encoded, 16, "0"))
    lengths = sorted(length for batch in made for length in batch.lengths.tolist())
    assert lengths == sorted(len(source) for source, _ in encoded)
    assert max(int(batch.lengths.max() - batch.lengths.min()) for batch in made) <= 2
    assert not all(torch.equal(a.source, b.source) for a, b in zip(made, data.batches(encoded, 16, "1"), strict=True))


def segmentation(omega, seed: int = 0) -> SegmentationAttention:
    attention = SegmentationAttention(omega)
    with torch.no_grad():
        attention.chain.transition.copy_(torch.randn(2, 2, generator=torch.Generator().manual_seed(seed)))
    return attention


@pytest.mark.parametrize("omega", [None, Negentropy(2.0), SquaredL2(10.0)], ids=str)
def test_weights_sum_to_one_and_are_zero_behind_the_source(omega):
    attention = SoftmaxAttention() if omega is None else segmentation(omega)
    scores = 5 * torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([6, 2, 4])
    weights = attention(scores, lengths)
    assert weights.shape == (3, 4, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4))
    for row, length in zip(weights, lengths.tolist(), strict=True):
        assert (row[:, length:] == 0).all() and (row >= 0).all()


def enumerated(scores: np.ndarray, transition: np.ndarray, gamma: float) -> np.ndarray:
    """Attention weights [T] from all 2^T state sequences of θ_{t,1,j} = score_t + t_{1,j}, θ_{t,0,j} = t_{0,j}."""
    mass, attended = 0.0, np.zeros(len(scores))
    for states in itertools.product((0, 1), repeat=len(scores)):
        total = sum(scores[t] * states[t] for t in range(len(scores)))
        total += sum(transition[states[t], states[t - 1]] for t in range(1, len(scores)))
        weight = np.exp(total / gamma)
        mass, attended = mass + weight, attended + weight * np.array(states)
    marginals = attended / mass
    return marginals / marginals.sum()


def test_segmentation_weights_are_those_of_all_state_sequences():
    attention = segmentation(Negentropy(2.0))
    scores = 3 * torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([4, 3])
    weights = attention(scores, lengths).detach().numpy()
    transition = attention.chain.transition.detach().numpy().astype(float)
    for item, step in itertools.product(range(2), range(3)):
        length = int(lengths[item])
        expected = enumerated(scores[item, step, :length].numpy().astype(float), transition, 2.0)
        np.testing.assert_allclose(weights[item, step, :length], expected, rtol=1e-4)


def test_where_nothing_is_attended_weights_are_zero_and_gradients_finite():
    attention = segmentation(SquaredL2(1.0))
    scores = torch.full((1, 1, 4), -50.0, requires_grad=True)
    weights = attention(scores, torch.tensor([4]))
    assert (weights == 0).all()
    weights.sum().backward()
    assert torch.isfinite(scores.grad).all() and torch.isfinite(attention.chain.transition.grad).all()


def test_start_and_end_of_the_chain_stay_zero():
    attention = SegmentationAttention(Negentropy(2.0))
    learnt = [name for name, parameter in attention.named_parameters() if parameter.requires_grad]
    assert learnt == ["chain.transition"]
    assert (attention.chain.start == 0).all() and (attention.chain.end == 0).all()


@pytest.mark.parametrize("name", list(NAMES))
def test_padding_and_the_other_sentences_do_not_change_a_loss(name):
    torch.manual_seed(0)
    model = Translator(Sizes(20, 20, units=8), name)
    encoded = [([4, 5, 6], [2, 7, 3]), ([8, 9, 10, 11, 12], [2, 9, 10, 11, 3])]
    tokens = [len(target) - 1 for _, target in encoded]
    alone = sum(mean_loss(model, [pair], 1) * count for pair, count in zip(encoded, tokens, strict=True))
    assert mean_loss(model, encoded, 2) == pytest.approx(alone / sum(tokens), rel=1e-5)


def test_attentions_start_from_the_same_numbers():
    made = []
    for name in NAMES:
        torch.manual_seed(3)
        made.append(Translator(Sizes(20, 20, units=8), name).state_dict())
    for key, value in made[0].items():
        assert all(torch.equal(value, other[key]) for other in made[1:])


@pytest.mark.parametrize("name", list(NAMES))
def test_steps_of_decoding_equal_one_call_under_teacher_forcing(name):
    torch.manual_seed(0)
    model = Translator(Sizes(20, 20, units=8), name).eval()
    source, lengths = torch.tensor([[4, 5, 6, 7], [8, 9, 0, 0]]), torch.tensor([4, 2])
    words = [str(number) for number in range(20)]
    found = decode.translate(model, source, lengths, words)
    for place, translation in enumerate(found):
        said = [data.BEGIN, *map(int, translation.tokens), data.END]
        with torch.no_grad():
            vectors, state = model.encode(source[place : place + 1, : lengths[place]], lengths[place : place + 1])
            states, _ = model.decoder(model.english(torch.tensor([said[:-1]])), state)
            outputs, weights = model.attend(states, vectors, lengths[place : place + 1])
        steps = len(translation.weights)
        torch.testing.assert_close(translation.weights, weights[0, :steps], rtol=1e-4, atol=1e-6)
        scores = model.score(outputs[0])
        scores[:, : data.END] = -torch.inf
        assert scores.argmax(-1)[: len(translation.tokens)].tolist() == said[1:-1]
        assert "<unknown>" not in translation.tokens


def test_sparsity_counts_zeros_and_segments():
    weights = torch.tensor([[0.5, 0.0, 0.495, 0.005], [1.0, 0.0, 0.0, 0.0]])
    counted = decode.sparsity([decode.Translation(["a"], weights)])
    assert counted["exact_zeros"] == 0.5 and counted["faint"] == 0.125
    assert counted["segments_a_step"] == 1.5 and counted["positions_a_step"] == 2.0
    assert counted["largest_weight"] == 0.75 and counted["steps_without_attention"] == 0.0


def test_bleu_of_the_references_is_100():
    pairs = [pair for pair in data.read_pairs()[:50] if "’" not in pair.english]
    translations = [decode.Translation(data.split_english(pair.english), torch.ones(1, 1)) for pair in pairs]
    assert decode.bleu(pairs, translations) == pytest.approx(100.0)


def test_epoch_rates_do_not_depend_on_how_many_there_will_be():
    settings = Settings(rate=1.0, decay=0.5, decay_after=2)
    assert [settings.rate_in(epoch) for epoch in (1, 2, 3, 4)] == [1.0, 1.0, 0.5, 0.25]


def test_vocabulary_is_made_of_training_sentences_only():
    settings = Settings(pairs=500, held_out=(40, 40), vocabulary=300)
    corpus = make_corpus(settings, None)
    known = {token for pair in corpus.split.train for token in data.split_english(pair.english)}
    assert len(corpus.english) <= 300 and set(corpus.english.tokens[len(data.SPECIAL) :]) <= known
