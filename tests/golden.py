"""Golden bits: digests of what some hundred calls give, kept in golden.json, so that no edit changes a bit unseen.

Usage: python tests/golden.py --record "why bits are others now"

Only this machine's record is written anew; the reason is kept in the file beside the date and the number of digests
that changed. test_golden.py holds every run of the suite to the record.

Bits hang on what LLVM makes of a kernel. A record is named by the machine's architecture, by the features that decide
on fused multiply-add and on the width of vectors, and by the versions of Numba and llvmlite, each of which brings an
LLVM of its own. The processor's name is left out: no kernel has an approximate reciprocal, and LLVM's tuning for a
processor was not seen to change a bit (docs/decisions.md). NumPy, which only adds rows of partial sums, one after
another, is left out too.

Inputs are twelve bits of PCG64's raw stream, which NumPy promises to keep, over 512: exact in both types.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from cases import BUNDLED, GRAPHS

import dagdp
from dagdp import Graph, HardMax, Negentropy, Omega, SquaredL2, Tsallis
from dagdp.graphs import dtw_grid, linear_chain, trellis

FOLDER = Path(__file__).resolve().parent
FILE = FOLDER / "golden.json"
COMMAND = 'python tests/golden.py --record "why"'
DECISIVE = ("avx", "avx2", "avx512f", "fma", "neon", "sve")
ENTROPY, SQUARED, SPARSE = Negentropy(0.75), SquaredL2(0.5), Tsallis(1.5, 0.75)


def machine() -> str:
    """The name of this machine's record."""
    from numba.core.registry import cpu_target

    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    found = sorted({feature[1:] for feature in features.split(",") if feature.startswith("+")} & {*DECISIVE})
    versions = (f"{m.__name__} {'.'.join(m.__version__.split('.')[:2])}" for m in (numba, llvmlite))
    return ", ".join([" ".join([triple.split("-")[0], *found]), *versions])


def numbers(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """Multiples of 1/512 in [-4, 4), the same for a name on every machine."""
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape)))
    return (((raw >> np.uint64(52)).astype(np.int64) - 2048) / 512).astype(dtype).reshape(shape)


def weights(name: str, graph: Graph, batch: tuple[int, ...], dtype: str, shared: tuple[str, ...] = ()) -> Any:
    """theta, or z, of a graph: an array, or a dict where potentials have names."""
    arrays = {
        p.name: numbers(f"{name} {p.name}", (*(() if p.name in shared else batch), *p.shape), dtype)
        for p in graph.potentials()
    }
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def sparse(nodes: int = 600) -> Graph:
    """A path through all nodes, and two more edges from anywhere before into each."""
    raw = np.random.PCG64(5).random_raw(2 * nodes).reshape(2, nodes) >> np.uint64(32)
    child = np.arange(1, nodes)
    parents = [child - 1, *(row[1:].astype(np.int64) % child for row in raw)]
    return Graph.from_edges(np.concatenate(parents), np.tile(child, 3), starts=[0], ends=[nodes - 1])


LARGE: dict[str, Callable[[], Graph]] = {
    "dtw 40 x 30": lambda: dtw_grid(40, 30),
    "trellis 40 x 8": lambda: trellis(40, 8),
    "chain 30 x 6": lambda: linear_chain(30, 6),
    "sparse": sparse,
}


def calls() -> dict[str, Callable[[int], Any]]:
    """Name -> what a call gives with so many threads."""
    return dict([*small_calls(), *large_calls(), *ragged_calls(), *side_by_side_calls()])


def asked(
    function: str, label: str, graph: Graph, omega: Omega, dtype: str, batch: tuple[int, ...], **options: Any
) -> tuple[str, Callable[[int], Any]]:
    """One call and its name."""
    shared = options.pop("shared", ())
    said = "".join(f", {key}" for key in ("end", "minimize") if key in options) + ", shared" * bool(shared)
    name = f"{label}, {omega!r}, {dtype}, batch {batch}{said}, {function}"

    def call(threads: int) -> Any:
        given = [weights(f"{label} {what}", graph, batch, dtype, shared) for what in ("theta", "z")]
        taken = given if function in ("dp_hvp", "dp_jvp") else given[:1]
        return getattr(dagdp, function)(dagdp.compile(graph), *taken, omega, threads=threads, **options)

    return name, call


