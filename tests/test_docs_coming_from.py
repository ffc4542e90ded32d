"""docs/coming_from.md: both sides of each pair run, and have equal values, where the other package is installed.

Blocks and rows are read from the page. A block that begins with "py" is the other package's, the "python" block behind
it is ours: names that both set are compared. Rows of a table are pairs of expressions.
"""

from __future__ import annotations

import numbers
import re
import types
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import dagdp

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "coming_from.md").read_text()
MODULES = {
    "tslearn": "tslearn.metrics",
    "pysdtw": "pysdtw",
    "torch-struct": "torch_struct",
    "pytorch-crf": "torchcrf",
    "k2": "k2",
    "gtn": "gtn",
    "hmmlearn": "hmmlearn.hmm",
    "networkx": "networkx",
}
SINGLE = {"pysdtw", "gtn"}  # their results are float32, also those without a dtype
LEAST = {
    "tslearn": 20,
    "pysdtw": 6,
    "torch-struct": 17,
    "pytorch-crf": 7,
    "k2": 7,
    "gtn": 6,
    "hmmlearn": 10,
    "networkx": 9,
}  # comparisons
PIECE = re.compile(r"^```(python|py)\n(.*?)^```$|^\| [^|\n]+ \| `([^|\n]+)` \| `([^|\n]+)` \|$", flags=re.S | re.M)


class Step(NamedTuple):
    """A block, with who runs it; or a row of a table, with both expressions."""

    kind: str  # "python": ours; "py": theirs; "row"
    theirs: str
    ours: str


def steps_of(text: str) -> list[Step]:
    found = []
    for match in PIECE.finditer(text):
        kind, block, theirs, ours = match.groups()
        found.append(Step("row", theirs, ours) if kind is None else Step(kind, block, block))
    return found


BEGIN, *PARTS = re.split(r"^## ", PAGE, flags=re.M)
SECTIONS = {name: steps_of(part) for part in PARTS if (name := part.split()[0]) in MODULES}


def assigned(names: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in names.items() if before.get(name) is not value and name != "__builtins__"}


def plain(value: Any) -> Any:
    """Tensors as arrays, tuples as lists."""
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value


def comparable(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(comparable(entry) for entry in value)
    return isinstance(value, np.ndarray | torch.Tensor | numbers.Number | str)


def names_nodes(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list | tuple) and any(names_nodes(entry) for entry in value))


def ragged(value: Any) -> bool:
    return isinstance(value, list | tuple) and len({np.shape(plain(entry)) for entry in value}) > 1


def assert_same(theirs: Any, ours: Any, single: bool, what: str) -> None:
    """Equal up to rounding: of single precision where they compute in it, or tensors take part, else of double."""
    if names_nodes(theirs):
        assert plain(theirs) == plain(ours), what
    elif ragged(theirs):
        for left, right in zip(theirs, ours, strict=True):
            assert_same(left, right, single, what)
    else:
        single = single or any(isinstance(value, torch.Tensor) for value in (theirs, ours))
        bound = 2e-5 if single else 1e-9
        left, right = (np.asarray(plain(value), dtype=float) for value in (theirs, ours))
        assert left.shape == right.shape, what
        np.testing.assert_allclose(right, left, rtol=bound, atol=bound, err_msg=what)


def names_of_the_begin() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for step in steps_of(BEGIN):
        exec(step.ours, names)
    return names


def test_every_package_has_a_section_with_pairs():
    assert list(SECTIONS) == list(MODULES)
    for steps in SECTIONS.values():
        assert sum(step.kind == "row" for step in steps) >= 2 or sum(step.kind == "py" for step in steps) >= 2


@pytest.mark.parametrize("package", MODULES)
def test_our_side_runs(package):
    names = names_of_the_begin()
    for step in SECTIONS[package]:
        if step.kind == "python":
            exec(step.ours, names)
        elif step.kind == "row":
            assert eval(step.ours, names) is not None


