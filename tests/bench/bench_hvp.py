"""The Hessian product beside automatic differentiation (the paper's section 2.4: 12x on CPU).

Usage: python tests/bench/bench_hvp.py [--quick] [--write] [case ...]

The rival is `backend="torch"`: the same recursion in torch operations, all nodes of a level and all items at once,
differentiated twice by autograd. Tensors in float32 unless said, one thread. Two questions:

whole     dp_hvp from theta and z to the product;
backward  a layer's backward pass, as in training through the expected path: E = dp_grad(theta) is there already, and
          the time is that of backpropagating z through it. The rival keeps its graph from the forward pass, which is
          not counted; ours keeps theta and recomputes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from cases import lattices, random_dag
from harness import Table, Turns, main, threads
from torch import Tensor

import dagdp
from dagdp import CompiledDAG, HardMax, Negentropy, Omega, SquaredL2, Tsallis
from dagdp.graphs import dtw_grid, linear_chain, trellis
from dagdp.graphs.ragged.compiled_cache import compiled
from dagdp.graphs.sequences import ctc_for_any_target

PAPER = 12.0
HOW: dict[str, dict[str, Any]] = {"ours": {"threads": 1}, "autograd": {"backend": "torch"}}
OPERATORS: list[Omega] = [HardMax(), Negentropy(1.0), SquaredL2(1.0), Tsallis(1.5), Tsallis(2.0)]

Problem = tuple[CompiledDAG, Any, Any, dict[str, Any]]  # dag, theta, z, options


def problem(build: Callable[..., Any], arguments: tuple[int, ...], batch: int, minimize: bool = False) -> list[Problem]:
    """Normal noise on a graph; potentials beyond the first are shared by the batch, as parameters are."""
    dag = compiled(build, *arguments)
    blocks: list[dict[str, Tensor]] = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        shapes = {p.name: p.shape for p in dag.potentials}
        first = next(iter(shapes))
        blocks.append(
            {k: torch.randn(batch, *shape) if k == first else torch.randn(*shape) for k, shape in shapes.items()}
        )
    theta, z = (block if len(block) > 1 else next(iter(block.values())) for block in blocks)
    return [(dag, theta, z, {"minimize": minimize})]


def words() -> list[Problem]:
    made = [(dag, torch.from_numpy(theta).float()) for dag, theta in lattices()]
    return [(dag, theta, torch.randn_like(theta), {}) for dag, theta in made]


CASES: dict[str, Callable[[], list[Problem]]] = {
    "soft-DTW 32 x 128²": partial(problem, dtw_grid, (128, 128), 32, True),
    "soft-DTW 32 x 512²": partial(problem, dtw_grid, (512, 512), 32, True),
    "soft-DTW 8 x 200²": partial(problem, dtw_grid, (200, 200), 8, True),
    "soft-DTW 1 x 2048²": partial(problem, dtw_grid, (2048, 2048), 1, True),
    "CRF B=32 T=50 S=9": partial(problem, linear_chain, (50, 9), 32),
    "CRF B=32 T=128 S=32": partial(problem, linear_chain, (128, 32), 32),
    "CRF B=32 T=512 S=20": partial(problem, linear_chain, (512, 20), 32),
    "CTC T=100 B=32 L=20": partial(problem, ctc_for_any_target, (100, 20), 32),
    "500 word lattices, a loop": words,
    "random 10,000 edges, batch 32": partial(problem, random_dag, (10**4,), 32),
    "random 100,000 edges, batch 32": partial(problem, random_dag, (10**5,), 32),
    "random 1,000,000 edges, batch 1": partial(problem, random_dag, (10**6,), 1),
}


def whole(problems: list[Problem], how: dict[str, Any], omega: Omega = OPERATORS[1]) -> Callable[[], Any]:
    """A call: every problem's product from nothing."""
    return lambda: flat(dagdp.dp_hvp(dag, theta, z, omega, **given, **how) for dag, theta, z, given in problems)


def backward(problems: list[Problem], how: dict[str, Any], omega: Omega = OPERATORS[1]) -> Callable[[], Any]:
    """A call: z backpropagated through E, which is made once, before."""
    ((dag, theta, z, given),) = problems
    leaf = theta.clone().requires_grad_()
    E = dagdp.dp_grad(dag, leaf, omega, **given, **how)
    return lambda: torch.autograd.grad(E, leaf, z, retain_graph=True)[0]


def flat(results: Any) -> Tensor:
    """All numbers of all results in a row."""
    blocks = [block for result in results for block in (result.values() if isinstance(result, dict) else [result])]
    return torch.cat([block.flatten() for block in blocks])


def measure(turns: Turns) -> Iterator[Table]:
    """Every kind of work under Negentropy, then every operator on the paper's own kind of trellis."""
    table = Table(("work, whole", "ours ms", "autograd ms", "autograd / ours"))
    with threads(1):
        for name, make in CASES.items():
            if turns.chosen(name):
                problems = make()
                result = turns({who: whole(problems, how) for who, how in HOW.items()}, tolerance=1e-2)
                table.add(name, *map(result.cell, HOW), result.ratio(goal=PAPER))
        yield table
        heads = [
            f"{question}: {who}" for question in ("whole", "backward") for who in ("ours ms", "autograd ms", "ratio")
        ]
        table = Table(("trellis T=100 S=16, 32 items", "dtype", *heads))
        for omega in OPERATORS if turns.chosen("trellis") else ():
            for dtype in (torch.float32, torch.float64):
                ((dag, theta, z, given),) = problem(trellis, (100, 16), 32)
                problems = [(dag, theta.to(dtype), z.to(dtype), given)]
                cells = []
                for question in (whole, backward):
                    if question is backward and isinstance(omega, HardMax):
                        cells += ["-"] * 3  # autograd knows E as a constant
                        continue
                    result = turns({who: question(problems, how, omega) for who, how in HOW.items()}, tolerance=1e-2)
                    cells += [*map(result.cell, HOW), result.ratio(goal=PAPER)]
                table.add(repr(omega), str(dtype).removeprefix("torch."), *cells)
        yield table


if __name__ == "__main__":
    main(__doc__, "hvp", measure)
