"""Losses against enumerated paths, their derivatives, reductions, ragged batches, and targets that are no paths."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases import BUNDLED, GRAPHS, combinations, over_operators, random_theta  # noqa: E402
from oracles import paths, projection, row_solver, terminals, walk_back  # noqa: E402
from torch.autograd import gradcheck  # noqa: E402

import dagdp  # noqa: E402
from dagdp import Graph, HardMax, InputError, Negentropy, SquaredL2, Tsallis  # noqa: E402
from dagdp.graphs import dtw_grid, dtw_path, linear_chain, trellis, viterbi_decode  # noqa: E402
from dagdp.nn import Learnable  # noqa: E402
from dagdp.nn.losses import (  # noqa: E402
    alignment_area,
    crf_loss,
    fenchel_young_loss,
    hamming_cost,
    hinge_loss,
    perceptron_loss,
    relaxed_loss,
    structured_loss,
)
from dagdp.nn.targets import Target  # noqa: E402

EDGES = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (0, 3), (2, 3)]  # the last one is parallel to the fifth


@pytest.fixture(scope="module")
def dag():
    return dagdp.compile(Graph.from_edges(*zip(*EDGES, strict=True)))


def weights(seed: int = 0, batch: tuple[int, ...] = ()):
    return torch.tensor(np.random.default_rng(seed).normal(size=(*batch, len(EDGES))), requires_grad=True)


def scores(theta) -> dict:
    return {path: float(theta.detach()[list(path)].sum()) for path in paths(EDGES, *terminals(EDGES))}


# ---- the losses by name, on all paths of a small graph ----


def test_perceptron_loss_by_enumeration(dag):
    theta = weights()
    for path, score in scores(theta).items():
        loss = perceptron_loss(dag, theta, Target(dag, path))
        assert math.isclose(loss.item(), max(scores(theta).values()) - score, abs_tol=1e-12)


def test_hinge_loss_by_enumeration(dag):
    theta = weights(1)
    for path, score in scores(theta).items():
        target = Target(dag, path)
        best = max(s + len(set(other) - set(path)) for other, s in scores(theta).items())
        loss = hinge_loss(dag, theta, target, hamming_cost(target, theta))
        assert math.isclose(loss.item(), best - score, abs_tol=1e-12)


def test_crf_loss_is_the_negative_log_likelihood(dag):
    theta, gamma = weights(2), 0.6
    total = sum(math.exp(s / gamma) for s in scores(theta).values())
    for path, score in scores(theta).items():
        want = -gamma * math.log(math.exp(score / gamma) / total)
        assert math.isclose(crf_loss(dag, theta, Target(dag, path), gamma).item(), want, rel_tol=1e-12)


@over_operators(BUNDLED)
def test_structured_loss_against_the_oracle(dag, omega):
    theta, cost = weights(3), weights(4).abs().detach()
    value, E = walk_back(EDGES, (theta + cost).detach().numpy(), *terminals(EDGES), row_solver(omega))
    for path, score in scores(theta).items():
        loss = structured_loss(dag, theta, Target(dag, path), omega, cost)
        (gradient,) = torch.autograd.grad(loss, theta)
        assert math.isclose(loss.item(), value - score, rel_tol=1e-9, abs_tol=1e-9)
        np.testing.assert_allclose(gradient, E - np.bincount(path, minlength=len(EDGES)), atol=1e-8)


@over_operators(BUNDLED)
@pytest.mark.parametrize("minimize", [False, True], ids=["max", "min"])
def test_fenchel_young_loss_is_zero_only_at_the_target(dag, omega, minimize):
    for path in scores(weights()):
        target = Target(dag, path)
        for seed in range(3):
            loss = fenchel_young_loss(dag, weights(seed), target, omega, minimize=minimize)
            assert loss.item() >= -1e-12
        certain = 50.0 * (target.indicator([weights()])[0] * 2 - 1) * (-1 if minimize else 1)
        assert abs(fenchel_young_loss(dag, certain, target, omega, minimize=minimize).item()) < 1e-9
        E = dagdp.dp_grad(dag, certain, omega, minimize=minimize)
        np.testing.assert_allclose(E, target.indicator([weights()])[0], atol=1e-9)


def test_fenchel_young_constant_counts_the_extra_end():
    dag = dagdp.compile(
        Graph.from_edges([0, 0], [1, 2], ends=[1, 2])
    )  # two ends: paths also visit the node that joins them
    theta = torch.tensor([9.0, 0.0], dtype=torch.float64)
    assert structured_loss(dag, theta, Target(dag, [0]), SquaredL2(1.0)).item() == -1.0
    assert fenchel_young_loss(dag, theta, Target(dag, [0]), SquaredL2(1.0)).item() == 0.0
    assert fenchel_young_loss(dag, theta, Target(dag, [0]), SquaredL2(1.0), end=1).item() == 0.0


@over_operators([Negentropy(), SquaredL2(), Tsallis(1.5)])
@pytest.mark.parametrize("backend", [None, "torch"])
def test_a_learnt_temperature_has_its_gradient(dag, omega, backend):
    theta, target = weights(5), Target(dag, [0, 3])
    gamma = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    for loss in (structured_loss, fenchel_young_loss, relaxed_loss):
        fixed = loss(dag, theta, target, dataclasses.replace(omega, gamma=0.8))
        learnt = loss(dag, theta, target, Learnable(omega, gamma=gamma), backend=backend)
        assert math.isclose(learnt.item(), fixed.item(), rel_tol=1e-12)

        def of(theta, gamma, loss=loss):
            return loss(dag, theta, target, Learnable(omega, gamma=gamma), backend=backend)

        assert gradcheck(of, (theta, gamma))


@over_operators(BUNDLED[1:])
def test_gradients(dag, omega):
    theta = weights(5, (2,))
    target = Target(dag, [[0, 3, -1], [0, 2, 6]])
    cost = hamming_cost(target, theta)
    assert gradcheck(lambda t: structured_loss(dag, t, target, omega, cost), theta)
    assert gradcheck(lambda t: fenchel_young_loss(dag, t, target, omega, reduction="none"), theta)
    assert gradcheck(lambda t: relaxed_loss(dag, t, target, omega), theta)


def test_gradient_of_the_kl_loss(dag):
    target = Target(dag, [[0, 3, -1], [0, 2, 6]])
    assert gradcheck(lambda t: relaxed_loss(dag, t, target, Negentropy(0.7), "kl"), weights(5, (2,)))


def test_costs_are_minimised_by_turning_signs(dag):
    theta, target = weights(6), Target(dag, [1, 4])
    cost = hamming_cost(target, theta)
    a = structured_loss(dag, theta, target, Tsallis(1.5), cost, minimize=True)
    b = structured_loss(dag, -theta, target, Tsallis(1.5), cost)
    assert math.isclose(a.item(), b.item(), rel_tol=1e-12)
    c = relaxed_loss(dag, theta, target, Tsallis(1.5), minimize=True)
    d = relaxed_loss(dag, -theta, target, Tsallis(1.5))
    assert math.isclose(c.item(), d.item(), rel_tol=1e-12)


# ---- relaxed losses ----


def test_relaxed_loss_on_edges(dag):
    theta = weights(7)
    _, E = walk_back(EDGES, theta.detach().numpy(), *terminals(EDGES), row_solver(Negentropy(1.0)))
    Y = np.bincount([0, 3], minlength=len(EDGES))
    target = Target(dag, [0, 3])
    assert math.isclose(relaxed_loss(dag, theta, target).item(), ((E - Y) ** 2).sum(), rel_tol=1e-9)
    assert math.isclose(relaxed_loss(dag, theta, target, None, "kl").item(), -np.log(E[[0, 3]]).sum(), rel_tol=1e-9)


@pytest.mark.parametrize("divergence", ["squared_l2", "kl"])
def test_relaxed_loss_on_state_marginals(divergence):
    T, S, tags = 3, 2, [1, 0, 1]
    chain, full = dagdp.compile(linear_chain(T, S)), dagdp.compile(trellis(T, S))
    rng = np.random.default_rng(0)
    theta = {name: torch.tensor(block) for name, block in random_theta(chain.graph, rng).items()}
    dense = theta["emission"][:, :, None] + theta["transition"]
    dense[0, :, 0] = theta["emission"][0] + theta["start"]
    dense[-1] += theta["end"][:, None]
    a = relaxed_loss(chain, theta, Target.from_tags(chain, tags), Negentropy(), divergence)
    b = relaxed_loss(full, dense, Target.from_tags(full, tags), Negentropy(), divergence)
    rows = dagdp.dp_grad(full, dense, Negentropy()).sum(-1).numpy()
    truth = np.eye(S)[tags]
    want = ((rows - truth) ** 2).sum() if divergence == "squared_l2" else -np.log(rows[truth > 0]).sum()
    assert math.isclose(a.item(), want, rel_tol=1e-9) and math.isclose(b.item(), want, rel_tol=1e-9)


def test_relaxed_loss_with_marginals_and_divergence_of_ones_own(dag):
    loss = relaxed_loss(
        dag, weights(8), Target(dag, [5]), HardMax(), lambda E, Y, batch: (E - Y).abs().sum(-1),
        marginals=lambda E: E[..., :2],
    )  # fmt: skip
    E = dagdp.dp_grad(dag, weights(8).detach(), HardMax())
    assert loss.item() == E[:2].sum().item()
    with pytest.raises(InputError, match=r"divergence is 'l1'; expected one of \['squared_l2', 'kl'\]"):
        relaxed_loss(dag, weights(), Target(dag, [5]), divergence="l1")


# ---- alignments ----


def test_area_is_the_formula_of_the_paper():
    rng = np.random.default_rng(0)
    Y, true = rng.random((2, 4, 5)), rng.random((2, 4, 5))
    L = np.tril(np.ones((5, 5)))
    want = [np.linalg.norm(L @ (y - t).T) ** 2 for y, t in zip(Y, true, strict=True)]
    np.testing.assert_allclose(alignment_area(torch.tensor(Y), torch.tensor(true), "none"), want)
    np.testing.assert_allclose(alignment_area(torch.tensor(Y), torch.tensor(true)), np.mean(want))


def test_area_between_two_paths_is_the_number_of_cells_between():
    columns, other = [0, 1, 3, 4], [0, 2, 2, 4]  # one cell for each i
    area = alignment_area(torch.eye(5)[columns], torch.eye(5)[other])
    assert area.item() == sum(abs(a - b) for a, b in zip(columns, other, strict=True))


def test_alignments_of_two_shapes_are_refused():
    with pytest.raises(InputError, match=r"shapes \(3, 4\) and \(4, 3\); expected one shape twice"):
        alignment_area(torch.zeros(3, 4), torch.zeros(4, 3))


# ---- batches ----


def test_reductions(dag):
    theta, target = weights(9, (2, 2)), Target(dag, np.tile([0, 3], (2, 2, 1)))
    for loss in (crf_loss, perceptron_loss, relaxed_loss):
        each = loss(dag, theta, target, reduction="none")
        assert each.shape == (2, 2)
        assert torch.isclose(loss(dag, theta, target), each.mean())
        assert torch.isclose(loss(dag, theta, target, reduction="sum"), each.sum())
        assert torch.isclose(each[1, 0], loss(dag, theta[1, 0], Target(dag, [0, 3])))
        with pytest.raises(InputError, match="reduction is 'avg'; expected 'mean', 'sum' or 'none'"):
            loss(dag, theta, target, reduction="avg")


@combinations(lambda omega: isinstance(omega, Negentropy), omega=BUNDLED)
def test_ragged_batch_equals_single_items(omega):
    T, S, lengths = 5, 3, [5, 2, 3]
    dag, rng = dagdp.compile(linear_chain(T, S, ragged=True)), np.random.default_rng(1)
    blocks = {name: torch.tensor(array) for name, array in random_theta(dag.graph, rng).items()}
    blocks["emission"] = torch.tensor(rng.normal(size=(3, T, S)))
    tags = rng.integers(0, S, (3, T))
    for item, length in enumerate(lengths):
        blocks["emission"][item, length:] = torch.nan  # padding
        tags[item, length:] = -100
    for block in blocks.values():
        block.requires_grad_()
    target = Target.from_tags(dag, tags, lengths)
    names = ["transition", "start", "end", "emission"]
    total, relaxed = (
        loss(dag, blocks, target, omega, end=target.end, reduction="sum") for loss in (structured_loss, relaxed_loss)
    )
    got = torch.autograd.grad(total, [blocks[name] for name in names])
    want = {name: torch.zeros_like(blocks[name]) for name in names}
    one_by_one = []
    for item, length in enumerate(lengths):
        small = dagdp.compile(linear_chain(length, S))
        theta = {**blocks, "emission": blocks["emission"][item, :length]}
        single = Target.from_tags(small, tags[item, :length])
        loss = structured_loss(small, theta, single, omega)
        for name, gradient in zip(names, torch.autograd.grad(loss, [blocks[n] for n in names]), strict=True):
            want[name] += gradient.nan_to_num()
        one_by_one.append((loss.item(), relaxed_loss(small, theta, single, omega).item()))
    np.testing.assert_allclose([total.item(), relaxed.item()], np.sum(one_by_one, 0), rtol=1e-9)
    for name, gradient in zip(names, got, strict=True):
        np.testing.assert_allclose(gradient, want[name], atol=1e-9, err_msg=name)


@over_operators(BUNDLED)
def test_forbidden_edges_give_infinite_loss_and_no_nan(dag, omega):
    theta = weights(3, (3,)).detach().numpy().copy()
    theta[0, 3] = -np.inf  # on item 0's target
    theta[1, [4, 5, 6]] = -np.inf  # beside item 1's target
    theta[2] = -np.inf  # nothing is possible
    theta = torch.tensor(theta, requires_grad=True)
    target = Target(dag, [[0, 3]] * 3)
    for loss in (
        structured_loss(dag, theta, target, omega, reduction="none"),
        fenchel_young_loss(dag, theta, target, omega, reduction="none"),
        relaxed_loss(dag, theta, target, omega, "kl", reduction="none"),
    ):
        assert loss[0] == loss[2] == torch.inf and not loss.isnan().any()
        (gradient,) = torch.autograd.grad(loss.sum(), theta, materialize_grads=True)
        assert gradient.isfinite().all() and (gradient[2] == 0).all()
    assert structured_loss(dag, theta, target, omega, reduction="none")[1].isfinite()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_half_scores_are_added_in_float32(dtype):
    T, S = 60, 2
    dag = dagdp.compile(linear_chain(T, S))
    rng = np.random.default_rng(0)
    theta = {name: torch.tensor(a, dtype=dtype).requires_grad_() for name, a in random_theta(dag.graph, rng).items()}
    exact = {name: block.detach().double() for name, block in theta.items()}
    target = Target.from_tags(dag, rng.integers(0, S, T))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = crf_loss(dag, theta, target)
    assert loss.dtype == torch.float32
    assert math.isclose(loss.item(), crf_loss(dag, exact, target).item(), rel_tol=1e-5)
    loss.backward()
    assert theta["emission"].grad.dtype == dtype


SIX = [structured_loss, perceptron_loss, hinge_loss, crf_loss, fenchel_young_loss, relaxed_loss]
each_loss = pytest.mark.parametrize("loss", SIX, ids=lambda f: f.__name__)


def further(loss, cost):
    """What a loss needs beside weights and targets."""
    return {hinge_loss: (cost,), fenchel_young_loss: (SquaredL2(0.5),)}.get(loss, ())


@each_loss
@pytest.mark.parametrize(
    ("of_theta", "of_target", "of_cost", "batch"),
    [
        ((), (3,), (), (3,)), ((3,), (), (), (3,)), ((), (), (3,), (3,)), ((3, 1), (2,), (), (3, 2)),
        ((1,), (3,), (3, 1), (3, 3)),
    ],
    ids=str,
)  # fmt: skip
def test_the_batch_is_the_broadcast_of_weights_targets_and_costs(dag, loss, of_theta, of_target, of_cost, batch):
    """Each item's loss is that of its own weights, target and cost; gradients are sums over items."""
    rng = np.random.default_rng(0)
    choice = [[0, 3, -1], [0, 2, 6], [5, -1, -1], [1, 4, -1]]
    edges = np.array(choice)[rng.integers(0, 4, of_target)]
    theta, cost = weights(1, of_theta), weights(2, of_cost).detach().abs()
    if loss is not hinge_loss:
        batch = tuple(np.broadcast_shapes(of_theta, of_target))
    got = loss(dag, theta, Target(dag, edges), *further(loss, cost), reduction="none")
    assert got.shape == batch
    leaf = theta.detach().clone().requires_grad_()
    rows, targets = leaf.expand(*batch, 7), np.broadcast_to(edges, (*batch, 3))
    costs = cost.expand(*batch, 7) if loss is hinge_loss else rows.detach()
    each = [loss(dag, rows[k], Target(dag, targets[k]), *further(loss, costs[k])) for k in np.ndindex(batch)]
    want = torch.stack(each).reshape(batch)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(*(torch.autograd.grad(x.sum(), at)[0] for x, at in ((got, theta), (want, leaf))))
    given = (dag, theta, Target(dag, edges), *further(loss, cost))
    torch.testing.assert_close(loss(*given), want.mean())
    torch.testing.assert_close(loss(*given, reduction="sum"), want.sum())


