"""How many nanoseconds an edge costs, beside a plain scalar Numba loop over the same graph in the same run.

Usage: python tests/bench/bench_engine.py [--quick] [--write] [case ...]

The rival is what one writes by hand for one graph: nodes in topological order, incoming edges in CSR, the
weights Q stored on every edge, libm's exp, samples one after another (Algorithms 1 and 2 of the paper).
It is compiled with the same flags. Both run on one thread, turn by turn; each figure is a median.
--write puts the table, with the machine it came from, into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

import dagdp
from dagdp import Graph, HardMax, Negentropy, SquaredL2, Tsallis
from dagdp.graphs import dtw_grid, trellis

OPTIONS = {"error_model": "numpy", "nogil": True, "fastmath": {"contract", "nsz", "arcp"}}


# ------------------------------------------------------------------------------------------------ the rival


@numba.njit(**OPTIONS)
def solve_hard(x, d, q, s, gamma):
    best = 0
    for k in range(1, d):
        if x[k] > x[best]:
            best = k
    for k in range(d):
        q[k] = 0
        s[k] = 0
    q[best] = 1
    return x[best]


@numba.njit(**OPTIONS)
def solve_negentropy(x, d, q, s, gamma):
    m = x[0]
    for k in range(1, d):
        m = max(m, x[k])
    z = x.dtype.type(0)
    for k in range(d):
        q[k] = math.exp((x[k] - m) / gamma)
        z += q[k]
    for k in range(d):
        q[k] /= z
        s[k] = q[k]
    return m + gamma * math.log(z)


@numba.njit(**OPTIONS)
def solve_squared(x, d, q, s, gamma):
    real = x.dtype.type
    m = x[0]
    for k in range(1, d):
        m = max(m, x[k])
    a = -real(1)  # tau = m + gamma a: from the maximum, or float32 rounding of large values keeps Newton from ending
    while True:
        total = real(0)
        slope = real(0)
        for k in range(d):
            y = (x[k] - m) / gamma - a
            if y > 0:
                total += y
                slope += real(1)
        step = (total - real(1)) / slope
        if step <= real(1e-6):
            break
        a += step
    energy = real(0)
    for k in range(d):
        q[k] = max((x[k] - m) / gamma - a, real(0))
        s[k] = real(1) if q[k] > 0 else real(0)
        energy += q[k] * q[k]
    return m + gamma * (a + real(0.5) * energy)


@numba.njit(**OPTIONS)
def solve_tsallis(x, d, q, s, gamma):
    # alpha = 1.5: link(y) = (y/2 + 2/3)^2, the special case a specialist would write out
    real = x.dtype.type
    m = x[0]
    for k in range(1, d):
        m = max(m, x[k])
    a = -real(2) / real(3)
    while True:
        total = real(0)
        slope = real(0)
        for k in range(d):
            base = real(0.5) * ((x[k] - m) / gamma - a) + real(2) / real(3)
            if base > 0:
                total += base * base
                slope += base
        step = (total - real(1)) / slope
        if step <= real(1e-6):
            break
        a += step
    energy = real(0)
    for k in range(d):
        base = max(real(0.5) * ((x[k] - m) / gamma - a) + real(2) / real(3), real(0))
        q[k] = base * base
        s[k] = base
        energy += base * base * base
    return m + gamma * (a + energy * real(2) / real(3))


def rival(solve: Any) -> dict[str, Any]:
    """The three passes for one operator, over in-CSR arrays in topological order."""

    @numba.njit(**OPTIONS)
    def value(order, ptr, parent, entry, theta, sign, gamma, out):
        v = np.empty(ptr.size - 1, theta.dtype)
        x, q, s = np.empty(64, theta.dtype), np.empty(64, theta.dtype), np.empty(64, theta.dtype)
        for b in range(theta.shape[0]):
            for i in order:
                d = ptr[i + 1] - ptr[i]
                if d == 0:
                    v[i] = 0
                    continue
                for k in range(d):
                    e = entry[ptr[i] + k]
                    x[k] = v[parent[ptr[i] + k]] + (sign * theta[b, e] if e >= 0 else theta.dtype.type(0))
                v[i] = solve(x, d, q, s, gamma)
            out[b] = sign * v[order[-1]]

    @numba.njit(**OPTIONS)
    def grad(order, ptr, parent, entry, theta, sign, gamma, out, E):
        v = np.empty(ptr.size - 1, theta.dtype)
        Q = np.empty(parent.size, theta.dtype)
        x, s = np.empty(64, theta.dtype), np.empty(64, theta.dtype)
        bar = np.empty(ptr.size - 1, theta.dtype)
        for b in range(theta.shape[0]):
            for i in order:
                d = ptr[i + 1] - ptr[i]
                if d == 0:
                    v[i] = 0
                    continue
                for k in range(d):
                    e = entry[ptr[i] + k]
                    x[k] = v[parent[ptr[i] + k]] + (sign * theta[b, e] if e >= 0 else theta.dtype.type(0))
                v[i] = solve(x, d, Q[ptr[i] : ptr[i + 1]], s, gamma)
            out[b] = sign * v[order[-1]]
            bar[:] = 0
            bar[order[-1]] = 1
            for i in order[::-1]:
                for k in range(ptr[i], ptr[i + 1]):
                    flow = Q[k] * bar[i]
                    bar[parent[k]] += flow
                    if entry[k] >= 0:
                        E[b, entry[k]] += flow

    @numba.njit(**OPTIONS)
    def hvp(order, ptr, parent, entry, theta, z, sign, gamma, H):
        real = theta.dtype.type
        v = np.empty(ptr.size - 1, theta.dtype)
        v_dot = np.empty(ptr.size - 1, theta.dtype)
        Q, Q_dot = np.empty(parent.size, theta.dtype), np.empty(parent.size, theta.dtype)
        x, s, x_dot = np.empty(64, theta.dtype), np.empty(64, theta.dtype), np.empty(64, theta.dtype)
        bar, bar_dot = np.empty(ptr.size - 1, theta.dtype), np.empty(ptr.size - 1, theta.dtype)
        for b in range(theta.shape[0]):
            for i in order:
                d = ptr[i + 1] - ptr[i]
                if d == 0:
                    v[i] = 0
                    v_dot[i] = 0
                    continue
                for k in range(d):
                    e = entry[ptr[i] + k]
                    x[k] = v[parent[ptr[i] + k]] + (sign * theta[b, e] if e >= 0 else real(0))
                    x_dot[k] = v_dot[parent[ptr[i] + k]] + (z[b, e] if e >= 0 else real(0))
                v[i] = solve(x, d, Q[ptr[i] : ptr[i + 1]], s, gamma)
                mean = real(0)
                total = real(0)
                v_dot[i] = 0
                for k in range(d):
                    v_dot[i] += Q[ptr[i] + k] * x_dot[k]
                    mean += s[k] * x_dot[k]
                    total += s[k]
                mean = mean / total if total > 0 else real(0)
                for k in range(d):
                    Q_dot[ptr[i] + k] = s[k] * (x_dot[k] - mean) / gamma
            bar[:] = 0
            bar_dot[:] = 0
            bar[order[-1]] = 1
            for i in order[::-1]:
                for k in range(ptr[i], ptr[i + 1]):
                    flow_dot = Q_dot[k] * bar[i] + Q[k] * bar_dot[i]
                    bar[parent[k]] += Q[k] * bar[i]
                    bar_dot[parent[k]] += flow_dot
                    if entry[k] >= 0:
                        H[b, entry[k]] += sign * flow_dot

    return {"value": value, "value+grad": grad, "hvp": hvp}


RIVALS = {HardMax: rival(solve_hard), Negentropy: rival(solve_negentropy), SquaredL2: rival(solve_squared)}
RIVALS[Tsallis] = rival(solve_tsallis)


# ------------------------------------------------------------------------------------------------ the cases


def random_dag(nodes: int = 333_334, fan_in: int = 3, seed: int = 0) -> Graph:
    """Every node but the first has three parents among the nodes before it, most of them recent."""
    rng = np.random.default_rng(seed)
    children = np.repeat(np.arange(1, nodes), fan_in)
    parents = np.minimum((children * rng.random(children.size) ** 0.2).astype(np.int64), children - 1)
    return Graph.from_edges(parents, children, starts=[0], ends=[nodes - 1])


#: name -> (graph, shape of theta, minimise, what is counted, how many)
CASES: dict[str, tuple[Callable[[], Graph], tuple[int, ...], bool, str, int]] = {
    "DTW 32 x 256 x 256": (lambda: dtw_grid(256, 256), (32, 256, 256), True, "cell", 32 * 256 * 256),
    "DTW 1 x 1024 x 1024": (lambda: dtw_grid(1024, 1024), (1, 1024, 1024), True, "cell", 1024 * 1024),
    "trellis 32 x 128 x 16": (lambda: trellis(128, 16), (32, 128, 16, 16), False, "edge", 32 * 128 * 16 * 16),
    "trellis 32 x 512 x 5": (lambda: trellis(512, 5), (32, 512, 5, 5), False, "edge", 32 * 512 * 5 * 5),
    "random 1e6 edges, batch 1": (random_dag, (1, 999_999), False, "edge", 999_999),
    "random 1e6 edges, batch 16": (random_dag, (16, 999_999), False, "edge", 16 * 999_999),
}
OMEGAS = (HardMax(), Negentropy(1.0), SquaredL2(1.0), Tsallis(1.5, 1.0))


def in_csr(graph: Graph) -> tuple[np.ndarray, ...]:
    """(order, ptr, parent, entry): the user's nodes in topological order, edges grouped by child."""
    parents, children = graph.edges()
    by_child = np.argsort(children, kind="stable")
    ptr = np.concatenate([[0], np.cumsum(np.bincount(children, minlength=graph.num_nodes))])
    order = np.arange(graph.num_nodes)  # every case numbers its nodes topologically
    entry = graph.potentials()[0].index[by_child]
    return order, ptr, parents[by_child].astype(np.int32), entry.astype(np.int32)


