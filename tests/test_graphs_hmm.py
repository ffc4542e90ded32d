"""Hidden Markov models against hmmlearn, and against the forward recursion as a loop."""

from __future__ import annotations

import logging

import numpy as np
import oracles
import pytest
import torch
from hmmlearn.hmm import CategoricalHMM

import dagdp
from dagdp import HardMax, InputError, Negentropy, SquaredL2
from dagdp.graphs import hmm_decode, hmm_posterior, hmm_sample, hmm_value
from dagdp.graphs.sequences import hmm

ROWS = {HardMax(): oracles.hard, Negentropy(0.7): oracles.softmax, SquaredL2(0.5): oracles.projection}


def random_model(seed: int, T: int = 5, S: int = 3, batch: tuple[int, ...] = ()):
    """(log_start [S], log_transition [S, S] as [to, from], log_emission [*batch, T, S])."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(S), size=S)  # [from, to]
    return np.log(rng.dirichlet(np.ones(S))), np.log(transition.T), rng.normal(size=(*batch, T, S))


def forward(start, transition, emission, row, gamma):
    """The value by the forward recursion, state by state; gamma is the operator's."""
    v = np.array([row(np.array([start[i] + emission[0, i]]), gamma)[0] for i in range(len(start))])
    for scores in emission[1:]:
        v = np.array([row(v + transition[i], gamma)[0] for i in range(len(start))]) + scores
    return row(v, gamma)[0]


@pytest.fixture
def learner():
    """A model of hmmlearn with 4 states and 6 symbols, three sequences of it, and the same numbers as our arguments."""
    rng, lengths = np.random.default_rng(3), [7, 1, 5]
    model = CategoricalHMM(4, init_params="", params="t", n_iter=1)
    model.startprob_, model.transmat_ = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4), size=4)
    model.emissionprob_ = rng.dirichlet(np.ones(6), size=4)
    symbols = rng.integers(0, 6, (3, 7))
    together = np.concatenate([row[:n] for row, n in zip(symbols, lengths, strict=True)])[:, None]
    emission = np.log(model.emissionprob_.T[symbols])
    emission[1, 1:], emission[2, 5:] = np.nan, np.nan
    return model, together, lengths, (np.log(model.startprob_), np.log(model.transmat_.T), emission)


def test_likelihood_posteriors_and_decoding_are_those_of_hmmlearn(learner):
    model, together, lengths, ours = learner
    value, posterior = hmm_value(*ours, lengths=lengths), hmm_posterior(*ours, lengths=lengths)
    states, best = hmm_decode(*ours, lengths=lengths), hmm_value(*ours, HardMax(), lengths=lengths)
    first = 0
    for b, n in enumerate(lengths):
        alone = together[first : first + n]
        first += n
        assert value[b] == pytest.approx(model.score(alone), abs=1e-12)
        np.testing.assert_allclose(posterior[b, :n], model.predict_proba(alone), atol=1e-12)
        score, path = model.decode(alone)
        assert best[b] == pytest.approx(score, abs=1e-12) and states[b, :n].tolist() == path.tolist()
        assert not posterior[b, n:].any() and (states[b, n:] == -1).all()


def test_an_em_step_is_that_of_hmmlearn(learner, caplog):
    model, together, lengths, (start, transition, emission) = learner
    dag = dagdp.compile(hmm(7, 4, ragged=True))
    theta = {"start": start, "transition": transition, "emission": emission}
    counts = dagdp.dp_grad(dag, theta, end=dag.ends_of(lengths))["transition"]
    with caplog.at_level(logging.ERROR, logger="hmmlearn"):
        model.fit(together, lengths)
    np.testing.assert_allclose((counts / counts.sum(0)).T, model.transmat_, atol=1e-12)


@pytest.mark.parametrize("omega", ROWS, ids=repr)
def test_a_value_is_that_of_the_forward_recursion(omega):
    start, transition, emission = random_model(0, batch=(2,))
    start[0] = transition[-1, 0] = -np.inf
    values = hmm_value(start, transition, emission, omega)
    for b in range(2):
        wanted = forward(start, transition, emission[b], ROWS[omega], getattr(omega, "gamma", 0.0))
        assert values[b] == pytest.approx(wanted, abs=1e-12)


def test_batch_axes_broadcast_and_each_item_is_what_it_is_alone():
    rng = np.random.default_rng(1)
    start, transition, emission = rng.normal(size=(2, 1, 3)), rng.normal(size=(3, 3)), rng.normal(size=(2, 4, 3))
    lengths = np.array([[4], [2]])
    given = start, transition, emission
    value, posterior = hmm_value(*given, lengths=lengths), hmm_posterior(*given, lengths=lengths)
    states, drawn = hmm_decode(*given, lengths=lengths), hmm_sample(*given, n=5, seed=0, lengths=lengths)
    assert value.shape == (2, 2) and posterior.shape == (2, 2, 4, 3) and drawn.shape == (2, 2, 5, 4)
    for a, b in np.ndindex(2, 2):
        n = int(lengths[a, 0])
        alone = start[a, 0], transition, emission[b, :n]
        assert value[a, b] == pytest.approx(hmm_value(*alone), abs=1e-12)
        np.testing.assert_allclose(posterior[a, b, :n], hmm_posterior(*alone), atol=1e-12)
        assert states[a, b, :n].tolist() == hmm_decode(*alone).tolist() and (states[a, b, n:] == -1).all()
        assert (drawn[a, b, :, :n] >= 0).all() and (drawn[a, b, :, n:] == -1).all()
    assert hmm_value(start[0, 0], transition, emission[0], lengths=[4, 2]).shape == (2,)
    short = hmm_decode(start[0, 0], transition, emission[0], lengths=[2, 1])
    assert short[0].tolist() == [*hmm_decode(start[0, 0], transition, emission[0, :2]), -1, -1]