@pytest.mark.parametrize("carried", [(), ("a",), ("a", "b")], ids=str)
@pytest.mark.parametrize("loss", [structured_loss, relaxed_loss], ids=lambda f: f.__name__)
def test_a_dict_of_parameters_and_data_with_targets_of_a_batch(loss, carried):
    """Expected paths are those of each item, not sums over the items that share a block."""
    index = np.arange(len(EDGES))
    both = {"a": (len(EDGES), index), "b": (len(EDGES), index[::-1].copy())}
    tied = dagdp.compile(Graph.from_edges(*zip(*EDGES, strict=True), potentials=both))
    edges = [[0, 3, -1], [0, 2, 6], [5, -1, -1]]
    theta = {name: weights(k, (3,) if name in carried else ()) for k, name in enumerate(both)}
    cost = {"b": weights(5, (3,)).detach()} if loss is structured_loss else None
    options = {} if cost is None else {"cost": cost}
    got = loss(tied, theta, Target(tied, edges), reduction="none", **options)
    each = []
    for item, row in enumerate(edges):
        own = {name: block[item] if name in carried else block for name, block in theta.items()}
        options = {} if cost is None else {"cost": {"b": cost["b"][item]}}
        each.append(loss(tied, own, Target(tied, [e for e in row if e >= 0]), **options))
    torch.testing.assert_close(got, torch.stack(each))
    leaves = list(theta.values())
    found, wanted = (torch.autograd.grad(total, leaves) for total in (got.sum(), sum(each)))
    torch.testing.assert_close(found, wanted)