def interleaved(first: Callable[[], Any], second: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median seconds of each, turn by turn, after one call to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for call, log in zip((first, second), times, strict=True):
            begin = time.perf_counter()
            call()
            if turn:
                log.append(time.perf_counter() - begin)
    return statistics.median(times[0]), statistics.median(times[1])


def measure(name: str, omega: Any, dtype: str, repeats: int) -> list[tuple[str, float, float]]:
    """[(pass, our ns, the rival's ns)] an edge or cell."""
    build, shape, minimize, _, units = CASES[name]
    graph = build()
    dag = dagdp.compile(graph)
    rng = np.random.default_rng(0)
    theta, z = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    flat, flat_z = theta.reshape(shape[0], -1), z.reshape(shape[0], -1)
    real = np.dtype(dtype).type
    csr, sign, gamma = in_csr(graph), real(-1 if minimize else 1), real(omega.gamma)
    passes = RIVALS[type(omega)]
    out = np.empty(shape[0], dtype)
    options = {"minimize": minimize, "threads": 1}
    ours = {
        "value": lambda: dagdp.dp_value(dag, theta, omega, **options),
        "value+grad": lambda: dagdp.dp_value_and_grad(dag, theta, omega, **options),
        "hvp": lambda: dagdp.dp_hvp(dag, theta, z, omega, **options),
    }
    theirs = {
        "value": lambda: passes["value"](*csr, flat, sign, gamma, out),
        "value+grad": lambda: passes["value+grad"](*csr, flat, sign, gamma, out, np.zeros_like(flat)),
        "hvp": lambda: passes["hvp"](*csr, flat, flat_z, sign, gamma, np.zeros_like(flat)),
    }
    theirs["value"]()
    assert np.allclose(ours["value"](), out, rtol=1e-3), "the rival computes something else"
    rows = []
    for what in ours:
        seconds = interleaved(ours[what], theirs[what], repeats)
        rows.append((what, *(1e9 * s / units for s in seconds)))
    return rows


def table(names: list[str], repeats: int) -> list[str]:
    """Markdown rows, printed as they come."""
    head = "| case | per | operator | dtype | " + " | ".join(
        f"{w} ns (scalar, ratio)" for w in ("value", "value+grad", "hvp")
    )
    lines = [head + " |", "|---|---|---|---|---|---|---|"]
    print("\n".join(lines))
    for name in names:
        for omega in OMEGAS:
            for dtype in ("float32", "float64"):
                rows = measure(name, omega, dtype, repeats)
                cells = [f"{a:.2f} ({b:.1f}, {b / a:.1f}x)" for _, a, b in rows]
                lines.append(f"| {name} | {CASES[name][3]} | {type(omega).__name__} | {dtype} | {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Run the chosen cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="substrings of case names; default all")
    parser.add_argument("--quick", action="store_true", help="3 repetitions instead of 9")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    names = [name for name in CASES if not options.cases or any(part in name for part in options.cases)]
    lines = table(names, 3 if options.quick else 9)
    if options.write:
        write(lines, 3 if options.quick else 9)


def write(lines: list[str], repeats: int) -> None:
    """docs/benchmarks.md with the machine the figures came from."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = found[0] if found else model
    text = f"""# Benchmarks

Written by `tests/bench/bench_engine.py --write`. Nanoseconds per edge (per cell for DTW, which has three edges a
cell), one thread, medians of {repeats} interleaved repetitions; in brackets a plain scalar Numba loop over the same
graph in the same run, and its time as a multiple of ours. Machine: {model}, Python {platform.python_version()}, Numba
{numba.__version__}, NumPy {np.__version__}. Machines are shared: read single figures as +-30 %.

"""
    page = Path(__file__).parents[2] / "docs" / "benchmarks.md"
    _, heading, others = page.read_text().partition("\n## ")  # other scripts' tables stay
    page.write_text(text + "\n".join(lines) + "\n" + heading + others)


if __name__ == "__main__":
    main()