def small_calls() -> Iterator[tuple[str, Callable[[int], Any]]]:
    """Each small graph under each operator, functions and batches taking turns."""
    for i, (label, build) in enumerate(GRAPHS.items()):
        options = {"minimize": True} if label in ("grid", "wide") else {}
        for j, omega in enumerate(BUNDLED):
            batch, function = ((), (3,), (17,))[(i + j) % 3], ("dp_value_and_grad", "dp_hvp")[(i + j // 2) % 2]
            yield asked(function, label, build(), omega, "float64", batch, **options)
    for label in ("two starts, two ends", "trellis"):
        for function in ("dp_value", "dp_jvp"):
            for omega in BUNDLED[1:4]:
                yield asked(function, label, GRAPHS[label](), omega, "float64", ())


def large_calls() -> Iterator[tuple[str, Callable[[int], Any]]]:
    """Graphs that reach further ways through the kernels: rows of nodes, rows of samples, tied and gathered levels."""
    graphs = {label: build() for label, build in LARGE.items()}
    for dtype in ("float32", "float64"):
        for function in ("dp_value_and_grad", "dp_hvp"):
            yield asked(function, "dtw 40 x 30", graphs["dtw 40 x 30"], ENTROPY, dtype, (), minimize=True)
            yield asked(function, "dtw 40 x 30", graphs["dtw 40 x 30"], ENTROPY, dtype, (17,), minimize=True)
            yield asked(function, "trellis 40 x 8", graphs["trellis 40 x 8"], ENTROPY, dtype, (16,))
            yield asked(
                function, "chain 30 x 6", graphs["chain 30 x 6"], ENTROPY, dtype, (17,), shared=("transition", "start")
            )
            yield asked(function, "sparse", graphs["sparse"], ENTROPY, dtype, ())
        yield asked("dp_value_and_grad", "sparse", graphs["sparse"], ENTROPY, dtype, (17,))
    for omega in (HardMax(), SQUARED, SPARSE):
        yield asked("dp_value_and_grad", "dtw 40 x 30", graphs["dtw 40 x 30"], omega, "float64", (), minimize=True)
        yield asked("dp_value_and_grad", "trellis 40 x 8", graphs["trellis 40 x 8"], omega, "float64", (17,))
        yield asked("dp_hvp", "sparse", graphs["sparse"], omega, "float64", ())


def ragged_calls() -> Iterator[tuple[str, Callable[[int], Any]]]:
    """Items of a batch that end at nodes of their own."""
    graph = dtw_grid(6, 5)
    ends = np.array([1 + (n - 1) * 5 + m - 1 for n, m in [(6, 5), (3, 4), (1, 1), (6, 1), (2, 5)] * 4])
    for omega in (HardMax(), ENTROPY, SQUARED):
        for function in ("dp_value_and_grad", "dp_hvp"):
            yield asked(function, "dtw 6 x 5", graph, omega, "float64", (20,), end=ends, minimize=True)


def side_by_side_calls() -> Iterator[tuple[str, Callable[[int], Any]]]:
    """Different graphs in one call."""
    graphs = [GRAPHS[label]() for label in ("one edge", "parallel edges", "dead ends", "wide")]
    batch = functools.cache(lambda: dagdp.compile_batch(graphs))  # not while pytest collects
    for omega in (HardMax(), ENTROPY, SQUARED):
        for function in ("dp_value_and_grad", "dp_hvp"):

            def call(threads: int, omega: Omega = omega, function: str = function) -> Any:
                given = [
                    [weights(f"{what} {k}", graph, (), "float64") for k, graph in enumerate(graphs)]
                    for what in ("theta", "z")
                ]
                taken = given if function == "dp_hvp" else given[:1]
                return getattr(dagdp, function)(batch(), *taken, omega, threads=threads)

            yield f"four graphs side by side, {omega!r}, float64, {function}", call


def digest(result: Any) -> str:
    """Sixteen digits of the SHA-256 of all arrays: type, shape and bits."""
    total = hashlib.sha256()
    for array in leaves(result):
        total.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return total.hexdigest()[:16]


def leaves(result: Any) -> Iterator[Any]:
    """Arrays of tuples, lists and dicts, in order."""
    if isinstance(result, tuple | list | dict):
        for part in result.values() if isinstance(result, dict) else result:
            yield from leaves(part)
    else:
        yield np.asarray(result)


def records() -> dict[str, Any]:
    """What golden.json holds: machine -> {"log": [...], "bits": {call: digest}}."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def record(reason: str) -> str:
    """Write this machine's record anew; what was done, in words."""
    package = Path(str(dagdp.__file__)).resolve()
    if not package.is_relative_to(FOLDER.parent):
        raise SystemExit(f"dagdp was imported from {package}; expected it in {FOLDER.parent}: set PYTHONPATH to that")
    known, name = records(), machine()
    before = known.get(name, {"log": [], "bits": {}})
    bits = {call: digest(run(1)) for call, run in calls().items()}
    changed = sum(before["bits"].get(call) != found for call, found in bits.items())
    entry = {"date": time.strftime("%Y-%m-%d"), "reason": reason, "changed": changed}
    known[name] = {"log": [*before["log"], entry], "bits": bits}
    FILE.write_text(json.dumps(known, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return f"{name}: {len(bits)} digests, {changed} of them new or changed"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", metavar="REASON", required=True, help="why bits are others now")
    reason = parser.parse_args().record.strip()
    if not reason:
        parser.error("the reason is empty; say why bits are others now")
    sys.stdout.write(record(reason) + "\n")
