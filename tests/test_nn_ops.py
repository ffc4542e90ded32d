"""The operators as torch.library sees them, and under torch.compile."""

from __future__ import annotations

import gc
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from cases import GRAPHS, over_operators, random_theta

import dagdp
from dagdp import (
    DerivativeError,
    HardMax,
    InputError,
    Negentropy,
    Omega,
    OmegaError,
    SquaredL2,
    Tsallis,
    compile,
    dp_grad,
    dp_value,
)
from dagdp.graphs import dtw_value, viterbi_grad, viterbi_value

torch = pytest.importorskip("torch")
from torch._dynamo.exc import Unsupported  # noqa: E402
from torch._dynamo.testing import CompileCounterWithBackend  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402

from dagdp.nn import LinearChainCRF  # noqa: E402
from dagdp.nn.autograd import operators  # noqa: E402

OPERATORS = [operators.value_op, operators.gradient_op, operators.path_op, operators.slope_op, operators.bend_op]


def traced(function, **options):
    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, backend="aot_eager", **options)


def problem(dag, omega, minimize=False):
    return operators.Problem(dag, omega, minimize, 0).arguments


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op._name)
@pytest.mark.parametrize("name", ["chain", "grid"])
def test_opcheck(op, name):
    dag = compile(GRAPHS[name]())
    size = sum(p.size for p in dag.potentials)
    end = torch.tensor([13, 13]) if name == "chain" else None
    theta = torch.randn(2, size, dtype=torch.float64, requires_grad=op is not operators.bend_op)
    z = torch.randn(2, size, dtype=torch.float64, requires_grad=op is not operators.path_op)
    tensors = (theta,) if op in (operators.value_op, operators.gradient_op) else (theta, z)
    torch.library.opcheck(op, (*tensors, end, *problem(dag, SquaredL2(0.5))))


def test_an_operator_is_rebuilt_from_what_travels():
    dag = compile(GRAPHS["one edge"]())
    for omega in (HardMax(), Negentropy(0.7), SquaredL2(2), Tsallis(1.3, 0.2)):
        made = operators.Problem.of(*problem(dag, omega, True))
        assert made.omega == omega and made.dag is dag and made.minimize

    @dataclass(frozen=True)
    class Named(Omega):
        width: float = 2.0
        gamma: float = 1.0

        def link(self, y):
            return 0.0

        slope = conjugate = link

    rebuilt = operators.Problem.of(*problem(dag, Named(3.0, 0.5))).omega
    assert type(rebuilt) is Named and rebuilt == Named(3.0, 0.5)
    with pytest.raises(OmegaError, match="the operator class Nowhere is gone"):
        operators.Problem.of(dag.serial, "Nowhere", [], False, 0)


def test_a_graph_that_is_gone_is_an_error():
    dag = compile(GRAPHS["one edge"]())
    arguments = problem(dag, Negentropy(1.0))
    del dag
    gc.collect()
    with pytest.raises(InputError, match="is gone; keep a reference to the CompiledDAG"):
        operators.value_op(torch.zeros(1), None, *arguments)


EXPORT = """
import sys
import torch
import dagdp.nn  # registers the operators of torch
from dagdp import Graph, HardMax, compile, dp_value

dags = [compile(Graph.from_edges(*edges)) for edges in {graphs}]


class Layer(torch.nn.Module):
    def forward(self, theta):
        return dp_value(dags[0], theta, HardMax())


if sys.argv[1] == "save":
    torch.export.save(torch.export.export(Layer(), (torch.zeros(3),)), sys.argv[2])
else:
    print(float(torch.export.load(sys.argv[2]).module()(torch.tensor([1.0, 2.5, 2.0]))))
"""
TRIANGLE, LINE = ([0, 0, 1], [1, 2, 2]), ([0, 1, 2], [1, 2, 3])