@each_loss
def test_arrays_give_what_tensors_give(dag, loss):
    theta, cost = weights(3, (2,)).detach(), weights(4).detach().abs()
    target = Target(dag, [[0, 3, -1], [0, 2, 6]])
    Y, more = target.indicator([theta])[0], further(loss, cost)
    want = loss(dag, theta, target, *more)
    arrays = tuple(part.numpy() if isinstance(part, torch.Tensor) else part for part in more)
    for given in ((theta.numpy(), target), (theta.numpy(), Y.numpy()), (theta, Y.numpy()), (theta.tolist(), Y)):
        torch.testing.assert_close(loss(dag, *given, *arrays), want)
        torch.testing.assert_close(loss(dag, *given, *more), want)
    if loss is hinge_loss:  # an array follows the type of the weights, a list as well
        low = loss(dag, theta.float(), target, cost.numpy())
        assert low.dtype == torch.float32
        torch.testing.assert_close(low, loss(dag, theta.float(), target, cost.tolist()))
        whole = torch.zeros(2, 7, dtype=torch.int64)  # the longest of all paths has three edges
        assert loss(dag, whole, target, np.full(7, 0.5)).item() == 1.5


@each_loss
def test_an_option_that_a_loss_does_not_have_is_named_by_it(dag, loss):
    theta, target = weights(), Target(dag, [0, 3])
    with pytest.raises(InputError, match=rf"^{loss.__name__} was given weight=; expected some of .*'threads'"):
        loss(dag, theta, target, *further(loss, theta.detach()), weight=2)
    if loss in (crf_loss, perceptron_loss):
        with pytest.raises(InputError, match=rf"^{loss.__name__} was given omega="):
            loss(dag, theta, target, omega=HardMax())
        same = loss(dag, theta, target, cost=torch.zeros(7), minimize=False, end=3, threads=1, reduction="sum")
        torch.testing.assert_close(same, loss(dag, theta, target))


