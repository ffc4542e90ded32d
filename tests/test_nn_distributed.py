"""Two ranks over gloo against one process: DistributedDataParallel, FSDP, checkpoints, and the script of the manual."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("torch was built without gloo", allow_module_level=True)

import distributed_model as model  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import dagdp  # noqa: E402
from dagdp.graphs import ctc_loss  # noqa: E402
from dagdp.graphs.ragged.compiled_cache import GraphCache  # noqa: E402
from dagdp.nn import DTW, DPValue, LinearChainCRF, Viterbi  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how-to" / "distributed.md"
FORMS = ["ddp", "ddp, checkpoints", "fsdp"]


@pytest.fixture(scope="module")
def alone():
    """One process with the joint batches; kernels are compiled here, before ranks are forked."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield model.train(model.build(), [first + second for first, second in model.SHARES], 0, model.plain)
    torch.set_num_threads(threads)


@pytest.fixture(
    scope="module", params=["fork", pytest.param("spawn", marks=pytest.mark.exhaustive)]
)  # a spawned rank imports torch and Numba
def ranks(request, alone, tmp_path_factory):
    """What each rank found: by form a dict of losses, gradients and parameters."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.start_processes(
        model.rank_main, (str(folder),), nprocs=model.WORLD, start_method=request.param
    )
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(model.WORLD)]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("form", FORMS)
def test_two_ranks_are_one_process(form, alone, ranks):
    """Ragged batches of other sizes and graphs in each rank; every layer and loss is in the model."""
    for rank in ranks:
        found = rank[form]
        torch.testing.assert_close(found["gradients"], alone.gradients, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(found["parameters"], alone.parameters, rtol=1e-6, atol=1e-6)
        assert found["losses"] == pytest.approx(alone.losses, rel=1e-9)
    assert all(gradient.abs().max() > 1e-3 for gradient in alone.gradients.values())
    assert alone.losses[-1] < alone.losses[0]


def sequences(length):
    """The layers on data of this length, each as (function, arguments)."""
    draw = torch.Generator().manual_seed(length)
    emission = torch.randn(2, length, 3, generator=draw, dtype=torch.float64, requires_grad=True)
    crf = LinearChainCRF(3).double()
    lengths, tags = torch.tensor([length, length - 1]), torch.zeros(2, length, dtype=torch.int64)
    labels = torch.tensor([[1], [2]])

    def ctc(x):
        return ctc_loss(x.log_softmax(-1).transpose(0, 1), labels, lengths, torch.tensor([1, 1]))

    return emission, [
        lambda x: crf(x, tags, lengths).sum(),
        lambda x: crf.marginals(x, lengths).square().sum(),
        lambda x: Viterbi()(x.unsqueeze(-1) * torch.ones(3, dtype=x.dtype), lengths).sum(),
        lambda x: DTW()(x, lengths=(lengths, 3)).sum(),
        ctc,
    ]


def test_recomputation_under_checkpoints_takes_the_graph_of_the_forward_pass():
    """A size that comes again and again gets a graph of its own, but not between a forward pass and its recomputation.

    Each call twice: sizes are counted by calls.
    """
    for length in (9, 6, *[7] * 12, 6, 7):
        emission, functions = sequences(length)
        for function in functions:
            (wanted,) = torch.autograd.grad(function(emission), emission)
            (found,) = torch.autograd.grad(checkpoint(function, emission, use_reentrant=False), emission)
            torch.testing.assert_close(found, wanted)


def test_the_graph_of_a_size_is_kept_inside_checkpoints_alone():
    def steps(cache, count):
        return [
            cache.serving(dagdp.graphs.trellis, (T,), (2,), (2, "single", True)).potentials[0].shape[0] for T in count
        ]

    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        assert steps(GraphCache(), [9, *[5] * 9]) == [9, *[8] * 9]
    assert steps(GraphCache(), [9, *[5] * 9]) == [9, *[8] * 7, 5, 5]


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_arrays_of_tensors_leave_memory_to_fsdp(shape):
    """FSDP was imported by this file."""
    from dagdp.nn.autograd.tensors import array_of

    tensor = torch.nn.Parameter(torch.ones(shape))
    array = array_of(tensor)
    assert array.shape == shape and array.dtype == "float32" and array.flags.writeable
    assert tensor.untyped_storage().resizable()


def test_no_call_forbids_that_a_parameters_memory_is_freed():
    dag = dagdp.compile(dagdp.Graph.from_edges(*model.FIXED))
    crf, theta = LinearChainCRF(3), torch.nn.Parameter(torch.zeros(len(model.FIXED[0])))
    emission = torch.nn.Parameter(torch.zeros(2, 4, 3))
    for _ in range(2):
        (
            DPValue(dag)(theta) + dagdp.dp_grad(dag, theta).sum() - crf(emission, torch.zeros(2, 4).long()).sum()
        ).backward()
        crf.marginals(emission).sum().backward()
        with torch.no_grad():
            DPValue(dag)(theta), crf.value(emission), crf.decode(emission)
    assert all(own.untyped_storage().resizable() for own in (theta, emission, *crf.parameters()))


@pytest.mark.exhaustive
def test_the_script_of_the_manual_runs_under_torchrun(tmp_path):
    """On one process and on two it prints equal losses."""
    (script,) = re.findall(r"```py\n(# train\.py\n.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    (tmp_path / "train.py").write_text(script, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    printed = []
    for count in (1, 2):
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={count}",
            "train.py",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout.splitlines())
    assert len(printed[0]) > 3 and printed[0] == printed[1]