@pytest.mark.parametrize("package", MODULES)
def test_both_sides_agree(package):
    pytest.importorskip(MODULES[package], exc_type=ImportError)
    ours, compared = names_of_the_begin(), 0
    theirs, set_by_them = dict(ours), None
    for step in SECTIONS[package]:
        if step.kind == "row":
            what = f"{step.theirs} | {step.ours}"
            assert_same(eval(step.theirs, theirs), eval(step.ours, ours), package in SINGLE, what)
            compared, set_by_them = compared + 1, None
        elif step.kind == "py":
            before = dict(theirs)
            exec(step.theirs, theirs)
            set_by_them = assigned(theirs, before)
        else:
            before = dict(ours)
            exec(step.ours, ours)
            set_by_us = assigned(ours, before)
            if set_by_them is None:  # data, for both
                theirs.update(set_by_us)
                continue
            both = [name for name in set_by_them if name in set_by_us and not isinstance(ours[name], types.ModuleType)]
            both = [name for name in both if comparable(set_by_them[name])]
            for name in both:
                assert_same(set_by_them[name], set_by_us[name], package in SINGLE, f"{name} of\n{step.ours}")
            compared, set_by_them = compared + len(both), None
    assert compared >= LEAST[package]


def test_claims_about_networkx():
    """Longest paths leave out edges there; a missing weight, a cycle and an undirected graph are errors here."""
    networkx = pytest.importorskip("networkx")
    G = networkx.DiGraph()
    G.add_weighted_edges_from([("a", "b", -1.0), ("b", "c", 2.0), ("a", "c", 0.5), ("c", "d", -3.0)])
    graph, weights = dagdp.from_networkx(G)
    dag = dagdp.compile(graph)
    assert networkx.dag_longest_path(G) == ["b", "c"]
    assert dagdp.best_path(dag, weights).names(dag) == ["a", "b", "c", "d"]
    shortest = networkx.DiGraph()
    shortest.add_weighted_edges_from([("s", "a", 2.0), ("s", "b", 5.0), ("b", "a", -4.0), ("a", "d", 1.0)])
    graph, weights = dagdp.from_networkx(shortest)
    dag = dagdp.compile(graph)
    assert networkx.shortest_path(shortest, "s", "d", weight="weight") == ["s", "a", "d"]
    assert dagdp.best_path(dag, weights, minimize=True).names(dag) == ["s", "b", "a", "d"]
    with pytest.raises(dagdp.GraphError, match="has no attribute 'weight'"):
        dagdp.from_networkx(networkx.DiGraph([("a", "b")]))
    cycle = networkx.DiGraph([("a", "b"), ("b", "a")])
    networkx.set_edge_attributes(cycle, 1.0, "weight")
    with pytest.raises(dagdp.GraphError, match="cycle: 'b' -> 'a' -> 'b'"):
        dagdp.compile(dagdp.from_networkx(cycle)[0])
    with pytest.raises(dagdp.GraphError, match="expected a DiGraph"):
        dagdp.from_networkx(networkx.Graph([("a", "b")]))