@each_loss
@pytest.mark.parametrize(
    "wrong",
    [None, "abc", [[1.0], [1.0, 2.0]], torch.zeros(7, dtype=torch.complex64), torch.zeros(7).to_sparse(), object()],
    ids=["None", "a string", "ragged lists", "complex", "sparse", "an object"],
)
def test_what_is_no_array_of_numbers_is_named(dag, loss, wrong):
    theta, target = weights().detach(), Target(dag, [0, 3])
    with pytest.raises(InputError, match=r"^theta (is|has) .*expected "):
        loss(dag, wrong, target, *further(loss, theta))
    with pytest.raises(InputError, match=r"^(the )?target (is|has) .*expected "):
        loss(dag, theta, wrong, *further(loss, theta))
    if wrong is not None:
        with pytest.raises(InputError, match=r"^end (is|has) .*expected "):
            loss(dag, theta, target, *further(loss, theta), end=wrong)
        with pytest.raises(InputError, match=r"^cost (is|has) .*expected "):
            structured_loss(dag, theta, target, cost=wrong)
    for make in (Target, Target.from_nodes, Target.from_array):
        with pytest.raises(InputError, match=r"expected "):
            make(dag, wrong)
        with pytest.raises(InputError, match=r"dag is .*; expected a CompiledDAG"):
            make(wrong, [0, 3])


