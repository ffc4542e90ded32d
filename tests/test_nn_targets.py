"""Targets from the entries that a path reads: alignments with gaps, segments, states, from random paths and back."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import dagdp  # noqa: E402
from dagdp import HardMax, InputError  # noqa: E402
from dagdp.nn.losses import crf_loss, perceptron_loss  # noqa: E402
from dagdp.nn.targets import Target  # noqa: E402

GLOBAL = """
    a[0, 0] = 0
    a[i, j] = max(a[i-1, j-1] + pair[i-1, j-1], a[i-1, j] + gap, a[i, j-1] + gap)
    done[i, j] = max(a[i, j])
    return max[i, j](done[i, j])
"""
SEGMENTS = """
    v[t, i] = max[d](when(d == t, segment[0, d, i]))
    v[t, i] = max[d, j](v[t-d, j] + segment[t-d, d, i])
    return max[i](v[-1, i])
"""


def alignment(n, m):
    return dagdp.compile(dagdp.recurrence(GLOBAL, {"pair": (n, m)}, i=n + 1, j=m + 1))


def test_the_gaps_of_an_alignment_are_found_between_its_pairs():
    dag = alignment(4, 4)
    ends = dag.cell("done", [4, 3], [4, 4])
    pairs = [[[0, 0], [2, 1], [3, 3]], [[1, 1], [-1, -1], [-1, -1]]]
    target = Target.from_entries(dag, pairs, "pair", end=ends)
    assert target.last.tolist() == ends.tolist()
    theta = {"pair": torch.zeros(2, 4, 4), "gap": torch.tensor(1.0)}
    assert target.score([theta["pair"], theta["gap"]]).tolist() == [2.0, 5.0]  # the gaps of each alignment
    for item, own in enumerate(pairs):
        marked = target.indicator([theta["pair"], theta["gap"]])[0][item].nonzero().tolist()
        assert marked == [pair for pair in own if pair != [-1, -1]]


def test_losses_of_an_alignment_are_those_of_a_loop():
    """log of the sum of exp over all alignments, row by row, minus the alignment's own score."""
    dag, rng = alignment(3, 4), np.random.default_rng(0)
    pair, gap = rng.normal(size=(3, 4)), -0.3
    target = Target.from_entries(dag, [[0, 1], [2, 2]], "pair", end=dag.cell("done", 3, 4))
    table = np.full((4, 5), -np.inf)
    table[0, 0] = 0.0
    for i, j in np.ndindex(4, 5):
        reached = [table[i, j]]
        reached += [table[i - 1, j - 1] + pair[i - 1, j - 1]] if i and j else []
        reached += [table[i - 1, j] + gap] if i else []
        reached += [table[i, j - 1] + gap] if j else []
        table[i, j] = np.logaddexp.reduce(reached)
    theta = {"pair": torch.tensor(pair, requires_grad=True), "gap": torch.tensor(gap, dtype=torch.float64)}
    loss = crf_loss(dag, theta, target, end=target.end)
    assert loss.item() == pytest.approx(table[-1, -1] - pair[0, 1] - pair[2, 2] - 3 * gap, abs=1e-12)
    (grad,) = torch.autograd.grad(loss, theta["pair"], create_graph=True)
    assert grad[0, 1] < 0.0 < grad[0, 0]
    assert torch.autograd.gradcheck(
        lambda own: crf_loss(dag, {**theta, "pair": own}, target, end=target.end), theta["pair"]
    )
    assert torch.autograd.gradgradcheck(
        lambda own: crf_loss(dag, {**theta, "pair": own}, target, end=target.end), theta["pair"]
    )


@pytest.mark.parametrize("seed", range(5))
def test_segments_of_best_paths_come_back(seed):
    T, longest, S = 7, 3, 2
    dag = dagdp.compile(
        dagdp.recurrence(SEGMENTS, {"segment": (T, longest + 1, S)}, t=T + 1, d=range(1, longest + 1), i=S, j=S)
    )
    theta = np.random.default_rng(seed).normal(size=(3, T, longest + 1, S))
    read = dagdp.dp_grad(dag, theta, HardMax()) > 0.5
    segments = [np.argwhere(own).tolist() for own in read]
    most = max(map(len, segments))
    target = Target.from_entries(dag, [own + [[-1] * 3] * (most - len(own)) for own in segments])
    assert torch.allclose(perceptron_loss(dag, torch.tensor(theta), target, reduction="none"), torch.zeros(3).double())
    assert (crf_loss(dag, torch.tensor(theta), target, reduction="none") > 0.0).all()


def test_entries_that_no_path_reads():
    dag = alignment(3, 3)
    crossing = (
        r"the target of item 0 is no path: no path reads these entries, once each, and no other of potential 'pair'"
    )
    with pytest.raises(InputError, match=crossing):
        Target.from_entries(dag, [[0, 1], [1, 0]], "pair")
    with pytest.raises(InputError, match=r"entries\[1\] is \[3, 0\]; expected an entry of potential 'pair' of shape"):
        Target.from_entries(dag, [[0, 0], [3, 0]], "pair")
    with pytest.raises(InputError, match=r"entries has shape \(2,\); expected integers \[\*batch, L, 2\]"):
        Target.from_entries(dag, [0, 0], "pair")
    with pytest.raises(InputError, match=r"name is None; expected one of the graph's potentials \['pair', 'gap'\]"):
        Target.from_entries(dag, [[0, 0]])
