"""Layers against brute force and torch's own CTC; what they save."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
from cases import GRAPHS, over_operators

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
        ([4.0, 2.0], r"lengths has dtype float64; expected integers: pass whole numbers, or lengths\.long\(\)"),
        ([True, True], r"lengths has dtype bool; expected integers"),
        ([4, 3, 2], r"do not broadcast, at lengths: emission \(2,\).* lengths \(3,\); expected equal sizes, or 1"),
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
    with pytest.raises(InputError, match=r"tags has shape \(3, 3\); expected \[\*batch, 4\], one tag a step"):
        crf(emission, torch.zeros(3, 3, dtype=torch.int64), lengths)
    with pytest.raises(InputError, match=r"do not broadcast, at tags: emission \(3,\), tags \(2,\)"):
        crf(emission, torch.zeros(2, 4, dtype=torch.int64), lengths)


FRONTS = [
    pytest.param((), (), [2, 4, 6], (3,), id="one emission, several lengths"),
    pytest.param((1,), (3,), [2, 4, 6], (3,), id="emission of one item"),
    pytest.param((3,), (3,), 4, (3,), id="one number for all"),
    pytest.param((3,), (), [4], (3,), id="one row of tags"),
    pytest.param((3,), (3,), [[2], [6]], (2, 3), id="lengths bring a dimension"),
    pytest.param((), (2,), 6, (2,), id="tags alone bring the batch"),
]


@pytest.mark.parametrize(("of_emission", "of_tags", "lengths", "batch"), FRONTS)
def test_the_batch_is_the_broadcast_of_emission_tags_and_lengths(of_emission, of_tags, lengths, batch):
    """Each item is what its own emission, cut at its own length, gives alone; gradients are sums over items."""
    generator, lengths = torch.manual_seed(1), torch.tensor(lengths)
    crf = LinearChainCRF(3).double()
    emission = torch.randn(*of_emission, 6, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    tags = torch.randint(0, 3, (*of_tags, 6), generator=generator)
    of_value = tuple(torch.broadcast_shapes(of_emission, lengths.shape))
    got = {
        "forward": crf(emission, tags, lengths), "score": crf.score(emission, tags, lengths),
        "value": crf.value(emission, lengths), "marginals": crf.marginals(emission, lengths),
        "decode": crf.decode(emission, lengths),
    }  # fmt: skip
    shapes = {
        "forward": batch,
        "score": batch,
        "value": of_value,
        "marginals": (*of_value, 6, 3),
        "decode": (*of_value, 6),
    }
    assert {name: tuple(tensor.shape) for name, tensor in got.items()} == shapes
    leaf = emission.detach().clone().requires_grad_()
    rows, columns, ends = leaf.expand(*batch, 6, 3), tags.expand(*batch, 6), lengths.expand(batch)
    alone = torch.zeros(batch, dtype=torch.float64)
    for item in np.ndindex(batch):
        n = int(ends[item])
        e, y = rows[item][:n], columns[item][:n]
        alone[item] = crf(e, y)
        of_item = item if of_value == batch else ()
        torch.testing.assert_close(got["forward"][item], alone[item])
        torch.testing.assert_close(got["score"][item], crf.score(e, y))
        torch.testing.assert_close(got["value"][of_item], crf.value(e))
        torch.testing.assert_close(got["marginals"][of_item][:n], crf.marginals(e))
        assert not got["marginals"][of_item][n:].any()
        assert got["decode"][of_item].tolist() == crf.decode(e).tolist() + [-1] * (6 - n)
    parameters = list(crf.parameters())
    found = torch.autograd.grad(got["forward"].sum(), [emission, *parameters])
    torch.testing.assert_close(found, torch.autograd.grad(alone.sum(), [leaf, *parameters]))


KINDS = {"list": list, "array": np.array, "int64": torch.tensor}
KINDS |= {str(d): lambda tags, d=d: torch.tensor(tags, dtype=d) for d in (torch.uint8, torch.int32)}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_tags_and_lengths_of_any_integer_type(kind):
    """uint8 would be a mask, if it were taken as an index."""
    crf, emission = LinearChainCRF(2), torch.randn(2, 4, 2, generator=torch.manual_seed(0))
    tags, lengths = [[1, 0, 1, 1], [1, 1, 0, 0]], [3, 4]
    want = torch.stack([crf(emission[0, :3], torch.tensor(tags[0][:3])), crf(emission[1], torch.tensor(tags[1]))])
    torch.testing.assert_close(crf(emission, kind(tags), kind(lengths)), want)


@pytest.mark.parametrize("tags", [[0.0, 1.0], torch.tensor([0.0, 1.0]), [True, False], torch.tensor([True, False])])
def test_tags_that_are_no_whole_numbers_are_refused(tags):
    with pytest.raises(
        InputError, match=r"tags has dtype (float64|float32|bool); expected integers: pass .*\.long\(\)"
    ):
        LinearChainCRF(2)(torch.zeros(2, 2), tags)


def test_layers_take_arrays():
    """What a layer gives for an array is the tensor that it gives for the tensor."""
    rng, crf = np.random.default_rng(0), LinearChainCRF(3)
    cost, scores, emission = rng.random((2, 4, 3)), rng.normal(size=(2, 4, 3, 3)), rng.normal(size=(2, 4, 3))
    tags, lengths = rng.integers(0, 3, (2, 4)), np.array([4, 2])
    calls = [
        *((method, (cost, ([4, 2], 3))) for method in (DTW(), DTW().alignment, DTW().path)),
        *((method, (scores, lengths)) for method in (Viterbi(), Viterbi().expected_path, Viterbi().decode)),
        *((method, (emission, lengths)) for method in (crf.value, crf.marginals, crf.decode)),
        *((method, (emission, tags, lengths)) for method in (crf, crf.score)),
        *((layer(compile(dtw_grid(4, 3))), (cost,)) for layer in (DPValue, DPGrad)),
    ]
    for method, given in calls:
        tensors = [torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in given]
        torch.testing.assert_close(method(*given), method(*tensors))


def test_parameters_on_another_device_are_named():
    crf = LinearChainCRF(2).to("meta")
    for call in (crf.value, crf.marginals, crf.decode, lambda e: crf.score(e, [0, 1]), lambda e: crf(e, [0, 1])):
        said = r"emission is on cpu and the layer's transition is on meta; expected one device: .*crf\.to\('cpu'\)"
        with pytest.raises(InputError, match=said):
            call(torch.zeros(2, 2))
    with pytest.raises(InputError, match="lengths is on meta, where there are no numbers"):
        LinearChainCRF(2).value(torch.zeros(2, 2), torch.tensor(1, device="meta"))


NO_NUMBERS = {
    "None": None, "a string": "abc", "ragged lists": [[1.0, 2.0], [3.0]], "an object": object(),
    "complex": torch.zeros(4, 2, dtype=torch.complex64), "sparse": torch.zeros(4, 2).to_sparse(),
    "a list of tensors": [torch.zeros(2)] * 4, "a list with a tensor": [[0.0, 0.0], torch.zeros(2)],
}  # fmt: skip


@pytest.mark.parametrize("wrong", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_is_no_array_of_numbers_is_named(wrong):
    crf, emission, dag = LinearChainCRF(2), torch.zeros(4, 2), compile(dtw_grid(4, 2))
    calls = [
        *((method, (wrong,), "cost") for method in (DTW(), DTW().alignment, DTW().path)),
        *((method, (wrong,), "theta") for method in (Viterbi(), Viterbi().expected_path, Viterbi().decode)),
        *((method, (wrong,), "emission") for method in (crf.value, crf.marginals, crf.decode)),
        *((method, (emission, wrong), "tags") for method in (crf, crf.score)),
        *((layer(dag), (wrong,), "theta") for layer in (DPValue, DPGrad)),
    ]
    if wrong is not None:
        calls += [(method, (emission, wrong), "lengths") for method in (crf.value, crf.marginals, crf.decode)]
        calls.append((DPValue(dag), (emission, wrong), "end"))
    for method, given, name in calls:
        with pytest.raises(InputError, match=rf"^{name} (is|has) .*expected "):
            method(*given)


def test_what_a_crf_is_made_of_is_checked():
    for wrong in (0, -1, 2.0, True, "2", None):
        with pytest.raises(InputError, match=r"num_tags is .*; expected a whole number of tags, at least 1"):
            LinearChainCRF(wrong)
    with pytest.raises(InputError, match=r"emission has shape \(0, 2\); expected .* at least one step"):
        LinearChainCRF(2).score(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(dagdp.OmegaError, match="expected an operator such as"):
        LinearChainCRF(2, "entropy").value(torch.zeros(2, 2))


def test_vmap_over_a_crf():
    """Values, scores, marginals, best tags and per-sample gradients are those of a loop over samples."""
    generator = torch.manual_seed(2)
    crf = LinearChainCRF(3, Negentropy(0.7)).double()
    emission = torch.randn(4, 6, 3, dtype=torch.float64, generator=generator)
    tags, lengths = torch.randint(0, 3, (4, 6), generator=generator), torch.tensor([6, 2, 1, 4])
    tags[1, 2:] = -100
    samples = list(zip(emission, tags, lengths, strict=True))
    mapped = torch.func.vmap
    for method in (crf.value, crf.marginals, crf.decode):
        torch.testing.assert_close(
            mapped(method)(emission, lengths), torch.stack([method(e, n) for e, _, n in samples])
        )
    for method in (crf, crf.score):
        want = torch.stack([method(e, y, n) for e, y, n in samples])
        torch.testing.assert_close(mapped(method)(emission, tags, lengths), want)
        got = mapped(method, in_dims=(1, 1, 0))(emission.movedim(0, 1), tags.movedim(0, 1), lengths)
        torch.testing.assert_close(got, want)
    torch.testing.assert_close(
        mapped(crf.value, in_dims=(None, 0))(emission[0], lengths), crf.value(emission[0], lengths)
    )
    parameters = {name: block.detach() for name, block in crf.named_parameters()}

    def loss(parameters, e, y, n):
        return torch.func.functional_call(crf, parameters, (e, y, n))

    each = mapped(torch.func.grad(loss, argnums=(0, 1)), in_dims=(None, 0, 0, 0))(parameters, emission, tags, lengths)
    for item, (e, y, n) in enumerate(samples):
        leaf = e.clone().requires_grad_()
        want = torch.autograd.grad(crf(leaf, y, n), [*crf.parameters(), leaf])
        torch.testing.assert_close([*(block[item] for block in each[0].values()), each[1][item]], list(want))


def test_numbers_are_looked_at_inside_vmap():
    crf, emission, tags = LinearChainCRF(3), torch.zeros(2, 4, 3), torch.zeros(2, 4, dtype=torch.int64)
    mapped, lengths = torch.func.vmap, torch.tensor([4, 2])
    for method in (crf.value, crf.marginals, crf.decode):
        with pytest.raises(InputError, match=r"lengths\[0\] is 5; expected 1 to 4"):
            mapped(method)(emission, lengths + 1)
    with pytest.raises(InputError, match=r"lengths\[1\] is 0; expected 1 to 4"):
        mapped(crf.score)(emission, tags, lengths - 2)
    for wrong in (-1, 3):
        with pytest.raises(InputError, match=rf"is {wrong}; expected 0 to 2"):
            mapped(crf.score)(emission, tags + wrong, lengths)
        with pytest.raises(InputError, match=rf"is {wrong}; expected 0 to 2"):
            torch.func.grad(lambda e, y=tags + wrong: crf.score(e, y).sum())(emission)


def test_a_score_under_compile_is_nan_where_numbers_are_out_of_range():
    """There they are out of sight; no number is made up."""
    crf, emission = LinearChainCRF(3), torch.zeros(4, 5, 3)
    tags, lengths = torch.zeros(4, 5, dtype=torch.int64), torch.tensor([5, 4, 6, 0])
    tags[0, 1], tags[1, 4] = -1, 9  # of the second item behind its end
    score = torch.compile(crf.score, fullgraph=True, backend="aot_eager")(emission, tags, lengths)
    assert score.isnan().tolist() == [True, False, True, True]
    torch.testing.assert_close(score[1], crf.score(emission[1, :4], tags[1, :4]))
    torch._dynamo.reset()


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


@over_operators([HardMax(), Negentropy(0.5), SquaredL2(0.5), Tsallis(1.5, 0.5)])
def test_layers_are_the_functions(omega):
    theta = torch.randn(2, 4, 5, dtype=torch.float64, generator=torch.manual_seed(0))
    dag = compile(dtw_grid(4, 5))
    torch.testing.assert_close(DPValue(dag, omega, minimize=True)(theta), dp_value(dag, theta, omega, minimize=True))
    torch.testing.assert_close(DPGrad(dag, omega)(theta, end=12), dp_grad(dag, theta, omega, end=12))
    torch.testing.assert_close(DTW(omega)(theta), dagdp.graphs.dtw_value(theta, omega))
    torch.testing.assert_close(
        DTW(omega).alignment(theta, ([4, 2], 3)), dagdp.graphs.dtw_grad(theta, omega, lengths=([4, 2], 3))
    )
    assert DTW(omega, band=1).path(theta).shape == (2, 8, 2)
    scores = torch.randn(2, 4, 3, 3, dtype=torch.float64)
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
    theta = torch.randn(2, 3, 2, 2, dtype=torch.float64)
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
    net = torch.nn.Sequential(torch.nn.Linear(6, 20), torch.nn.Unflatten(1, (4, 5)), DPGrad(dag, Negentropy(0.5)))
    attention = net(torch.randn(3, 6))
    assert attention.shape == (3, 4, 5)
    (attention * torch.randn(3, 4, 5)).sum().backward()
    assert net[0].weight.grad.abs().max() > 0
    np.testing.assert_allclose(attention[:, 0, 0].detach(), 1, atol=1e-6)


def test_a_crf_without_a_legal_path_has_log_probability_minus_infinity_and_no_gradient():
    """Also where the tags alone are illegal. It was NaN, with a gradient of ones."""
    crf = LinearChainCRF(2)
    with torch.no_grad():
        crf.transition[:] = -torch.inf
    emission, tags = torch.zeros(2, 2, 2, requires_grad=True), torch.tensor([[0, 1], [0, 0]])
    log_p = crf(emission, tags)
    assert log_p.tolist() == [-torch.inf] * 2
    log_p.sum().backward()
    for array in (emission.grad, crf.transition.grad, crf.start.grad, crf.end.grad):
        assert not array.any() and array.isfinite().all()
    with torch.no_grad():
        crf.transition[0, 0] = 0.0  # the one transition: tag 0 after tag 0
    again = crf(emission, tags)
    assert again[0] == -torch.inf and again[1].isfinite() and again[1] <= 0
    emission.grad = None
    again.sum().backward()
    assert not emission.grad[0].any() and emission.grad.isfinite().all()
    assert crf.marginals(emission).isfinite().all() and crf.decode(emission).tolist() == [[0, 0]] * 2


def test_lengths_of_dtw_and_viterbi_layers_are_in_every_result():
    theta, cost = torch.randn(4, 3, 3, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64)
    viterbi, dtw = Viterbi(SquaredL2(1.0)), DTW(SquaredL2(1.0))
    for lengths in ([2, 4], torch.tensor([2, 4])):
        assert viterbi.decode(theta, lengths).shape == (2, 4)
        assert viterbi.expected_path(theta, lengths).shape == (2, 4, 3, 3)
        torch.testing.assert_close(viterbi(theta, lengths)[0], viterbi(theta[:2]))
    both = dtw(cost, ([2, 3], [4, 1]))
    torch.testing.assert_close(both, torch.stack([dtw(cost[:2]), dtw(cost[:, :1])]))
    assert dtw.path(cost, ([2, 3], [4, 1])).shape == (2, 6, 2)


def test_a_crf_takes_a_new_number_of_steps_at_each_call():
    """A graph of more steps serves: values, gradients and tags are those of a graph of its own."""
    generator = torch.Generator().manual_seed(3)
    crf, S = LinearChainCRF(3).double(), 3
    theta = {"transition": crf.transition, "start": crf.start, "end": crf.end}
    for T in (6, 11, 4, 7):
        emission = torch.randn(2, T, S, dtype=torch.float64, generator=generator, requires_grad=True)
        own = dagdp.compile(dagdp.graphs.linear_chain(T, S))
        expected = dagdp.dp_value(own, {"emission": emission, **theta})
        assert torch.allclose(crf.value(emission), expected, atol=1e-12)
        (wanted,) = torch.autograd.grad(expected.sum(), emission)
        (found,) = torch.autograd.grad(crf.value(emission, [T, T]).sum(), emission)
        assert torch.allclose(found, wanted, atol=1e-12) and found.shape == emission.shape
        assert torch.allclose(crf.marginals(emission), wanted, atol=1e-12)
        assert crf.decode(emission, [T, 2]).shape == (2, T) and (crf.decode(emission, [T, 2])[1, 2:] == -1).all()
        with pytest.raises(InputError, match=f"expected 1 to {T}"):
            crf.value(emission, [T + 1, 1])


def test_a_dtw_layer_with_band_and_lengths_is_differentiable_twice():
    generator, lengths = torch.Generator().manual_seed(4), ([4, 6], [5, 3])
    cost = torch.rand(2, 6, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    layer = DTW(dagdp.Negentropy(0.5), band=1)
    value = layer(cost, lengths)
    for b, (n, m) in enumerate(zip(*lengths, strict=True)):
        assert torch.allclose(value[b], layer(cost[b, :n, :m]), atol=1e-12)
    assert torch.autograd.gradcheck(lambda cost: layer(cost, lengths), cost)
    assert torch.autograd.gradgradcheck(lambda cost: layer(cost, lengths), cost)
    assert layer.path(cost, lengths).shape == (2, 10, 2) and layer.alignment(cost, lengths).shape == cost.shape


def test_dtw_takes_the_options_of_the_shortcuts_and_learns_a_penalty():
    torch.manual_seed(0)
    theta = torch.rand(2, 4, 5, dtype=torch.float64)
    options = {"steps": "symmetric2", "window": 2, "open_end": True}
    layer = DTW(Negentropy(0.5), penalty=torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64)), **options)
    assert list(layer.state_dict()) == ["penalty"] and "steps='symmetric2'" in repr(layer)
    value = layer(theta)
    torch.testing.assert_close(value, dagdp.graphs.dtw_value(theta, Negentropy(0.5), penalty=0.3, **options))
    value.sum().backward()
    assert 0 < layer.penalty.grad < 2 * 6
    assert layer.path(theta).tolist() == dagdp.graphs.dtw_path(theta, penalty=0.3, **options).tolist()
    with pytest.raises(InputError, match="DTW was given stride=; expected some of"):
        DTW(stride=2)