def test_devices_and_forms_that_do_not_fit(dag):
    theta, target, meta = weights(), Target(dag, [0, 3]), torch.zeros(7, device="meta")
    with pytest.raises(InputError, match=r"theta is on cpu and cost is on meta; expected one device"):
        hinge_loss(dag, theta, target, meta)
    with pytest.raises(InputError, match="the target is on meta, where there are no numbers"):
        crf_loss(dag, theta, meta)
    with pytest.raises(InputError, match=r"cost has shape \(1,\); expected \[\*batch, 7\], as theta"):
        hinge_loss(dag, theta, target, torch.zeros(1))
    with pytest.raises(InputError, match="theta is one array and cost is a dict; expected both in one form"):
        hinge_loss(dag, theta, target, {"a": meta})
    with pytest.raises(InputError, match="target is a list; expected a Target, such as"):
        hamming_cost([0, 3], theta)
    with pytest.raises(InputError, match=r"divergence is 3; expected one of \['squared_l2', 'kl'\] or a function"):
        relaxed_loss(dag, theta, target, None, 3)
    with pytest.raises(InputError, match=r"marginals is 'all'; expected a function"):
        relaxed_loss(dag, theta, target, marginals="all")
    torch.testing.assert_close(fenchel_young_loss(dag, theta, target), crf_loss(dag, theta, target))
    first, other = np.eye(3), np.eye(3)[::-1].copy()
    assert (
        alignment_area(first, torch.tensor(other)).item()
        == alignment_area(torch.tensor(first), torch.tensor(other)).item()
    )


# ---- targets ----


def test_a_score_has_the_batch_of_weights_and_targets(dag):
    theta, edges = weights(1, (2,)).detach(), [[0, 3, -1], [0, 2, 6]]
    by_hand = [[float(row[[e for e in path if e >= 0]].sum()) for row in theta] for path in edges]
    np.testing.assert_allclose(Target(dag, edges[0]).score([theta]), by_hand[0])
    np.testing.assert_allclose(Target(dag, edges).score([theta[0]]), [row[0] for row in by_hand])
    np.testing.assert_allclose(Target(dag, [[row] for row in edges]).score([theta]), by_hand)
    with pytest.raises(InputError, match=r"do not broadcast, at target: .* \(2,\), target \(3,\)"):
        Target(dag, [[0, 3]] * 3).score([theta])


def test_one_row_of_tags_of_several_lengths():
    chain = dagdp.compile(linear_chain(4, 3, ragged=True))
    target = Target.from_tags(chain, [0, 2, 1, 1], lengths=[4, 1, 2])
    assert [[e for e in row if e >= 0] for row in target.edges.tolist()] == [
        Target.from_tags(chain, [0, 2, 1, 1], lengths=n).edges[: n + 1].tolist() for n in (4, 1, 2)
    ]
    with pytest.raises(InputError, match=r"do not broadcast, at lengths: tags \(2,\), lengths \(3,\)"):
        Target.from_tags(chain, [[0, 2, 1, 1]] * 2, lengths=[4, 1, 2])


