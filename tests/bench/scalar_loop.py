"""The rival for any graph: what one writes by hand in Numba, sample after sample (Algorithms 1 and 2 of the paper).

Nodes in topological order, incoming edges in CSR, the weights Q stored on every edge, libm's exp; compiled with the
flags that our own kernels use. Several ends are several graphs side by side: each has a value, and the gradient is
that of their sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from dagdp import Graph, HardMax, Negentropy, SquaredL2, Tsallis

OPTIONS = {"error_model": "numpy", "nogil": True, "fastmath": {"contract", "nsz", "arcp"}}
FAN_IN = 256  # the most incoming edges of a node


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
    def value(order, ptr, parent, entry, ends, theta, sign, gamma, out):
        v = np.empty(ptr.size - 1, theta.dtype)
        x, q, s = np.empty(FAN_IN, theta.dtype), np.empty(FAN_IN, theta.dtype), np.empty(FAN_IN, theta.dtype)
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
            for k in range(ends.size):
                out[b, k] = sign * v[ends[k]]

    @numba.njit(**OPTIONS)
    def grad(order, ptr, parent, entry, ends, theta, sign, gamma, out, E):
        v = np.empty(ptr.size - 1, theta.dtype)
        Q = np.empty(parent.size, theta.dtype)
        x, s = np.empty(FAN_IN, theta.dtype), np.empty(FAN_IN, theta.dtype)
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
            for k in range(ends.size):
                out[b, k] = sign * v[ends[k]]
            bar[:] = 0
            bar[ends] = 1
            for i in order[::-1]:
                for k in range(ptr[i], ptr[i + 1]):
                    flow = Q[k] * bar[i]
                    bar[parent[k]] += flow
                    if entry[k] >= 0:
                        E[b, entry[k]] += flow

    @numba.njit(**OPTIONS)
    def hvp(order, ptr, parent, entry, ends, theta, z, sign, gamma, H):
        real = theta.dtype.type
        v = np.empty(ptr.size - 1, theta.dtype)
        v_dot = np.empty(ptr.size - 1, theta.dtype)
        Q, Q_dot = np.empty(parent.size, theta.dtype), np.empty(parent.size, theta.dtype)
        x, s, x_dot = np.empty(FAN_IN, theta.dtype), np.empty(FAN_IN, theta.dtype), np.empty(FAN_IN, theta.dtype)
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
            bar[ends] = 1
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


def in_csr(graphs: list[Graph]) -> tuple[np.ndarray, ...]:
    """(order, ptr, parent, entry, ends) of graphs side by side whose nodes are numbered topologically."""
    parents, children, entries, ends = [], [], [], []
    nodes = edges = 0
    for graph in graphs:
        potential = graph.potentials()[0]
        p, c = graph.edges()
        parents.append(p + nodes)
        children.append(c + nodes)
        entries.append(np.where(potential.index >= 0, potential.index + edges, -1))
        nodes, edges = nodes + graph.num_nodes, edges + math.prod(potential.shape)
        ends.append(nodes - 1)
    parent, child, entry = (np.concatenate(part) for part in (parents, children, entries))
    by_child = np.argsort(child, kind="stable")
    counts = np.bincount(child, minlength=nodes)
    assert counts.max() <= FAN_IN, "a node has more incoming edges than the loop's buffers hold"
    ptr = np.concatenate([[0], np.cumsum(counts)])
    numbers = (parent[by_child].astype(np.int32), entry[by_child].astype(np.int32))
    return np.arange(nodes), ptr, *numbers, np.array(ends)


def calls(
    graphs: list[Graph], theta: np.ndarray, z: np.ndarray, omega: Any, minimize: bool
) -> dict[str, Callable[[], Any]]:
    """Its three passes over theta [B, entries], the entries of the graphs one after another."""
    csr, real = in_csr(graphs), theta.dtype.type
    passes, sign, gamma = RIVALS[type(omega)], real(-1 if minimize else 1), real(omega.gamma)

    def value() -> np.ndarray:
        out = np.empty((len(theta), len(graphs)), theta.dtype)
        passes["value"](*csr, theta, sign, gamma, out)
        return out

    def value_and_grad() -> tuple[np.ndarray, np.ndarray]:
        out, E = np.empty((len(theta), len(graphs)), theta.dtype), np.zeros_like(theta)
        passes["value+grad"](*csr, theta, sign, gamma, out, E)
        return out, E

    def hvp() -> np.ndarray:
        H = np.zeros_like(theta)
        passes["hvp"](*csr, theta, z, sign, gamma, H)
        return H

    return {"value": value, "value+grad": value_and_grad, "hvp": hvp}
