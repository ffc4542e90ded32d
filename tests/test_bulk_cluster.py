"""`dagdp.bulk` on two worker processes, one of which is killed in the middle."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

import dagdp

pytest.importorskip("distributed")
pytest.importorskip("zarr")

import distributed

from dagdp.bulk import Failure, map_graphs, pairwise

pytestmark = pytest.mark.filterwarnings("ignore")  # of workers that end, and of ports in use

DAG = dagdp.compile(dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]))


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50, memory_limit="1GiB"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def value(dag, theta):
    return float(dagdp.dp_value(dag, theta, dagdp.HardMax(), threads=1))


def fatal(dag, theta):
    """The worker process ends at item 5."""
    if theta[0] == 5.0:
        os._exit(1)
    return value(dag, theta)


def test_lattices_come_in_order_and_faults_are_reported(client):
    thetas = [np.full(3, float(k)) for k in range(50)]
    thetas[17] = np.ones(2)
    results = list(map_graphs(value, DAG, iter(thetas), client=client, chunk=4))
    assert isinstance(results[17], Failure) and isinstance(results[17].error, dagdp.InputError)
    assert [r for r in results if not isinstance(r, Failure)] == [2.0 * k for k in range(50) if k != 17]


def test_a_matrix_survives_a_killed_worker(client, tmp_path):
    """The scheduler gives the blocks of the lost worker to another one."""
    x = list(np.random.default_rng(0).normal(size=(60, 200)))
    want = pairwise(x, omega=dagdp.HardMax(), progress=False)
    record = tmp_path / "matrix.zarr.blocks"
    pids = sorted(client.run(os.getpid).values())
    killed = []

    def kill() -> None:
        while not (record.exists() and record.read_text().count("\n") > 4):
            time.sleep(0.005)
        os.kill(pids[0], signal.SIGKILL)
        killed.append(record.read_text().count("\n") - 1)

    threading.Thread(target=kill, daemon=True).start()
    out = tmp_path / "matrix.zarr"
    found = pairwise(x, omega=dagdp.HardMax(), out=out, block=5, client=client, progress=False)
    np.testing.assert_array_equal(found[:], want)
    assert killed and 4 <= killed[0] < 78  # of 78 blocks
    assert pids[0] not in client.run(os.getpid).values()


@pytest.mark.exhaustive
def test_an_item_that_ends_its_worker_is_reported(client):
    """Each of three allowed attempts costs a worker, which its nanny starts anew."""
    thetas = [np.full(3, float(k)) for k in range(8)]
    results = list(map_graphs(fatal, DAG, thetas, client=client, chunk=1))
    assert [isinstance(r, Failure) for r in results] == [k == 5 for k in range(8)]
    assert type(results[5].error).__name__ == "KilledWorker"


def test_an_asynchronous_client_is_told(client):
    class Asynchronous:
        asynchronous = True
        submit = nthreads = scheduler = None

    with pytest.raises(dagdp.InputError, match="asynchronous"):
        pairwise([[1.0]], client=Asynchronous())