def test_targets_from_every_source_agree():
    named = Graph()
    for edge in ["ab", "bc", "ac", "cd"]:
        named.add_edge(*edge)
    dag = dagdp.compile(named)
    target = Target.from_nodes(dag, ["abcd", "acd"])
    assert target.edges.tolist() == [[0, 1, 3], [2, 3, -1]] and target.end == ["d", "d"]
    assert Target.from_nodes(dag, "acd").edges.tolist() == [2, 3]
    assert Target(dag, [[0, 1, 3], [2, 3]]).edges.tolist() == target.edges.tolist()
    assert Target(dag, torch.tensor([[0, 1, 3], [2, 3, -1]])).edges.tolist() == target.edges.tolist()
    Y = target.indicator([torch.zeros(4)])[0]
    assert Y.tolist() == [[1, 1, 0, 1], [0, 0, 1, 1]]
    assert Target.from_array(dag, Y).edges.tolist() == target.edges.tolist()
    assert torch.equal(crf_loss(dag, torch.ones(2, 4), Y), crf_loss(dag, torch.ones(2, 4), target))


@pytest.mark.parametrize("make", [linear_chain, trellis], ids=lambda f: f.__name__)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
def test_tags(make, ragged):
    T, S = 4, 3
    dag, rng = dagdp.compile(make(T, S, ragged=ragged)), np.random.default_rng(0)
    tags = rng.integers(0, S, (2, T))
    lengths = [4, 2] if ragged else None
    target = Target.from_tags(dag, torch.tensor(tags), lengths)
    assert target.lengths.tolist() == ([5, 3] if ragged else [5, 5])
    theta = (
        {name: np.stack([a, a]) for name, a in random_theta(dag.graph, rng).items()} if make is linear_chain else None
    )
    blocks = [torch.zeros(2, *p.shape) for p in dag.potentials]
    Y = target.indicator(blocks)
    again = Target.from_array(dag, dict(zip([p.name for p in dag.potentials], Y, strict=True)) if theta else Y[0],
                              end=target.end)  # fmt: skip
    assert again.edges.tolist() == target.edges.tolist()


def test_tags_are_what_viterbi_decodes():
    theta = torch.tensor(np.random.default_rng(5).normal(size=(3, 4, 2, 2)))
    dag = dagdp.compile(trellis(4, 2))
    target = Target.from_tags(dag, viterbi_decode(theta))
    np.testing.assert_allclose(perceptron_loss(dag, theta, target, reduction="none"), 0.0, atol=1e-12)


def test_alignments_are_what_dtw_finds():
    costs = torch.tensor(np.random.default_rng(2).random((3, 4, 5)))
    dag = dagdp.compile(dtw_grid(4, 5))
    pairs = dtw_path(costs)
    target = Target.from_pairs(dag, pairs)
    loss = perceptron_loss(dag, costs, target, minimize=True, reduction="none")
    np.testing.assert_allclose(loss, 0.0, atol=1e-12)
    again = Target.from_array(dag, dagdp.dp_grad(dag, costs, HardMax(), minimize=True))
    assert [[e for e in row if e >= 0] for row in target.edges] == [[e for e in row if e >= 0] for row in again.edges]


@pytest.mark.parametrize("name", [n for n in GRAPHS if n not in ("tied", "two starts, two ends")])
def test_best_paths_come_back_from_arrays(name):
    dag, rng = dagdp.compile(GRAPHS[name]()), np.random.default_rng(3)
    theta = random_theta(dag.graph, rng, (3,))
    Y = dagdp.dp_grad(dag, theta, HardMax())
    theta = {k: torch.tensor(v) for k, v in theta.items()} if isinstance(theta, dict) else torch.tensor(theta)
    np.testing.assert_allclose(perceptron_loss(dag, theta, Y, reduction="none"), 0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: Target(d, [0, 4]), r"edge 0 leads to node 1 and edge 4 leaves node 2; expected each edge to leave"),
        (lambda d: Target(d, [[0, 3], [3, -1]]), r"target of item 1 begins with edge 3 from node 1; expected a start"),
        (lambda d: Target(d, [7]), "the target has edge 7; expected 0 to 6"),
        (lambda d: Target(d, [0, -1, 3]), "edges has negative entries; expected numbers from 0, then -1 behind"),
        (lambda d: Target(d, [0.0, 3.0]), "dtype float64; expected integers"),
        (lambda d: Target.from_nodes(d, [0, 3, 2]), "no edge leads from node 3 to node 2"),
        (lambda d: Target.from_nodes(d, [0, 2, 3]), "several edges lead from node 2 to node 3; expected the target as"),
        (lambda d: Target.from_tags(d, [0, 1]), "tags name the states of a linear_chain or of a trellis"),
        (lambda d: Target.from_pairs(d, [[0, 1]]), "need a graph made by dtw_grid"),
        (lambda d: Target.from_array(d, [1, 0, 1, 0, 0, 0, 0]), "lead as far as node 2 and on to no end"),
        (lambda d: Target.from_array(d, [1, 0, 0, 1, 0, 1, 0]), r"target\[5\] is 1, and the best path .* reads it 0"),
        (lambda d: Target.from_array(d, np.ones(6)), r"target has shape \(6,\); expected \[\*batch, 7\]"),
    ],
)
def test_targets_that_are_no_paths(dag, make, message):
    with pytest.raises(InputError, match=message):
        make(dag)


