"""Layers against brute force and torch's own CTC; what they save."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
from cases import GRAPHS

import dagdp
from dagdp import Graph, HardMax, InputError, Negentropy, SquaredL2, Tsallis, compile, dp_grad, dp_value
from dagdp.graphs import dtw_grid, trellis

torch = pytest.importorskip("torch")
from dagdp.nn import DTW, DPGrad, DPValue, Learnable, LinearChainCRF, Viterbi  # noqa: E402


def brute_force(crf, emission, length):
    """(scores, sequences) of all tag sequences of that length."""
    sequences = list(itertools.product(range(crf.num_tags), repeat=length))
    scores = []
    for y in sequences:
        score = crf.start[y[0]] + crf.end[y[-1]] + sum(emission[t, y[t]] for t in range(length))
        scores.append(score + sum(crf.transition[y[t], y[t - 1]] for t in range(1, length)))
    return torch.stack(scores), sequences


@pytest.mark.parametrize("lengths", [None, [4, 1, 3]], ids=["equal", "ragged"])
def test_linear_chain_equals_a_brute_force_crf(lengths):
    torch.manual_seed(0)
    crf = LinearChainCRF(3).double()
    emission = torch.randn(3, 4, 3, dtype=torch.float64)
    tags = torch.randint(0, 3, (3, 4))
    for item, n in enumerate(lengths or []):
        emission[item, n:] = torch.nan
        tags[item, n:] = -100
    emission.requires_grad_()
    likelihood = crf(emission, tags, lengths)
    marginals, best = crf.marginals(emission, lengths), crf.decode(emission, lengths)
    total = 0
    for item, n in enumerate(lengths or [4, 4, 4]):
        scores, sequences = brute_force(crf, emission[item], n)
        gold = scores[sequences.index(tuple(tags[item, :n].tolist()))]
        torch.testing.assert_close(likelihood[item], gold - scores.logsumexp(0))
        assert best[item].tolist() == [*sequences[int(scores.argmax())], *[-1] * (4 - n)]
        chances = scores.softmax(0)
        for t in range(4):
            want = [sum(p for p, y in zip(chances, sequences, strict=True) if t < n and y[t] == s) for s in range(3)]
            torch.testing.assert_close(marginals[item, t], torch.stack([torch.as_tensor(w).double() for w in want]))
        total = total + gold - scores.logsumexp(0)
    inputs = [emission, *crf.parameters()]
    for ours, brute in zip(
        torch.autograd.grad(likelihood.sum(), inputs), torch.autograd.grad(total, inputs), strict=True
    ):
        torch.testing.assert_close(ours, brute)


def test_crf_trains_and_saves_its_transitions():
    torch.manual_seed(0)
    crf = LinearChainCRF(3)
    assert {k: tuple(v.shape) for k, v in crf.state_dict().items()} == {
        "transition": (3, 3),
        "start": (3,),
        "end": (3,),
    }
    emission = torch.zeros(8, 6, 3)
    tags = torch.arange(6).remainder(3).expand(8, 6)
    optimizer = torch.optim.SGD(crf.parameters(), lr=0.5)
    for _ in range(60):
        optimizer.zero_grad()
        (-crf(emission, tags).mean()).backward()
        optimizer.step()
    assert crf.decode(emission)[0].tolist() == [0, 1, 2, 0, 1, 2]
    other = LinearChainCRF(3)
    other.load_state_dict(crf.state_dict())
    torch.testing.assert_close(other(emission, tags), crf(emission, tags))


def test_a_forbidden_transition_is_never_taken_and_gives_no_nan():
    crf = LinearChainCRF(2)
    with torch.no_grad():
        crf.transition[1, 0] = -torch.inf
    emission = torch.randn(4, 5, 2, requires_grad=True)
    loss = -crf(emission, torch.ones(4, 5, dtype=torch.long)).mean() + crf.marginals(emission).square().sum()
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(p.grad).all() for p in crf.parameters())
    assert crf.transition.grad[1, 0] == 0
    for path in crf.decode(emission).tolist():
        assert all(not (a == 0 and b == 1) for a, b in itertools.pairwise(path))


def test_crf_names_mistakes():
    crf = LinearChainCRF(3)
    with pytest.raises(InputError, match=r"emission has shape \(2, 4, 5\); expected \[\*batch, T, 3\]"):
        crf.value(torch.zeros(2, 4, 5))
    with pytest.raises(InputError, match=r"tags\[0, 2\] is 3; expected 0 to 2"):
        crf(torch.zeros(1, 4, 3), torch.tensor([[0, 1, 3, 0]]))
    with pytest.raises(InputError, match=r"lengths\[1\] is 5; expected 1 to 4"):
        crf.value(torch.zeros(2, 4, 3), lengths=[4, 5])


@pytest.mark.parametrize("asked", ["forward", "value", "score", "marginals", "decode"])
@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ([4, 5], r"lengths\[1\] is 5; expected 1 to 4"),
        ([0, 4], r"lengths\[0\] is 0; expected 1 to 4"),
        ([4.0, 2.0], r"lengths has dtype float32; expected integers"),
        ([4, 3, 2], r"lengths has shape \(3,\); expected \(2,\), one an item"),
        ([[4, 3]], r"lengths has shape \(1, 2\); expected \(2,\), one an item"),
    ],
    ids=str,
)
def test_lengths_are_looked_at_by_whoever_takes_them(asked, lengths, said):
    emission, tags = torch.zeros(2, 4, 3), torch.zeros(2, 4, dtype=torch.int64)
    given = (emission, tags) if asked in ("forward", "score") else (emission,)
    with pytest.raises(InputError, match=said):
        getattr(LinearChainCRF(3), asked)(*given, lengths)


def test_lengths_that_items_share_and_several_of_one_sequence():
    """A score has the batch that the value has."""
    torch.manual_seed(0)
    crf, emission, tags = LinearChainCRF(3), torch.randn(2, 4, 3), torch.tensor([[0, 1, 2, 0], [1, 2, 0, 1]])
    with torch.no_grad():
        crf.end.copy_(torch.tensor([0.0, 10.0, 20.0]))
    for shared in (3, [3], torch.tensor([3])):
        torch.testing.assert_close(crf(emission, tags, shared), crf(emission, tags, [3, 3]))
    apart = [crf(emission[0, :n], tags[0, :n]) for n in (2, 4)]
    torch.testing.assert_close(crf(emission[0], tags[0], [2, 4]), torch.stack(apart))


@pytest.mark.parametrize("lengths", [None, [4, 1, 3]], ids=["equal", "ragged"])
def test_tags_that_are_not_one_a_step_are_refused(lengths):
    crf, emission = LinearChainCRF(3), torch.zeros(3, 4, 3)
    for shape in ((3, 3), (2, 4), (4,)):
        with pytest.raises(InputError, match=r"tags has shape \(.*\); expected \(3, 4\), one tag a step"):
            crf(emission, torch.zeros(shape, dtype=torch.int64), lengths)


def ctc_graph(T, labels, classes, blank=0):
    """CTC as a user would write it: states blank, l1, blank, ..., one potential (T, classes)."""
    states = [blank, *itertools.chain.from_iterable((label, blank) for label in labels)]
    graph = Graph(starts=["start"], ends=["end"], potentials={"log_prob": (T, classes)})
    for s in range(min(2, len(states))):
        graph.add_edge("start", (0, s), log_prob=(0, states[s]))
    for t in range(1, T):
        for s, symbol in enumerate(states):
            skip = s >= 2 and symbol != blank and symbol != states[s - 2]
            for source in (s, s - 1, *([s - 2] if skip else [])):
                if source >= 0:  # states that "start" does not reach are dropped by compile
                    graph.add_edge((t - 1, source), (t, s), log_prob=(t, symbol))
    for s in range(max(0, len(states) - 2), len(states)):
        graph.add_edge((T - 1, s), "end")
    return graph


@pytest.mark.parametrize("labels", [[1, 2], [1, 1], [3, 3, 3], [2]], ids=str)
def test_ctc_as_a_graph_equals_torchs(labels):
    """Value, gradient through log_softmax, and the Hessian product that torch does not have."""
    T, classes = 7, 4
    dag = compile(ctc_graph(T, labels, classes))
    logits = torch.randn(T, classes, dtype=torch.float64, generator=torch.manual_seed(0), requires_grad=True)

    def ours(x):
        return -dp_value(dag, x.log_softmax(-1), Negentropy(1.0))

    def torchs(x):
        return torch.nn.functional.ctc_loss(
            x.log_softmax(-1).unsqueeze(1), torch.tensor([labels]), [T], [len(labels)], reduction="sum"
        )

    torch.testing.assert_close(ours(logits), torchs(logits))
    gradient = torch.autograd.grad(ours(logits), logits, create_graph=True)[0]
    torch.testing.assert_close(gradient, torch.autograd.grad(torchs(logits), logits)[0])
    z = torch.randn_like(logits)
    (product,) = torch.autograd.grad((gradient * z).sum(), logits)
    step = 1e-5
    ahead, behind = (torch.func.grad(torchs)(logits.detach() + s * z) for s in (step, -step))
    torch.testing.assert_close(product, (ahead - behind) / (2 * step), atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("omega", [HardMax(), Negentropy(0.5), SquaredL2(0.5), Tsallis(1.5, 0.5)], ids=repr)
def test_layers_are_the_functions(omega):
    theta = torch.randn(2, 4, 5, generator=torch.manual_seed(0))
    dag = compile(dtw_grid(4, 5))
    torch.testing.assert_close(DPValue(dag, omega, minimize=True)(theta), dp_value(dag, theta, omega, minimize=True))
    torch.testing.assert_close(DPGrad(dag, omega)(theta, end=12), dp_grad(dag, theta, omega, end=12))
    torch.testing.assert_close(DTW(omega)(theta), dagdp.graphs.dtw_value(theta, omega))
    torch.testing.assert_close(
        DTW(omega).alignment(theta, ([4, 2], 3)), dagdp.graphs.dtw_grad(theta, omega, lengths=([4, 2], 3))
    )
    assert DTW(omega, band=1).path(theta).shape == (2, 8, 2)
    scores = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(
        Viterbi(omega, initial="all")(scores), dagdp.graphs.viterbi_value(scores, omega, initial="all")
    )
    torch.testing.assert_close(
        Viterbi(omega).expected_path(scores, [4, 2]), dagdp.graphs.viterbi_grad(scores, omega, lengths=[4, 2])
    )
    assert Viterbi(omega).decode(scores, [4, 2])[1, 2:].tolist() == [-1, -1]


def test_layers_have_no_state_but_what_is_learnt_and_they_travel():
    dag = compile(trellis(3, 2))
    gamma = torch.nn.Parameter(torch.tensor(0.5))
    layers = {
        DPValue(dag): [],
        DPGrad(dag, SquaredL2(1.0)): [],
        Viterbi(): [],
        DTW(Negentropy(0.1), band=3): [],
        DPValue(dag, Learnable(Negentropy(), gamma=gamma)): ["omega.gamma"],
        LinearChainCRF(2, Learnable(Tsallis(1.5), gamma=gamma)): ["transition", "start", "end", "omega.gamma"],
    }
    theta = torch.randn(2, 3, 2, 2)
    for layer, keys in layers.items():
        assert list(layer.state_dict()) == keys
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert repr(other).split(",")[0] == repr(layer).split(",")[0]
            if isinstance(layer, DPValue):
                torch.testing.assert_close(other(theta), layer(theta))
    assert "CompiledDAG(" in repr(DPValue(dag, SquaredL2(0.3))) and "SquaredL2(gamma=0.3)" in repr(
        DPValue(dag, SquaredL2(0.3))
    )


def test_a_layer_in_the_middle_of_a_network():
    dag = compile(GRAPHS["grid"]())
    net = torch.nn.Sequential(torch.nn.Linear(6, 20), torch.nn.Unflatten(1, (4, 5)), DPGrad(dag, Tsallis(1.5, 0.5)))
    attention = net(torch.randn(3, 6))
    assert attention.shape == (3, 4, 5)
    (attention * torch.randn(3, 4, 5)).sum().backward()
    assert net[0].weight.grad.abs().max() > 0
    np.testing.assert_allclose(attention[:, 0, 0].detach(), 1, atol=1e-6)
