"""The layer's answers about sequences under restrictions, against enumeration of all tag sequences."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import pickle

import numpy as np
import pytest
from cases import combinations, over_operators

from dagdp import DerivativeError, HardMax, InputError, Negentropy, SquaredL2, Tsallis

torch = pytest.importorskip("torch")
from dagdp.nn import Learnable, LegalTransitions, LinearChainCRF, legal_transitions  # noqa: E402

T, S = 4, 3
LENGTHS = [None, [4, 1, 3]]
TYPES = [torch.float32, torch.float64]
LEGAL = LegalTransitions(
    torch.tensor([[True, True, False], [False, True, True], [True, False, True]]),
    torch.tensor([True, False, True]),
    torch.tensor([True, True, False]),
)


def a_crf(omega=None, legal=None, dtype=torch.float64):
    """Parameters large enough that orders do not hang on rounding."""
    torch.manual_seed(0)
    crf = LinearChainCRF(S, omega, allowed=legal, dtype=dtype)
    with torch.no_grad():
        for block in (crf.transition, crf.start, crf.end):
            block.normal_()
    return crf


def an_emission(lengths, dtype=torch.float64):
    emission = torch.randn(3, T, S, dtype=dtype, generator=torch.manual_seed(1))
    for item, n in enumerate(lengths or []):
        emission[item, n:] = torch.nan
    return emission


def a_restriction():
    """Which tags each step may have: of item 0 some, of item 1 one at the first step, of item 2 all."""
    allowed = torch.ones(3, T, S, dtype=torch.bool)
    allowed[0, 1, 0] = allowed[0, 3, 2] = False
    allowed[1, 0, 1:] = False
    return allowed


def enumerated(crf, emission, n, legal, allowed):
    """(scores, sequences) of the legal sequences of n tags, in lexicographic order; from the formula alone."""
    transition, start, end = (getattr(crf, name) for name in ("transition", "start", "end"))
    sequences, scores = [], []
    for y in itertools.product(range(S), repeat=n):
        steps = list(itertools.pairwise(y))
        if allowed is not None and not all(allowed[t, s] for t, s in enumerate(y)):
            continue
        if legal is not None and not (legal.start[y[0]] and legal.end[y[-1]]):
            continue
        if legal is not None and not all(legal.transition[b, a] for a, b in steps):
            continue
        score = start[y[0]] + end[y[-1]] + sum(emission[t, s] for t, s in enumerate(y))
        scores.append(score + sum(transition[b, a] for a, b in steps))
        sequences.append(y)
    return torch.stack(scores), sequences


def items(crf, emission, lengths, legal, allowed):
    for item, n in enumerate(lengths or [T] * 3):
        yield item, n, *enumerated(crf, emission[item], n, legal, None if allowed is None else allowed[item])


def padded(y):
    return [*y, *[-1] * (T - len(y))]


@combinations(lambda lengths, dtype: dtype == torch.float64 or lengths is None, lengths=LENGTHS, dtype=TYPES)
@pytest.mark.parametrize("legal", [None, LEGAL], ids=["all", "legal"])
@pytest.mark.parametrize("allowed", [None, a_restriction()], ids=["free", "allowed"])
def test_a_restricted_crf_is_the_one_of_the_sequences_that_are_left(lengths, allowed, legal, dtype):
    crf, emission = a_crf(legal=legal, dtype=dtype), an_emission(lengths, dtype).requires_grad_()
    value = crf.value(emission, lengths, allowed=allowed)
    marginals = crf.marginals(emission, lengths, allowed=allowed)
    entropy = crf.entropy(emission, lengths, allowed=allowed)
    best = crf.decode(emission, lengths, allowed=allowed)
    tags, scores = crf.k_best(emission, 5, lengths, allowed=allowed)
    assert value.dtype == marginals.dtype == entropy.dtype == scores.dtype == dtype
    assert tags.dtype == torch.int64 and tags.shape == (3, 5, T) and scores.shape == (3, 5)
    exact = {"atol": 1e-4, "rtol": 1e-4} if dtype == torch.float32 else {"atol": 1e-9, "rtol": 1e-9}
    values, entropies = [], []
    for item, n, weights, sequences in items(crf, emission, lengths, legal, allowed):
        log_p = weights - weights.logsumexp(0)
        values.append(weights.logsumexp(0))
        entropies.append(-(log_p.exp() * log_p).sum())
        visits = torch.zeros(T, S, dtype=dtype)
        for p, y in zip(log_p.exp().detach(), sequences, strict=True):
            visits[range(n), y] += p
        torch.testing.assert_close(marginals[item].detach(), visits, **exact)
        order = weights.argsort(descending=True, stable=True)[:5]
        wanted = [padded(sequences[k]) for k in order] + [[-1] * T] * (5 - len(order))
        assert tags[item].tolist() == wanted and best[item].tolist() == wanted[0]
        missing = [-math.inf] * (5 - len(order))
        torch.testing.assert_close(scores[item].tolist(), [*weights[order].tolist(), *missing], **exact)
    inputs = [emission, *crf.parameters()]
    for ours, theirs in ((value, values), (entropy, entropies)):
        torch.testing.assert_close(ours, torch.stack(theirs), **exact)
        upstream = torch.tensor([1.0, -2.0, 0.5], dtype=dtype)
        got = torch.autograd.grad(ours, inputs, upstream)
        want = torch.autograd.grad(torch.stack(theirs), inputs, upstream)
        torch.testing.assert_close(got, want, **exact)


@over_operators([SquaredL2(0.8), Tsallis(1.5, 0.7), HardMax()])
@pytest.mark.parametrize("lengths", LENGTHS, ids=["equal", "ragged"])
def test_forbidden_places_act_as_minus_infinity_under_every_operator(omega, lengths):
    crf, emission, allowed = a_crf(omega, LEGAL), an_emission(lengths), a_restriction()
    plain = a_crf(omega)
    with torch.no_grad():
        for name, legal in LEGAL._asdict().items():
            getattr(plain, name)[~legal] = -torch.inf
    given = torch.where(allowed, emission, -torch.inf)
    for method in ("value", "marginals", "decode", "entropy"):
        ours = getattr(crf, method)(emission, lengths, allowed=allowed)
        torch.testing.assert_close(ours, getattr(plain, method)(given, lengths))
        assert ours.isfinite().all()
    ours = crf.sample(emission, 3, lengths, seed=4, allowed=allowed)
    torch.testing.assert_close(ours, plain.sample(given, 3, lengths, seed=4))
    loss = crf.value(emission, lengths, allowed=allowed).sum() + crf.marginals(emission, lengths)[..., 0].sum()
    loss.backward()
    for name, legal in LEGAL._asdict().items():
        gradient = getattr(crf, name).grad
        assert gradient.isfinite().all() and not gradient[~legal].any()


@pytest.mark.parametrize("omega", [None, SquaredL2(0.8)], ids=repr)
@pytest.mark.parametrize("lengths", LENGTHS, ids=["equal", "ragged"])
def test_draws_are_legal_and_as_frequent_as_their_probabilities(lengths, omega):
    crf, emission, allowed, n = a_crf(omega, LEGAL), an_emission(lengths), a_restriction(), 4000
    draws = crf.sample(emission, n, lengths, seed=0, allowed=allowed)
    assert draws.shape == (3, n, T) and draws.dtype == torch.int64
    torch.testing.assert_close(crf.sample(emission, n, lengths, seed=0, allowed=allowed), draws)
    marginals = crf.marginals(emission, lengths, allowed=allowed)
    for item, _, _, sequences in items(crf, emission, lengths, LEGAL, allowed):
        assert {tuple(row) for row in draws[item].tolist()} <= {tuple(padded(y)) for y in sequences}
        frequency = torch.stack([(draws[item] == s).double().mean(0) for s in range(S)], -1)
        torch.testing.assert_close(frequency, marginals[item], atol=5 * 0.5 / math.sqrt(n), rtol=0)
    generator = torch.Generator().manual_seed(3)
    first, second = (crf.sample(emission, 50, lengths, generator) for _ in range(2))
    assert not torch.equal(first, second)


def test_the_loss_of_partial_labels():
    """It is -log p of what is allowed, 0 where all is; of full labels it is that of `forward`."""
    crf, emission = a_crf(), an_emission(None)
    tags = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0], [1, 1, 1, 1]])
    one = torch.nn.functional.one_hot(tags, S).bool()
    torch.testing.assert_close(crf.value(emission, allowed=one) - crf.value(emission), crf(emission, tags))
    everything = torch.ones(T, S, dtype=torch.bool)
    torch.testing.assert_close(crf.value(emission, allowed=everything), crf.value(emission))
    several = crf.value(emission[0], allowed=one)
    torch.testing.assert_close(several, torch.stack([crf.value(emission[0], allowed=own) for own in one]))


def test_where_nothing_is_allowed():
    crf, emission = a_crf(), an_emission(None).requires_grad_()
    allowed = torch.ones(3, T, S, dtype=torch.bool)
    allowed[1, 2] = False
    value, entropy = crf.value(emission, allowed=allowed), crf.entropy(emission, allowed=allowed)
    assert value.isneginf().tolist() == [False, True, False] and entropy[1] == 0
    (value + entropy).sum().backward()
    assert not emission.grad[1].any() and emission.grad.isfinite().all() and crf.transition.grad.isfinite().all()
    assert crf.decode(emission, allowed=allowed)[1].tolist() == [-1] * T
    tags, scores = crf.k_best(emission, 2, allowed=allowed)
    assert (tags[1] == -1).all() and scores[1].isneginf().all() and scores[0].isfinite().all()
    with pytest.raises(InputError, match="item 1 has no path to draw"):
        crf.sample(emission, allowed=allowed)


def test_tags_over_an_illegal_transition_have_log_probability_minus_infinity():
    crf, emission = a_crf(legal=LEGAL), torch.zeros(3, 2, S, dtype=torch.float64, requires_grad=True)
    likelihood = crf(emission, torch.tensor([[0, 0], [0, 1], [1, 1]]))  # [1, 0] is illegal, and so is 1 at first
    assert likelihood.isneginf().tolist() == [False, True, True]
    likelihood.sum().backward()
    assert emission.grad[0].any() and not emission.grad[1:].any() and crf.transition.grad.isfinite().all()
    assert list(crf.state_dict()) == ["transition", "start", "end"]
    for other in (copy.deepcopy(crf), pickle.loads(pickle.dumps(crf))):
        torch.testing.assert_close(other(emission, torch.zeros(3, 2, dtype=torch.long)), crf(emission, [[0, 0]] * 3))


@over_operators([Negentropy(0.6), SquaredL2(0.6), Tsallis(1.4, 0.6)])
def test_a_learnt_temperature_is_in_entropies_and_draws(omega):
    gamma = torch.nn.Parameter(torch.tensor(0.6, dtype=torch.float64))
    crf, fixed, emission = a_crf(Learnable(omega, gamma=gamma)), a_crf(omega), an_emission(None)
    torch.testing.assert_close(crf.entropy(emission), fixed.entropy(emission))
    torch.testing.assert_close(crf.sample(emission, 20, seed=1), fixed.sample(emission, 20, seed=1))
    (slope,) = torch.autograd.grad(crf.entropy(emission).sum(), gamma)
    step = 1e-5
    ahead, behind = (a_crf(dataclasses.replace(omega, gamma=0.6 + h)).entropy(emission).sum() for h in (step, -step))
    torch.testing.assert_close(slope, (ahead - behind).detach() / (2 * step), atol=1e-6, rtol=1e-5)


def test_entropy_has_no_derivative_by_alpha():
    alpha = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    crf, emission = a_crf(Learnable(Tsallis(1.5), alpha=alpha)), an_emission(None)
    with pytest.raises(DerivativeError, match=r"no derivative by alpha; expected torch.no_grad\(\)"):
        crf.entropy(emission)
    with torch.no_grad():
        torch.testing.assert_close(crf.entropy(emission), a_crf(Tsallis(1.5)).entropy(emission))


def mask_of(lengths):
    return torch.arange(T) < torch.tensor(lengths)[:, None]


def test_a_mask_says_what_lengths_say():
    crf, lengths, allowed = a_crf(legal=LEGAL), [4, 1, 3], a_restriction()
    emission, tags, mask = an_emission(lengths), torch.zeros(3, T, dtype=torch.long), mask_of(lengths)
    for given in (mask, mask.numpy(), mask.tolist()):
        torch.testing.assert_close(crf(emission, tags, mask=given), crf(emission, tags, lengths))
        torch.testing.assert_close(crf.score(emission, tags, mask=given), crf.score(emission, tags, lengths))
    for method in (crf.value, crf.marginals, crf.decode, crf.entropy):
        ours = method(emission, mask=mask, allowed=allowed)
        torch.testing.assert_close(ours, method(emission, lengths, allowed=allowed))
    torch.testing.assert_close(crf.sample(emission, 3, seed=0, mask=mask), crf.sample(emission, 3, lengths, 0))
    torch.testing.assert_close(crf.k_best(emission, 3, mask=mask), crf.k_best(emission, 3, lengths))
    one = torch.randn(T, S, dtype=torch.float64)
    torch.testing.assert_close(crf.value(one, mask=mask), crf.value(one, lengths))
    mapped = torch.func.vmap(lambda e, m: crf.value(e, mask=m))
    torch.testing.assert_close(mapped(emission, mask), crf.value(emission, lengths))


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ([[True, False, True, True]], r"mask\[0\] is no run of True followed by False; expected .* to come first"),
        ([[True] * 4, [False] * 4], r"mask\[1\] is no run of True .* at least one"),
        ([[1, 1, 1, 0]], r"mask has dtype int64; expected bool: pass mask\.bool\(\)"),
        ([True] * 3, r"mask has shape \(3,\); expected \[\*batch, 4\], True for each step"),
        ([[True] * 4] * 3, r"do not broadcast, at mask: emission \(2,\).* mask \(3,\)"),
    ],
    ids=["gap", "empty", "numbers", "short", "batch"],
)
def test_a_mask_that_is_none_is_named(mask, said):
    crf, emission = LinearChainCRF(S), torch.zeros(2, T, S)
    tags = torch.zeros(2, T, dtype=torch.long)
    given = {"score": (tags,), "forward": (tags,), "k_best": (2,)}
    for method in ("forward", "score", "value", "marginals", "decode", "k_best", "sample", "entropy"):
        with pytest.raises(InputError, match=said):
            getattr(crf, method)(emission, *given.get(method, ()), mask=mask)
        with pytest.raises(InputError, match="both lengths and mask were given; expected one of them"):
            getattr(crf, method)(emission, *given.get(method, ()), lengths=[4, 4], mask=mask_of([4, 4]))


def test_a_mask_under_compile_is_looked_at_when_it_runs():
    crf, emission, mask = LinearChainCRF(S), torch.zeros(2, T, S), mask_of([4, 2])
    tags = torch.zeros(2, T, dtype=torch.long)
    compiled = torch.compile(
        lambda e, m: crf(e, tags, mask=m, reduction="token_mean"), fullgraph=True, backend="aot_eager"
    )
    torch.testing.assert_close(compiled(emission, mask), crf(emission, tags, [4, 2], reduction="token_mean"))
    mask[1, 0] = False
    with pytest.raises(InputError, match="end"):
        compiled(emission, mask)
    torch._dynamo.reset()


@pytest.mark.parametrize("lengths", LENGTHS, ids=["equal", "ragged"])
def test_reductions(lengths):
    crf, emission = a_crf(), an_emission(lengths)
    tags = torch.zeros(3, T, dtype=torch.long)
    each = crf(emission, tags, lengths)
    wanted = {
        "none": each,
        "sum": sum(each),
        "mean": sum(each) / 3,
        "token_mean": sum(each) / sum(lengths or [T] * 3),
    }
    for reduction, want in wanted.items():
        torch.testing.assert_close(crf(emission, tags, lengths, reduction=reduction), want)
    for shared in (4, [4]):  # tokens are those of the whole batch
        torch.testing.assert_close(
            crf(emission[:1], tags, shared, reduction="token_mean"), crf(emission[:1], tags, shared).sum() / 12
        )
    with pytest.raises(InputError, match=r"reduction is 'average'; expected one of \['none', 'sum', 'mean', 'token_me"):
        crf(emission, tags, lengths, reduction="average")


def test_device_and_dtype_at_construction():
    crf = LinearChainCRF(2, dtype=torch.float64, allowed=[[[True, True], [False, True]], [True, True], [True, True]])
    assert {block.dtype for block in crf.parameters()} == {torch.float64}
    assert crf.value(torch.zeros(3, 2, dtype=torch.float64)).dtype == torch.float64
    meta = LinearChainCRF(2, device="meta", allowed=legal_transitions(["O", "B"]))
    assert {block.device.type for block in [*meta.parameters(), *meta.buffers()]} == {"meta"}
    assert len(list(meta.buffers())) == 3 and LinearChainCRF(2, device="cpu").start.abs().max() <= 0.1


BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
BIOES = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "LOC") for prefix in "BIES")]


def is_legal(names, scheme):
    """Whether a sequence of names is chunks and outsides, by reading it from left to right."""
    open_kind = None
    for name in names:
        prefix, _, kind = name.partition("-")
        if scheme == "BIO":
            if prefix == "I" and open_kind != kind:
                return False
            open_kind = kind if prefix in ("B", "I") else None
            continue
        if prefix in ("I", "E"):
            if open_kind != kind:
                return False
        elif open_kind is not None:
            return False
        open_kind = kind if prefix in ("B", "I") else None
    return scheme == "BIO" or open_kind is None


@pytest.mark.parametrize(
    ("tags", "scheme"), [(BIO, "BIO"), (BIOES, "BIOES"), (BIOES, "IOBES"), (["I", "O", "B"], "BIO")], ids=str
)
def test_legal_transitions_allow_the_sequences_of_the_scheme(tags, scheme):
    legal = legal_transitions(tags, scheme)
    assert all(part.dtype == torch.bool for part in legal)
    for n in (1, 2, 3):
        for y in itertools.product(range(len(tags)), repeat=n):
            ours = legal.start[y[0]] and legal.end[y[-1]]
            ours = ours and all(legal.transition[b, a] for a, b in itertools.pairwise(y))
            assert bool(ours) == is_legal([tags[s] for s in y], scheme), [tags[s] for s in y]
    crf = LinearChainCRF(len(tags), allowed=legal)
    found = crf.decode(torch.randn(20, 6, len(tags), generator=torch.manual_seed(0)))
    assert all(is_legal([tags[s] for s in row], scheme) for row in found.tolist())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((["O", "X-PER"],), r"tags\[1\] is 'X-PER'; expected 'O', or one of \['B', 'I'\]"),
        ((["O", "E-PER"], "BIO"), r"tags\[1\] is 'E-PER'; .* in the scheme BIO"),
        ((["O", "B", "O"],), r"tags\[2\] is 'O', which is tags\[0\]; expected each name once"),
        (("OBI",), "tags is 'OBI'; expected a list of names"),
        (([],), r"tags is \[\]; expected a list of names"),
        ((["O"], "bio"), r"scheme is 'bio'; expected one of \['BIO', 'BIOES', 'IOBES'\]"),
    ],
    ids=str,
)
def test_mistakes_in_schemes_are_named(given, said):
    with pytest.raises(InputError, match=said):
        legal_transitions(*given)


YES = [True, True]


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        (torch.ones(2, 2), r"allowed is Tensor; expected \(transition \[to, from\], start, end\)"),
        (([YES, YES], YES), "allowed is tuple; expected"),
        (([YES, YES], YES, [1, 1]), r"allowed\[2\] has dtype int64; expected bool"),
        (([YES], YES, YES), r"allowed has transition of shape \(1, 2\); expected \(2, 2\) of 2 tags"),
        (([YES, YES], [False, False], YES), "allowed has no start that is True"),
    ],
    ids=["array", "two", "numbers", "shape", "nothing"],
)
def test_what_a_crf_may_do_is_checked(allowed, said):
    with pytest.raises(InputError, match=said):
        LinearChainCRF(2, allowed=allowed)


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        (np.ones((T, S)), r"allowed has dtype float64; expected bool: pass allowed\.bool\(\)"),
        (np.ones((T, 2), bool), r"allowed has shape \(4, 2\); expected \[\*batch, 4, 3\], True for each tag"),
        (np.ones((5, T, S), bool), r"do not broadcast, at allowed: emission \(2,\), allowed \(5,\)"),
    ],
    ids=["numbers", "shape", "batch"],
)
def test_tags_that_are_allowed_are_checked(allowed, said):
    crf = LinearChainCRF(S)
    for method in (crf.value, crf.marginals, crf.decode, crf.sample, crf.entropy, lambda e, **o: crf.k_best(e, 2, **o)):
        with pytest.raises(InputError, match=said):
            method(torch.zeros(2, T, S), allowed=allowed)


def test_k_best_has_the_shapes_that_were_asked_for():
    crf, emission = a_crf(), an_emission(None)
    tags, scores = crf.k_best(emission[0, :1], 5)
    assert tags.shape == (5, 1) and scores.shape == (5,) and scores.isneginf().tolist() == [False] * 3 + [True] * 2
    tags, scores = crf.k_best(emission.expand(2, 3, T, S), 2, [2, 1, 2])
    assert tags.shape == (2, 3, 2, T) and (tags[..., 2:] == -1).all()
    torch.testing.assert_close(scores[0, 0], crf.score(emission[0].expand(2, T, S), tags[0, 0], 2))
    with pytest.raises(InputError, match="k is 0; expected a positive number"):
        crf.k_best(emission, 0)
    with pytest.raises(InputError, match="n is 0; expected a positive number"):
        crf.sample(emission, 0)


@combinations(lambda lengths, dtype: dtype == torch.float64, lengths=LENGTHS, dtype=TYPES)
def test_support_lists_the_sequences_of_marginals_above_zero(lengths, dtype):
    """Each sequence once; summed by steps, the probabilities are the marginals; nothing is left out."""
    crf = a_crf(SquaredL2(2.0), LEGAL, dtype)
    emission = an_emission(lengths, dtype)
    tags, probabilities = crf.support(emission, lengths)
    marginals = crf.marginals(emission, lengths)
    assert tags.shape[:2] == probabilities.shape and probabilities.dtype == dtype
    for item, n in enumerate(lengths or [T] * 3):
        rows = [(y, p) for y, p in zip(tags[item].tolist(), probabilities[item].tolist(), strict=True) if p > 0]
        assert len({tuple(y) for y, _ in rows}) == len(rows) and math.isclose(sum(p for _, p in rows), 1, rel_tol=1e-5)
        assert [p for _, p in rows] == sorted((p for _, p in rows), reverse=True)
        expected = torch.zeros(T, S, dtype=dtype)
        for y, p in rows:
            assert all(s >= 0 for s in y[:n]) and all(s == -1 for s in y[n:])
            for t, s in enumerate(y[:n]):
                expected[t, s] += p
        assert torch.allclose(expected, marginals[item], atol=1e-5)
    gamma = torch.tensor(2.0, requires_grad=True)
    crf.omega = Learnable(SquaredL2(), gamma=gamma)
    again, shares = crf.support(emission, lengths)
    assert torch.equal(again, tags) and torch.allclose(shares, probabilities, atol=1e-6)


def test_support_beyond_its_limit_is_refused():
    with pytest.raises(InputError, match=r"the support has 81 paths; expected at most limit=80"):
        a_crf().support(torch.zeros(T, S, dtype=torch.float64), limit=80)


def test_a_layer_without_boundary_scores_learns_transitions_alone():
    torch.manual_seed(0)
    crf = LinearChainCRF(S, boundaries=False)
    emission, tags = torch.randn(2, T, S), torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0]])
    moved = crf.transition[tags[:, 1:], tags[:, :-1]].sum(-1)
    scores = emission.gather(-1, tags.unsqueeze(-1)).sum((-2, -1)) + moved
    assert torch.allclose(crf.score(emission, tags), scores)
    (-crf(emission, tags)).sum().backward()
    assert crf.start.grad is None and crf.end.grad is None and crf.transition.grad.abs().sum() > 0
    assert list(crf.state_dict()) == ["transition", "start", "end"] and not crf.start.any() and not crf.end.any()
    crf.reset_parameters()
    assert not crf.start.any() and not crf.end.any()
