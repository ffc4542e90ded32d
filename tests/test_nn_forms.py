"""Tensors of a batch of different graphs: autograd through values [*batch, graphs] and back into the user's form."""

from __future__ import annotations

import numpy as np
import pytest
from cases import GRAPHS, random_theta

import dagdp
from dagdp import DerivativeError, InputError, Negentropy, SquaredL2, compile_batch
from dagdp.graphs import linear_chain

torch = pytest.importorskip("torch")
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

OWN_WEIGHTS = ["one edge", "parallel edges", "two starts, two ends", "dead ends"]
omegas = pytest.mark.parametrize("omega", [Negentropy(0.7), SquaredL2(0.5)], ids=repr)


def leaves(graphs, batch=(), dtype="float64"):
    rng = np.random.default_rng(0)
    return [torch.tensor(random_theta(graph, rng, batch, dtype), requires_grad=True) for graph in graphs]


@omegas
@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
def test_values_twice_and_paths_once(omega, batch):
    """Each graph's upstream gradient scales its own entries."""
    graphs = [GRAPHS[name]() for name in OWN_WEIGHTS]
    compiled, theta = compile_batch(graphs), leaves(graphs, batch)

    def value(*tensors):
        return dagdp.dp_value(compiled, list(tensors), omega)

    def path(*tensors):
        return tuple(dagdp.dp_grad(compiled, list(tensors), omega))

    assert gradcheck(value, theta, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(value, theta, check_fwd_over_rev=True)
    assert gradcheck(path, theta, check_forward_ad=True)


def test_slopes_and_changes():
    graphs = [GRAPHS[name]() for name in OWN_WEIGHTS]
    compiled = compile_batch(graphs)
    theta = torch.cat(leaves(graphs)).detach().requires_grad_()
    z = torch.linspace(-1.0, 2.0, theta.numel(), dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda t, d: dagdp.dp_jvp(compiled, t, d), (theta, z), check_forward_ad=True)
    assert gradcheck(lambda d: dagdp.dp_hvp(compiled, theta.detach(), d), (z,))
    with pytest.raises(DerivativeError):
        dagdp.dp_hvp(compiled, theta, z).sum().backward()


def test_shared_potentials_get_the_sum_over_graphs():
    graphs = [linear_chain(T, 2) for T in (2, 4)]
    compiled = compile_batch(graphs, shared=["transition", "start", "end"])
    rng = np.random.default_rng(0)
    names = ("transition", "start", "end")
    common = [torch.tensor(rng.normal(size=shape), requires_grad=True) for shape in ((2, 2), (2,), (2,))]
    emission = [torch.tensor(rng.normal(size=(T, 2)), requires_grad=True) for T in (2, 4)]

    def weights(tensors):
        return {"emission": list(tensors[:2]), **dict(zip(names, tensors[2:], strict=True))}

    def path(*tensors):
        made = dagdp.dp_grad(compiled, weights(tensors))
        return (*made["emission"], *(made[name] for name in names))

    inputs = (*emission, *common)
    assert gradcheck(lambda *tensors: dagdp.dp_value(compiled, weights(tensors)), inputs)
    assert gradgradcheck(lambda *tensors: dagdp.dp_value(compiled, weights(tensors)), inputs)
    assert gradcheck(path, inputs)


def test_same_numbers_and_kinds_as_numpy():
    graphs = [GRAPHS[name]() for name in OWN_WEIGHTS]
    compiled, theta = compile_batch(graphs), leaves(graphs, (3,), "float32")
    arrays = [tensor.detach().numpy() for tensor in theta]
    value, path = dagdp.dp_value_and_grad(compiled, theta)
    ours, theirs = dagdp.dp_jvp_and_hvp(compiled, [t.detach() for t in theta], [t.detach() for t in theta])
    assert value.dtype == torch.float32 and value.shape == (3, 4) and path[1].dtype == torch.float32
    np.testing.assert_array_equal(value.detach().numpy(), dagdp.dp_value(compiled, arrays))
    slope, change = dagdp.dp_jvp_and_hvp(compiled, arrays, arrays)
    np.testing.assert_array_equal(ours.numpy(), slope)
    for g in range(4):
        np.testing.assert_array_equal(path[g].detach().numpy(), dagdp.dp_grad(compiled, arrays)[g])
        np.testing.assert_array_equal(theirs[g].numpy(), change[g])
    ends = [None, 1, None, None]
    np.testing.assert_array_equal(
        dagdp.dp_value(compiled, theta, end=ends).detach().numpy(), dagdp.dp_value(compiled, arrays, end=ends)
    )


def test_a_temperature_that_is_a_tensor():
    graphs = [GRAPHS[name]() for name in OWN_WEIGHTS]
    compiled, theta = compile_batch(graphs), leaves(graphs)
    gamma = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)

    def value(temperature, *tensors):
        return dagdp.dp_value(compiled, list(tensors), dagdp.nn.Learnable(Negentropy(), gamma=temperature))

    import dagdp.nn

    assert gradcheck(value, (gamma, *theta))


def test_torch_compile_is_refused_in_words():
    graphs = [GRAPHS[name]() for name in OWN_WEIGHTS]
    compiled, theta = compile_batch(graphs), leaves(graphs)
    with pytest.raises(Exception, match="cannot follow a batch of different graphs") as caught:
        torch.compile(lambda *tensors: dagdp.dp_value(compiled, list(tensors)), backend="eager", fullgraph=True)(*theta)
    assert isinstance(caught.value, InputError | torch._dynamo.exc.TorchDynamoException)


def test_weights_without_a_batch_have_a_product_for_each_direction():
    """Weights given as an array or a list are data; in a dict they are parameters, whose product is the sum."""
    batch = compile_batch([GRAPHS["parallel edges"](), GRAPHS["one edge"]()])
    generator = torch.manual_seed(0)
    theta = [torch.randn(dag.graph.num_edges, generator=generator).double() for dag in batch.dags]
    z = [torch.randn(3, dag.graph.num_edges, generator=generator).double() for dag in batch.dags]
    got = dagdp.dp_hvp(batch, theta, z, SquaredL2(0.5))
    for dag, weights, directions, product in zip(batch.dags, theta, z, got, strict=True):
        each = [dagdp.dp_hvp(dag, weights, one, SquaredL2(0.5)) for one in directions]
        torch.testing.assert_close(product, torch.stack(each))