@pytest.mark.exhaustive
def test_an_exported_program_does_not_find_another_graph(tmp_path):
    """Its number is that of the first graph of its process, which another program has too."""

    def run(*words, graph):
        script = EXPORT.format(graphs=[graph])
        command = [sys.executable, "-c", script, *words, str(tmp_path / "layer.pt2")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    saved = run("save", graph=TRIANGLE)
    assert saved.returncode == 0, saved.stderr
    assert run("load", graph=TRIANGLE).stdout == "3.0\n"
    other = run("load", graph=LINE)
    assert other.returncode != 0 and "compiled graph number" in other.stderr


@over_operators([HardMax(), Negentropy(0.7), SquaredL2(0.5), Tsallis(1.5, 0.8)])
def test_compiled_functions_agree(omega):
    """A whole training step traced as one graph: value, path, gradients of both, shared blocks, ragged ends."""
    dag = compile(GRAPHS["chain"]())
    theta = {k: torch.tensor(a) for k, a in random_theta(dag.graph, np.random.default_rng(0), (3,)).items()}
    theta["transition"] = theta["transition"][0]
    end = torch.tensor([13, 7, 12])

    def loss(emission, transition):
        own = {**theta, "emission": emission, "transition": transition}
        value, path = dagdp.dp_value_and_grad(dag, own, omega, end=end)
        return value.sum() + path["emission"].square().sum()

    gradients = []
    for function in (loss, traced(loss)):
        leaves = [theta[k].clone().requires_grad_() for k in ("emission", "transition")]
        function(*leaves).backward()
        gradients.append([leaf.grad for leaf in leaves])
    torch.testing.assert_close(*gradients)


def test_compiled_functions_follow_graph_operator_and_size():
    """What a traced function was specialised to is guarded: nothing of the last call is used for the next."""
    value = traced(lambda dag, theta, omega: dp_value(dag, theta, omega))
    for name in ("parallel edges", "dead ends"):
        dag = compile(GRAPHS[name]())
        theta = torch.randn(dag.graph.num_edges, dtype=torch.float64)
        for omega in (Negentropy(0.7), Negentropy(0.2), SquaredL2(0.5)):
            torch.testing.assert_close(value(dag, theta, omega), dp_value(dag, theta, omega))


def test_compiled_shortcuts_and_layers():
    """Sizes may change from call to call: a graph is made for each while tracing."""
    step = traced(lambda t: viterbi_value(t).sum() + viterbi_grad(t, Negentropy(0.5)).square().sum())
    warp = traced(lambda c: dtw_value(c, Negentropy(0.1)))
    crf = LinearChainCRF(3)
    train = traced(lambda e, y, n: -crf(e, y, n).mean())
    for T in (3, 4, 5):
        theta = torch.randn(2, T, 3, 3, requires_grad=True)
        torch.testing.assert_close(
            step(theta), viterbi_value(theta).sum() + viterbi_grad(theta, Negentropy(0.5)).square().sum()
        )
        cost = torch.rand(2, T, 4)
        torch.testing.assert_close(warp(cost), dtw_value(cost, Negentropy(0.1)))
        emission, tags, lengths = torch.randn(2, T, 3), torch.randint(0, 3, (2, T)), torch.tensor([T, 2])
        loss = train(emission, tags, lengths)
        torch.testing.assert_close(loss, -crf(emission, tags, lengths).mean())
        loss.backward()
    with pytest.raises(InputError, match="end -1 is no node"):
        traced(crf.value)(emission, torch.tensor([0, 9]))


def test_compiled_without_gradients_runs_the_value_alone():
    dag = compile(GRAPHS["parallel edges"]())
    seen = []

    def backend(module, _):
        seen.extend(str(node.target) for node in module.graph.nodes)
        return module

    torch._dynamo.reset()
    value = torch.compile(lambda t: dp_value(dag, t), fullgraph=True, backend=backend)
    value(torch.zeros(5))
    assert "dagdp.value.default" in " ".join(seen) and "dagdp.gradient" not in " ".join(seen)
    value(torch.zeros(5, requires_grad=True)).backward()
    assert "dagdp.gradient" in " ".join(seen)


def test_compiled_vmap():
    dag = compile(GRAPHS["parallel edges"]())
    theta = torch.randn(4, 5, dtype=torch.float64)
    mapped = traced(lambda t: torch.func.vmap(lambda row: dp_value(dag, row))(t))
    leaf = theta.clone().requires_grad_()
    mapped(leaf).sum().backward()
    torch.testing.assert_close(leaf.grad, dp_grad(dag, theta))
    torch._dynamo.reset()


def test_one_trace_serves_every_batch_size():
    """Nothing on the way compares a traced size with a number or hashes it; 0 and 1 are special to torch."""
    dag, crf = compile(GRAPHS["chain"]()), LinearChainCRF(3)

    def chain(size):
        theta = {k: torch.tensor(a) for k, a in random_theta(dag.graph, np.random.default_rng(0), (size,)).items()}
        return {**theta, "transition": theta["transition"][0]}, torch.full((size,), 13)

    def tagged(size):
        return torch.rand(size, 4, 3), torch.ones(size, 4).long(), torch.full((size,), 2)

    cases = [
        (lambda theta, end: dp_grad(dag, theta, end=end)["transition"], chain),
        (dtw_value, lambda size: (torch.rand(size, 3, 4),)),
        (viterbi_grad, lambda size: (torch.rand(size, 3, 2, 2),)),
        (lambda emission, tags, lengths: -crf(emission, tags, lengths), tagged),
    ]
    for function, given in cases:
        torch._dynamo.reset()
        count = CompileCounterWithBackend("aot_eager")
        dynamic = torch.compile(function, fullgraph=True, dynamic=True, backend=count)
        for inputs in map(given, (6, 7, 9)):  # sizes that are equal in the first call share a symbol
            torch.testing.assert_close(dynamic(*inputs), function(*inputs))
        assert count.frame_count == 1
    torch._dynamo.reset()


def test_training_through_graphs_and_operators_that_a_closure_holds():
    """What was a constant in the first trace is a symbol in the next: a serial must arrive as a number all the same."""

    def loss_of(dag, omega):
        def loss(theta):
            return dp_grad(dag, theta, omega).square().sum()

        return loss

    torch._dynamo.reset()
    theta = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    for omega in (SquaredL2(0.5), SquaredL2(0.7)):
        for dag in (compile(GRAPHS["parallel edges"]()), compile(GRAPHS["parallel edges"]())):
            loss = loss_of(dag, omega)
            closed = torch.compile(loss, fullgraph=True, backend="aot_eager")
            got, want = (torch.autograd.grad(function(theta), theta) for function in (closed, loss))
            torch.testing.assert_close(got, want)
    torch._dynamo.reset()


def test_inductor():
    """torch's own compiler, with code around ours: the rest of this file stops at its tracer, which needs no C++."""
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        pytest.skip("torch.compile's inductor needs a C++ compiler, and there is none (set CXX, or install g++)")
    dag = compile(GRAPHS["parallel edges"]())

    def loss(x, weight):
        value, path = dagdp.dp_value_and_grad(dag, torch.tanh(x @ weight), SquaredL2(0.5))
        return value.sum() + path.square().sum()

    torch._dynamo.reset()
    built = torch.compile(loss, fullgraph=True, dynamic=True)
    weight = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    for size in (2, 5):
        x = torch.randn(size, 2, dtype=torch.float64)
        got, want = built(x, weight), loss(x, weight)
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(torch.autograd.grad(got, weight), torch.autograd.grad(want, weight))
    torch._dynamo.reset()


def test_a_second_derivative_through_a_compiled_graph_raises():
    dag = compile(GRAPHS["parallel edges"]())
    theta = torch.randn(5, requires_grad=True)
    (first,) = torch.autograd.grad(traced(lambda t: dp_value(dag, t))(theta), theta, create_graph=True)
    with pytest.raises(RuntimeError, match=r"does not currently support double backward|does not require grad"):
        first.square().sum().backward()


@pytest.mark.parametrize("transform", ["grad", "jvp", "hessian"])
def test_transforms_inside_a_compiled_function(transform):
    """As a whole graph they are an error with its mend, never a tangent of 0; else the tracer leaves them to Python."""
    dag = compile(GRAPHS["parallel edges"]())
    theta, z = torch.randn(2, 5, dtype=torch.float64).unbind()
    routes = {
        "grad": lambda t: torch.func.grad(lambda t: dp_value(dag, t))(t),
        "jvp": lambda t: torch.func.jvp(lambda t: dp_value(dag, t), (t,), (z,))[1],
        "hessian": lambda t: torch.func.hessian(lambda t: dp_value(dag, t))(t),
    }
    with pytest.raises(Unsupported, match="compile dp_grad, dp_jvp or dp_hvp, or transform the function without"):
        traced(routes[transform])(theta)
    torch._dynamo.reset()
    loose = torch.compile(routes[transform], backend="aot_eager")(theta)
    torch.testing.assert_close(loose, routes[transform](theta))
    torch._dynamo.reset()


def test_forward_mode_through_a_compiled_function_raises():
    """Traced before there was a tangent: torch would go on with none, which is a derivative of 0."""
    dag = compile(GRAPHS["parallel edges"]())
    theta, z = torch.randn(2, 5, dtype=torch.float64).unbind()
    for function in (dp_value, dp_grad, lambda dag, t: dagdp.dp_jvp(dag, t, t), lambda dag, t: dagdp.dp_hvp(dag, t, t)):
        built = traced(lambda t, function=function: function(dag, t))
        built(theta)
        with forward_ad.dual_level(), pytest.raises(DerivativeError, match="transform the function without compiling"):
            built(forward_ad.make_dual(theta, z))
    torch._dynamo.reset()


def test_import_and_training_leave_torchs_compiler_unloaded():
    """It takes longer to import than torch itself, and each spawned worker would pay."""
    code = """if True:
        import sys, torch
        by_torch = "torch._dynamo" in sys.modules
        import dagdp.nn
        assert by_torch or "torch._dynamo" not in sys.modules, "by the import"
        crf, emission = dagdp.nn.LinearChainCRF(2), torch.zeros(2, 3, 2, requires_grad=True)
        (crf(emission, torch.zeros(2, 3, dtype=torch.long)) + crf.marginals(emission).sum((1, 2))).sum().backward()
        assert by_torch or "torch._dynamo" not in sys.modules, "by a step of training"
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_constant_is_marked_as_torch_marks_it():
    ours, theirs = lambda: 1, lambda: 1
    assert operators.constant_when_traced(ours) is ours
    torch.compiler.assume_constant_result(theirs)
    assert vars(ours) == vars(theirs) != {}