def test_targets_that_do_not_fit_the_call(dag):
    theta, target = weights(), Target(dag, [0, 3])
    with pytest.raises(InputError, match=r"target stops at node 1, which is no end; expected one of \[3\]"):
        crf_loss(dag, theta, Target(dag, [0]))
    with pytest.raises(InputError, match="target stops at node 3, which is no end; expected the node of end="):
        crf_loss(dag, theta, target, end=2)
    with pytest.raises(InputError, match=r"do not broadcast, at target: theta \(2,\), target \(3,\)"):
        crf_loss(dag, weights(0, (2,)), Target(dag, [[0, 3]] * 3))
    with pytest.raises(InputError, match="target was made for another compiled graph"):
        crf_loss(dagdp.compile(dag.graph), theta, target)
    chain = dagdp.compile(linear_chain(2, 2))
    blocks = {p.name: torch.zeros(p.shape) for p in chain.potentials}
    tags = Target.from_tags(chain, [0, 1])
    with pytest.raises(InputError, match=r"expected name= to be one of them"):
        hamming_cost(tags, blocks)
    with pytest.raises(InputError, match=r"cost has keys \['emissions'\]; expected some of"):
        hinge_loss(chain, blocks, tags, {"emissions": torch.zeros(2, 2)})
    with pytest.raises(InputError, match=r"tags\[1\] is 5; expected 0 to 1"):
        Target.from_tags(chain, [0, 5])
    with pytest.raises(InputError, match="lengths below 2 were given for a graph that ends after 2 steps"):
        Target.from_tags(chain, [0, 1], lengths=1)


def test_hinge_with_hamming_cost_counts_wrong_tags():
    chain = dagdp.compile(linear_chain(3, 2))
    blocks = {p.name: torch.zeros(p.shape, dtype=torch.float64) for p in chain.potentials}
    target = Target.from_tags(chain, [0, 1, 1])
    assert hinge_loss(chain, blocks, target, hamming_cost(target, blocks, "emission")).item() == 3.0


def test_a_value_of_the_oracle():
    """The projection oracle and the loss of one node by hand: x = (0, 1), Y = the first edge."""
    dag = dagdp.compile(Graph.from_edges([0, 0], [1, 1]))
    value, _ = projection(np.array([0.0, 1.0]), 1.0)
    theta = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert math.isclose(structured_loss(dag, theta, Target(dag, [0]), SquaredL2()).item(), value)


@pytest.mark.parametrize("divergence", ["squared_l2", "kl"])
def test_a_loss_of_an_item_without_a_path_is_infinite_and_has_no_gradient(divergence):
    dag = dagdp.compile(Graph.from_edges([0, 0, 1], [1, 2, 2]))
    theta = torch.tensor([[1.0, 2.5, 2.0], [-torch.inf] * 3], dtype=torch.float64, requires_grad=True)
    target = Target(dag, [[0, 2], [1, -1]])
    losses = {
        "structured": structured_loss(dag, theta, target, SquaredL2(1.0), reduction="none"),
        "crf": crf_loss(dag, theta, target, reduction="none"),
        "relaxed": relaxed_loss(dag, theta, target, SquaredL2(1.0), divergence, reduction="none"),
    }
    for loss in losses.values():
        assert loss[1] == torch.inf and loss[0].isfinite()
        (gradient,) = torch.autograd.grad(loss.sum(), theta)
        assert gradient.isfinite().all() and not gradient[1].any()


def test_pairs_on_a_grid_with_a_band_find_its_nodes():
    dag, cost = dagdp.compile(dtw_grid(6, 6, 1)), np.random.default_rng(0).random((2, 6, 6))
    pairs = dtw_path(cost, band=1)
    target = Target.from_pairs(dag, pairs)
    score = target.score([torch.from_numpy(cost)]).numpy()
    np.testing.assert_allclose(score, dagdp.dp_value(dag, cost, dagdp.HardMax(), minimize=True), atol=1e-12)
    with pytest.raises(InputError, match=r"pairs\[1\] is \[0, 3\], a cell outside the band of the grid"):
        Target.from_pairs(dag, [[0, 0], [0, 3]])


# ---- batches of different graphs ----