def test_claims_about_pysdtw():
    """A band beside lengths makes its gradient wrong for shorter items; a forbidden cell makes it NaN."""
    pysdtw = pytest.importorskip("pysdtw")
    pack = torch.nn.utils.rnn.pack_padded_sequence
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, n, 2, dtype=torch.float64, generator=draw) for n in (5, 5))
    lengths, soft = [5, 3], dagdp.Negentropy(0.5)
    windows = np.zeros((2, 5, 5), bool)
    for item, (n, m) in enumerate([(5, 5), (3, 4)]):
        windows[item, :n, :m] = abs(np.arange(1, n + 1)[:, None] * m / n - np.arange(1, m + 1)) <= 1

    def theirs(x):
        packed = pack(x, lengths, batch_first=True), pack(b, [5, 4], batch_first=True)
        return pysdtw.SoftDTW(0.5, use_cuda=False, bandwidth=1)(*packed)

    def ours(x):
        return dagdp.graphs.dtw_value(x=x, y=b, omega=soft, lengths=(lengths, [5, 4]), window=windows)

    gradients = []
    for value in (theirs, ours):
        leaf = a.clone().requires_grad_()
        found = value(leaf)
        gradients.append((found.detach(), torch.autograd.grad(found.sum(), leaf)[0]))
    torch.testing.assert_close(gradients[0][0], gradients[1][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients[0][1][0], gradients[1][1][0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(gradients[0][1][1], gradients[1][1][1], atol=0.1)

    def forbidding(x, y):
        forbidden = torch.arange(25).reshape(5, 5) == 7
        return torch.where(forbidden, torch.inf, (x[:, :, None] - y[:, None]).square().sum(-1))

    for value, broken in (
        (lambda x: pysdtw.SoftDTW(0.5, dist_func=forbidding, use_cuda=False)(x, b), True),
        (lambda x: dagdp.graphs.dtw_value(x=x, y=b, cost=forbidding, omega=soft), False),
    ):
        leaf = a.clone().requires_grad_()
        assert torch.autograd.grad(value(leaf).sum(), leaf)[0].isnan().any() == broken


def test_claims_about_tslearn():
    """`soft_dtw` of tensors has exact first derivatives, and no second; the loss has no lengths."""
    metrics = pytest.importorskip("tslearn.metrics")
    x = torch.randn(5, 2, dtype=torch.float64, generator=torch.manual_seed(0), requires_grad=True)
    y = torch.randn(4, 2, dtype=torch.float64, generator=torch.manual_seed(1))
    (slope,) = torch.autograd.grad(metrics.soft_dtw(x, y, gamma=0.5), x, create_graph=True)
    (ours,) = torch.autograd.grad(dagdp.graphs.dtw_value(x=x, y=y, omega=dagdp.Negentropy(0.5)), x)
    torch.testing.assert_close(slope.detach(), ours)
    with pytest.raises(NotImplementedError):
        torch.autograd.grad(slope.sum(), x)


def test_claims_about_torch_struct():
    """One length has to be full, -inf is a finite number, arguments change, and trees of a leaf raise."""
    torch_struct = pytest.importorskip("torch_struct")
    theta = torch.randn(2, 3, 2, 2, dtype=torch.float64, generator=torch.manual_seed(0))
    with pytest.raises(AssertionError, match="at least N"):
        torch_struct.LinearChainCRF(theta, lengths=torch.tensor([3, 2])).partition.sum()
    assert torch_struct.LinearChainCRF(torch.full((1, 3, 2, 2), -torch.inf)).partition.item() == -3e9
    torch_struct.SemiMarkovCRF(segments := torch.zeros(1, 3, 3, 2, 2)).partition.sum()
    assert segments.requires_grad
    with pytest.raises(RuntimeError, match="leaf"):
        torch_struct.DependencyCRF(torch.zeros(1, 3, 3)).partition.sum()
    leaf = theta.clone().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda t: torch_struct.LinearChainCRF(t).partition, (leaf,))


def test_claims_about_pytorch_crf():
    """Padding of NaN and of -100 is read there; a mask with a gap is no error; second derivatives are right."""
    torchcrf = pytest.importorskip("torchcrf")
    from dagdp.nn import LinearChainCRF

    theirs, ours = torchcrf.CRF(3, batch_first=True), LinearChainCRF(3)
    emissions, tags = torch.zeros(1, 3, 3), torch.tensor([[0, 1, -100]])
    mask = torch.tensor([[True, True, False]])
    with pytest.raises(IndexError):
        theirs(emissions, tags, mask=mask)
    emissions[0, 2] = torch.nan
    assert theirs(emissions, tags.clamp(min=0), mask=mask).isnan()
    assert ours(emissions, tags, mask=mask).isfinite().all()
    gap = torch.tensor([[True, False, True]])
    assert theirs(torch.zeros(1, 3, 3), tags.clamp(min=0), mask=gap).isfinite()
    with pytest.raises(dagdp.InputError, match="no run of True"):
        ours(torch.zeros(1, 3, 3), tags.clamp(min=0), mask=gap)
    leaf = torch.randn(1, 3, 3, dtype=torch.float64, generator=torch.manual_seed(0), requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda e: theirs.double()(e, tags.clamp(min=0)), (leaf,))


def test_claims_about_gtn():
    """Two nodes that form a cycle have the score 0 there; a forbidden arc has gradient 0."""
    gtn = pytest.importorskip("gtn")
    graph = gtn.Graph(True)
    graph.add_node(True, False)
    graph.add_node(False, True)
    graph.add_arc(0, 1, 0, 0, -np.inf)
    graph.add_arc(0, 1, 0, 0, 1.0)
    score = gtn.forward_score(graph)
    gtn.backward(score)
    assert score.item() == 1.0 and graph.grad().weights_to_list() == [0.0, 1.0]
    graph.add_arc(1, 0, 0, 0, 1.0)
    assert gtn.forward_score(graph).item() == 0.0