def test_draws_have_the_posterior():
    given = random_model(2, batch=(2,))
    drawn, posterior = hmm_sample(*given, n=4000, seed=1), hmm_posterior(*given, lengths=5)
    assert drawn.shape == (2, 4000, 5) and drawn.dtype == np.int64
    shares = (drawn[..., None] == np.arange(3)).mean(1)
    assert np.abs(shares - posterior).max() < 4 * 0.5 / np.sqrt(4000)  # four standard deviations at most
    np.testing.assert_array_equal(drawn, hmm_sample(*given, n=4000, seed=1))


def test_tensors_give_what_arrays_give():
    given = random_model(4, batch=(2,))
    tensors = tuple(map(torch.as_tensor, given))
    for function in (hmm_value, hmm_posterior, hmm_decode):
        made = function(*tensors, lengths=torch.tensor([5, 3]))
        assert isinstance(made, torch.Tensor)
        np.testing.assert_array_equal(made.numpy(), function(*given, lengths=[5, 3]))
    assert torch.equal(hmm_sample(*tensors, n=2, seed=0), torch.as_tensor(hmm_sample(*given, n=2, seed=0)))
    mixed = hmm_decode(tensors[0], given[1], given[2][0], lengths=[5, 3])  # an array becomes a tensor, with a batch
    np.testing.assert_array_equal(mixed.numpy(), hmm_decode(given[0], given[1], given[2][0], lengths=[5, 3]))
    narrow = [array.astype(np.float32) for array in given]
    posterior = hmm_posterior(*narrow, lengths=[5, 3])
    assert posterior.dtype == np.float32
    np.testing.assert_allclose(posterior, hmm_posterior(*given, lengths=[5, 3]), atol=1e-5)


def test_derivatives_by_all_three_arguments():
    leaves = [torch.as_tensor(array).requires_grad_() for array in random_model(5, 3, 2, (2,))]

    def value(*given):
        return hmm_value(*given, lengths=[3, 2])

    def posterior(*given):
        return hmm_posterior(*given, lengths=[3, 2])

    assert torch.autograd.gradcheck(value, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(value, leaves, fast_mode=True)
    assert torch.autograd.gradcheck(posterior, leaves, fast_mode=True)
    slopes = torch.autograd.grad(value(*leaves).sum(), leaves)
    np.testing.assert_allclose(slopes[2], hmm_posterior(*leaves, lengths=[3, 2]).detach(), atol=1e-12)
    assert slopes[1].sum() == pytest.approx(2 + 1)  # transitions made by sequences of 3 and of 2 steps


def test_an_item_without_a_state_sequence_has_no_value():
    start, transition, emission = random_model(6, batch=(2,))
    emission[1, 2] = -np.inf
    assert hmm_value(start, transition, emission)[1] == -np.inf
    assert not hmm_posterior(start, transition, emission)[1].any()
    assert hmm_decode(start, transition, emission)[1].tolist() == [-1] * 5
    assert hmm_decode(start, transition, emission[1]).tolist() == [-1] * 5
    for function in (hmm_value, hmm_posterior):
        with pytest.raises(InputError, match="item 1 has no path"):
            function(start, transition, emission, on_infeasible="raise")
    with pytest.raises(InputError, match="item 1 has no path to draw"):
        hmm_sample(start, transition, emission)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((np.zeros(2), np.zeros((2, 2)), np.zeros(2)), r"log_emission has shape \(2,\); expected \[\*batch, T, S\]"),
        (
            (np.zeros(3), np.zeros((2, 2)), np.zeros((4, 2))),
            r"log_start has shape \(3,\); expected \[\*batch, S\] with S = 2 of log_emission",
        ),
        (
            ([0.0, 0.0], [0.0, 0.0], [[0.0, 0.0]]),
            r"log_transition has shape \(2,\); expected \[\*batch, S, S\], indexed \[to, from\], with S = 2",
        ),
        (
            (np.zeros((3, 2)), np.zeros((2, 2)), np.zeros((5, 4, 2))),
            r"have batch axes \[\(3,\), \(\), \(5,\), \(\)\]; expected axes that broadcast",
        ),
    ],
)
def test_bad_shapes_are_named(given, message):
    with pytest.raises(InputError, match=message):
        hmm_value(*given)