@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
@pytest.mark.parametrize("minimize", [False, True], ids=["max", "min"])
def test_losses_of_a_batch_of_graphs_are_those_of_each(batch, minimize):
    graphs, rng = [trellis(2, 2), trellis(3, 2)], np.random.default_rng(0)
    compiled = dagdp.compile_batch(graphs)
    theta = [torch.tensor(random_theta(graph, rng, batch), requires_grad=True) for graph in graphs]
    targets = [Target.from_tags(d, rng.integers(0, 2, (*batch, T))) for d, T in zip(compiled.dags, (2, 3), strict=True)]
    costs = [hamming_cost(target, own) for target, own in zip(targets, theta, strict=True)]
    kept = {"minimize": minimize}
    for loss, more in (
        (structured_loss, (SquaredL2(0.7), costs)),
        (perceptron_loss, ()),
        (hinge_loss, (costs,)),
        (crf_loss, (0.7,)),
        (fenchel_young_loss, (SquaredL2(0.7),)),
    ):
        found = loss(compiled, theta, targets, *more, reduction="none", **kept)
        alone = []
        for g, dag in enumerate(compiled.dags):
            own = [part[g] if part is costs else part for part in more]
            alone.append(loss(dag, theta[g], targets[g], *own, reduction="none", **kept))
        torch.testing.assert_close(found, torch.stack(alone, -1))
        total = loss(compiled, theta, targets, *more, **kept)
        torch.testing.assert_close(total, torch.stack(alone).mean())
        wanted = torch.autograd.grad(torch.stack(alone).mean(), theta)
        for ours, others in zip(torch.autograd.grad(total, theta), wanted, strict=True):
            torch.testing.assert_close(ours, others)


def test_losses_of_a_batch_that_shares_potentials():
    graphs, rng = [linear_chain(T, 2) for T in (3, 2)], np.random.default_rng(1)
    own = [random_theta(graph, rng) for graph in graphs]
    common = ["transition", "start", "end"]
    compiled = dagdp.compile_batch(graphs, shared=common)
    theta = {name: torch.tensor(own[0][name], requires_grad=True) for name in common}
    theta["emission"] = [torch.tensor(part["emission"]) for part in own]
    targets = [Target.from_tags(dag, [0] * T) for dag, T in zip(compiled.dags, (3, 2), strict=True)]
    apart = [{name: theta[name] for name in common} | {"emission": emission} for emission in theta["emission"]]
    costs = [hamming_cost(target, part, "emission") for target, part in zip(targets, apart, strict=True)]
    cost = {"emission": [part["emission"] for part in costs]}
    found = hinge_loss(compiled, theta, targets, cost, reduction="sum")
    zipped = zip(compiled.dags, apart, targets, costs, strict=True)
    alone = sum(hinge_loss(*parts) for parts in zipped)
    torch.testing.assert_close(found, alone)
    leaves = [theta[name] for name in common]
    for ours, others in zip(torch.autograd.grad(found, leaves), torch.autograd.grad(alone, leaves), strict=True):
        torch.testing.assert_close(ours, others)


def test_losses_of_a_batch_refuse_what_is_no_target():
    graphs = [Graph.from_edges([0, 0], [1, 2], ends=[1, 2]), Graph.from_edges([0], [1])]
    compiled = dagdp.compile_batch(graphs)
    theta = [torch.zeros(count, dtype=torch.float64) for count in (2, 1)]
    targets = [Target(dag, [0]) for dag in compiled.dags]
    assert fenchel_young_loss(compiled, theta, targets, SquaredL2(1.0), end=[1, None]).item() == 0.0
    with pytest.raises(InputError, match=r"^graph 0: the target stops at node 1, which is no end"):
        crf_loss(compiled, theta, targets, end=[2, None])
    with pytest.raises(InputError, match=r"^target is a list of 1; expected a list with a Target"):
        crf_loss(compiled, theta, targets[:1])
    with pytest.raises(InputError, match=r"^graph 0: the target was made for another"):
        crf_loss(compiled, theta, targets[::-1])
    with pytest.raises(InputError, match=r"^dag is a CompiledBatch, and this function takes one graph"):
        relaxed_loss(compiled, theta, targets)


def test_a_target_of_a_recurrence_is_a_row_of_cells():
    """By name or by number, without the start and the end that the recurrence adds."""
    from recurrences import DTW, VITERBI

    chain = dagdp.compile(dagdp.recurrence(VITERBI, t=4, i=3, j=3))
    tags = np.array([[0, 2, 1, 1], [2, 2, 0, 1]])
    by_hand = dagdp.compile(linear_chain(4, 3))
    wanted = Target.from_tags(by_hand, tags).edges.tolist()
    assert Target.from_nodes(chain, chain.cell("v", np.arange(4), tags)).edges.tolist() == wanted
    assert Target.from_nodes(chain, [[("v", t, y) for t, y in enumerate(row)] for row in tags]).edges.tolist() == wanted
    grid = dagdp.compile(dagdp.recurrence(DTW, i=3, j=3))
    best = dagdp.best_path(grid, np.random.default_rng(0).random((2, 3, 3)))
    assert Target.from_nodes(grid, best.names(grid)).edges.tolist() == best.edges.tolist()
    start, corner = 0, grid.cell("v", np.arange(3), np.arange(3)).tolist()
    both = Target.from_nodes(grid, [[start, *corner], corner]).edges
    assert both[0].tolist() == both[1].tolist()
