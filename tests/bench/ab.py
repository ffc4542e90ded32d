"""Is this checkout slower than that one? Two source trees in turn on one core, ratios NEW / BASE.

Usage: python tests/bench/ab.py BASE [NEW] [--only NAME ...] [--all] [--quick] [--core K]

BASE and NEW are folders that hold a `dagdp` source tree; NEW defaults to the checkout of this script. Each side has a
worker process: it runs this script's text, imports `dagdp` from its own checkout, and says so or fails. Both workers
are pinned to one core, where the system can, and take turns on each row. A turn repeats its call for 5 ms, at least
once; a row's time is the minimum of its turns.

Rows: the cases of bench_engine.py (a selection; `--all` has every operator and type), calls so small that overhead is
all there is, questions that were cliffs once, and the processor time of a fresh process, with an empty cache folder,
for its first compilation, its first value and gradient, and `import dagdp.nn`.
`--only` takes parts of row names, and chooses from all rows.

Machines are shared. A row whose ratio lies beyond 1.05, or below 1/1.05, is measured again up to three times, by new
workers each time, which have other places in memory; minima are over all that was measured. If the mean is beyond its
bound, that goes for every row. The exit status is 1 where a row is then above 1.05, the geometric mean above 1.02, or
a row fails in NEW that BASE can run. `--quick` measures two rows a few times and judges nothing.

A row takes its turns for 1.2 seconds, the selection has some 55. Kernels that are not on disk are compiled first, on
both sides at once, before the clock starts: minutes, where many are lacking. What is done so far goes to stderr.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
ROW_BOUND, MEAN_BOUND = 1.05, 1.02
AGAIN = 3  # times that a doubtful row is measured anew
BURST = 0.005  # seconds that a turn repeats its call for
COLD, COLD_COMPILE, COLD_IMPORT = "first call, cold", "first compile, cold", "import dagdp.nn after torch"
SIDES = ("base", "new")
QUICK = ("small, 3 edges, value", "small, 3 edges, value+grad")

Call = Callable[[], Any]


# ------------------------------------------------------------------------------------------- what is measured


def engine_rows() -> Iterator[tuple[str, bool, Callable[[], Call]]]:
    """(name, whether it is of the selection, what makes its call) of the cases of bench_engine.py."""
    from bench_engine import CASES, OMEGAS, PASSES

    for case in CASES:
        for omega in OMEGAS:
            for dtype in ("float32", "float64"):
                usual = type(omega).__name__ == "Negentropy" or (dtype == "float32" and "Tsallis" not in repr(omega))
                chosen = usual if not case.startswith("random") else f"{omega} {dtype}".startswith("Negentropy")
                chosen = chosen and not (case.startswith("random") and ("16 x" in case or dtype == "float64"))
                for what in PASSES:

                    def make(case: str = case, omega: Any = omega, dtype: str = dtype, what: str = what) -> Call:
                        return engine_call(case, omega, dtype, what)

                    yield f"{case}, {omega!r}, {dtype}, {what}", chosen, make


_compiled: dict[str, Any] = {}  # the graph of one case: the largest take a second, and some 100 MB


def engine_call(case: str, omega: Any, dtype: str, what: str) -> Call:
    """One pass of one case."""
    import numpy as np
    from bench_engine import CASES

    import dagdp

    build, batch, minimize = CASES[case]
    if case not in _compiled:
        _compiled.clear()
        graph = build()
        _compiled[case] = dagdp.compile(graph), graph.potentials()[0].shape
    dag, shape = _compiled[case]
    rng = np.random.default_rng(0)
    theta, z = (rng.normal(size=(batch, *shape)).astype(dtype) for _ in range(2))
    return passes(dag, theta, z, omega, minimize=minimize)[what]


def passes(dag: Any, theta: Any, z: Any, omega: Any, **options: Any) -> dict[str, Call]:
    """The three passes on one thread."""
    import dagdp

    return {
        "value": lambda: dagdp.dp_value(dag, theta, omega, threads=1, **options),
        "value+grad": lambda: dagdp.dp_value_and_grad(dag, theta, omega, threads=1, **options),
        "hvp": lambda: dagdp.dp_hvp(dag, theta, z, omega, threads=1, **options),
    }


def small_rows() -> Iterator[tuple[str, bool, Callable[[], Call]]]:
    """Calls on the smallest graphs, from NumPy and, where it is installed, from torch."""
    import importlib.util

    import numpy as np

    import dagdp
    from dagdp.graphs import trellis

    omega = dagdp.Negentropy(1.0)
    three, ended = (dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2], **ends) for ends in ({}, {"ends": [1, 2]}))

    def of(graph: Any, shape: tuple[int, ...], what: str, **options: Any) -> Callable[[], Call]:
        return lambda: passes(dagdp.compile(graph), np.ones(shape), np.ones(shape), omega, **options)[what]

    for what in ("value", "value+grad", "hvp"):
        yield f"small, 3 edges, {what}", True, of(three, (3,), what)
        yield f"small, trellis 4 x 3, {what}", True, of(trellis(4, 3), (4, 3, 3), what)
    for what in ("value", "value+grad"):
        yield f"small, 3 edges and end=, {what}", True, of(ended, (2, 3), what, end=np.array([1, 2]))
    for question in ("best_path", "node_marginals", "entropy"):
        yield f"paths, {question}", True, lambda question=question: path_call(question)
    if importlib.util.find_spec("torch") is not None:
        yield "small, 3 edges, torch value and backward", True, lambda: torch_call(dagdp.compile(three), omega)
        yield "crf, torch marginals", True, torch_marginals


def cliff_rows() -> Iterator[tuple[str, bool, Callable[[], Call]]]:
    """Ordinary questions that once took many times as long as those beside them."""
    yield "cliff, NaN behind the end, crf 128 x 200 x 20, value+grad", True, lambda: padded_call("crf")
    yield "cliff, NaN behind the end, dtw 64 x 200^2, value+grad", True, lambda: padded_call("dtw")


def padded_call(what: str) -> Call:
    """Value and gradient of a ragged batch whose padding is NaN."""
    import numpy as np

    import dagdp
    from dagdp.graphs import dtw_grid, linear_chain

    rng = np.random.default_rng(0)
    if what == "crf":
        dag, lengths = dagdp.compile(linear_chain(200, 20, ragged=True)), rng.integers(50, 201, 128)
        emission = rng.normal(size=(128, 200, 20)).astype(np.float32)
        emission[np.arange(200) >= lengths[:, None]] = np.nan
        theta: Any = {"emission": emission}
        theta |= {p.name: np.zeros(p.shape, np.float32) for p in dag.potentials if p.name != "emission"}
        return passes(dag, theta, None, dagdp.Negentropy(1.0), end=dag.ends_of(lengths))["value+grad"]
    dag, (rows, columns) = dagdp.compile(dtw_grid(200, 200)), rng.integers(50, 201, (2, 64))
    theta = rng.normal(size=(64, 200, 200)).astype(np.float32)
    theta[np.arange(200) >= rows[:, None]] = np.nan
    theta.swapaxes(1, 2)[np.arange(200) >= columns[:, None]] = np.nan
    ends = dag.ends_of((rows, columns))
    return passes(dag, theta, None, dagdp.Negentropy(1.0), end=ends, minimize=True)["value+grad"]


def path_call(question: str) -> Call:
    """A question about paths, of a batch of linear chains."""
    import numpy as np

    import dagdp
    from dagdp.graphs import linear_chain

    dag, rng = dagdp.compile(linear_chain(50, 10)), np.random.default_rng(0)
    theta = {p.name: rng.normal(size=(16, *p.shape) if p.name == "emission" else p.shape) for p in dag.potentials}
    return lambda: getattr(dagdp, question)(dag, theta)


def shortcut_rows() -> Iterator[tuple[str, bool, Callable[[], Call]]]:
    """Shortcuts as data comes: a new size at each call, and a band."""
    import numpy as np

    from dagdp.graphs import dtw_value, viterbi_value

    rng = np.random.default_rng(0)
    costs = [rng.random((n, m), np.float32) for n, m in rng.integers(40, 128, (20, 2))]
    steps = [rng.random((n, 16, 16), np.float32) for n in rng.integers(40, 128, 20)]
    wide = rng.random((2000, 2000), np.float32)

    def in_turn(call: Callable[[Any], Any], given: list[Any]) -> Call:
        turn = itertools.cycle(given)
        return lambda: call(next(turn))

    yield "crf, new T each step", False, lambda: in_turn(viterbi_value, steps)
    yield "dtw, new size each call", False, lambda: in_turn(dtw_value, costs)
    yield "dtw band", False, lambda: lambda: dtw_value(wide, band=20)


def torch_call(dag: Any, omega: Any) -> Call:
    """`dp_value` of a tensor, and its backward pass."""
    import torch

    import dagdp

    torch.set_num_threads(1)
    leaf = torch.ones(3, dtype=torch.float64, requires_grad=True)
    return lambda: dagdp.dp_value(dag, leaf, omega, threads=1).backward()


def torch_marginals() -> Call:
    """Expected paths of a batch that shares its transitions, where a derivative may be asked for."""
    import torch

    import dagdp
    from dagdp.graphs import linear_chain

    torch.set_num_threads(1)
    torch.manual_seed(0)
    dag, shapes = dagdp.compile(linear_chain(200, 20)), {"transition": (20, 20), "start": (20,), "end": (20,)}
    theta = {name: torch.randn(shape, requires_grad=True) for name, shape in shapes.items()}
    theta["emission"] = torch.randn(128, 200, 20)
    return lambda: dagdp.dp_grad(dag, theta, threads=1)


def cold_compile() -> float:
    """Processor seconds of a process's first `compile`; imports are left out."""
    import dagdp

    graph, compile = dagdp.Graph.from_edges([0, 0, 1], [1, 2, 2]), dagdp.compile
    began = time.process_time()
    compile(graph)
    return time.process_time() - began


def cold_import() -> float:
    """Processor seconds of a process's `import dagdp.nn`, torch being there."""
    import torch  # noqa: F401

    began = time.process_time()
    import dagdp.nn  # noqa: F401

    return time.process_time() - began


def cold_call() -> float:
    """Processor seconds of a process's first value and gradient; imports and the graph's compilation are left out."""
    import numpy as np

    import dagdp
    from dagdp.graphs import dtw_grid

    dag, theta = dagdp.compile(dtw_grid(20, 20)), np.ones((4, 20, 20), np.float32)
    began = time.process_time()
    dagdp.dp_value_and_grad(dag, theta, dagdp.Negentropy(1.0), threads=1)
    return time.process_time() - began


# ------------------------------------------------------------------------------------------------ the worker


def work(checkout: Path, core: int) -> None:
    """Answer the requests of `Side`, a line of JSON each, until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    import dagdp
    import dagdp.graphs

    for module in (dagdp, dagdp.graphs):
        found = Path(str(module.__file__)).resolve()
        if not found.is_relative_to(checkout):
            raise SystemExit(f"{module.__name__} was imported from {found}; expected it in the checkout {checkout}")
    rows = itertools.chain(small_rows(), cliff_rows(), shortcut_rows(), engine_rows())
    made = {name: (chosen, make) for name, chosen, make in rows}
    calls: dict[str, Call] = {}
    for line in sys.stdin:
        asked, *given = json.loads(line)
        try:
            if asked == "rows":
                answer: Any = [[name, chosen] for name, (chosen, _) in made.items()]
            elif asked == "make":
                calls.clear()
                calls[given[0]] = made[given[0]][1]()
                calls[given[0]]()  # compiles, or reads from disk, what it needs
                answer = turn(calls[given[0]], core)
            elif asked == "turn":
                answer = turn(calls[given[0]], core)
            else:
                answer = {COLD: cold_call, COLD_COMPILE: cold_compile, COLD_IMPORT: cold_import}[given[0]]()
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), file=answers, flush=True)


def turn(call: Call, core: int) -> float:
    """The least seconds of a call within a burst of calls on that core."""
    before = pinned(core)
    gc.collect()
    gc.disable()
    try:
        least, ends = math.inf, time.perf_counter() + BURST
        while True:
            began = time.perf_counter()
            call()
            now = time.perf_counter()
            least = min(least, now - began)
            if now >= ends:
                return least
    finally:
        gc.enable()
        if before is not None:
            os.sched_setaffinity(0, before)


def pinned(core: int) -> set[int] | None:
    """Run on that core from now on; the cores before, or None where a process cannot choose."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    return before


@dataclass
class Side:
    """A worker in a checkout."""

    checkout: Path
    core: int
    cache: str | None = None
    process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Side:
        one = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        env = {**os.environ, **one, "PYTHONPATH": str(self.checkout)}
        if self.cache is not None:
            env["DAGDP_CACHE_DIR"] = self.cache
        command = [sys.executable, "-W", "ignore", str(HERE), "--worker", str(self.checkout), "--core", str(self.core)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.checkout, env=env
        )
        return self

    def __exit__(self, *_: Any) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, *request: Any) -> None:
        """Send a request; `answer` waits for what comes back."""
        assert self.process.stdin
        print(json.dumps(request), file=self.process.stdin, flush=True)

    def answer(self) -> Any:
        """Seconds, or as text what was raised."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker of {self.checkout} ended with status {self.process.wait()}")
        return json.loads(line)


# -------------------------------------------------------------------------------------------------- both sides


@dataclass
class Duel:
    """Minima of both sides, row by row."""

    checkouts: tuple[Path, Path]
    core: int
    budget: float = 1.2  # seconds for the turns of one row
    least: int = 5
    most: int = 40
    seconds: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, list[str | None]] = field(default_factory=dict)

    def names(self) -> list[tuple[str, bool]]:
        """All rows that NEW knows, and whether they are of the selection."""
        with Side(self.checkouts[1], self.core) as side:
            side.ask("rows")
            return [*map(tuple, side.answer()), (COLD, True), (COLD_COMPILE, True), (COLD_IMPORT, True)]

    def measure(self, rows: Sequence[str]) -> None:
        """Each row once more, by workers made for it."""
        with ExitStack() as held:
            sides = [held.enter_context(Side(checkout, self.core)) for checkout in self.checkouts]
            for row in rows:
                if row not in (COLD, COLD_COMPILE, COLD_IMPORT):
                    self.warm(row, sides)
                    print(f"{self.ratios.get(row, math.nan):6.3f} so far: {row}", file=sys.stderr, flush=True)
        for row in {COLD, COLD_COMPILE, COLD_IMPORT} & {*rows}:
            for _ in range(2):
                self.cold(row)

    def warm(self, row: str, sides: Sequence[Side]) -> None:
        """One row, side by side: who goes first changes from round to round."""
        for side in sides:
            side.ask("make", row)
        first = [side.answer() for side in sides]
        if not self.keep(row, first):
            return
        rounds = max(self.least, min(self.most, int(self.budget / (2 * max(BURST, *first)))))
        for k in range(rounds):
            found = [0.0, 0.0]
            for which in (0, 1) if k % 2 else (1, 0):
                sides[which].ask("turn", row)
                found[which] = sides[which].answer()
            self.keep(row, found)

    def cold(self, row: str) -> None:
        """The first call, or compilation, of a fresh process, on each side."""
        found = []
        for checkout in self.checkouts:
            with tempfile.TemporaryDirectory() as folder, Side(checkout, self.core, folder) as side:
                side.ask("cold", row)
                found.append(side.answer())
        self.keep(row, found)

    def keep(self, row: str, found: Sequence[Any]) -> bool:
        """Keep what is less than before; whether both sides could run it."""
        if any(isinstance(one, str) for one in found):
            self.failed[row] = [one if isinstance(one, str) else None for one in found]
            return False
        known = self.seconds.get(row, [math.inf, math.inf])
        self.seconds[row] = [min(pair) for pair in zip(known, found, strict=True)]
        return True

    @property
    def ratios(self) -> dict[str, float]:
        """NEW / BASE of each row that both ran."""
        return {row: new / base for row, (base, new) in self.seconds.items()}

    def complaints(self) -> list[str]:
        """What is wrong with NEW."""
        broken = [f"{row}: fails in NEW: {new}" for row, (base, new) in self.failed.items() if new and not base]
        return broken + too_slow(self.ratios)


def mean(ratios: dict[str, float]) -> float:
    """The geometric mean."""
    return math.exp(sum(map(math.log, ratios.values())) / len(ratios)) if ratios else 1.0


def too_slow(ratios: dict[str, float]) -> list[str]:
    """A line for each row above 1.05, and one if the geometric mean is above 1.02: what the exit status goes by."""
    said = [f"{row}: {ratio:.3f} is above {ROW_BOUND}" for row, ratio in ratios.items() if ratio > ROW_BOUND]
    average = mean(ratios)
    return said + [f"geometric mean: {average:.3f} is above {MEAN_BOUND}"] * (average > MEAN_BOUND)


def doubtful(ratios: dict[str, float]) -> list[str]:
    """Rows to measure again: far from 1 on either side, or all where the mean is beyond its bound."""
    if mean(ratios) > MEAN_BOUND:
        return list(ratios)
    return [row for row, ratio in ratios.items() if abs(math.log(ratio)) > math.log(ROW_BOUND)]


def report(duel: Duel, rows: Sequence[str]) -> None:
    """Print a line for each row, and the mean."""
    for row in rows:
        if row in duel.seconds:
            base, new = (1e6 * seconds for seconds in duel.seconds[row])
            print(f"{new / base:6.3f}  {base:12.1f} µs  {new:12.1f} µs  {row}")
        for side, why in zip(SIDES, duel.failed.get(row, ()), strict=False):
            print(f"     -  {row}: fails in {side.upper()}: {why}" if why else "", end="\n" if why else "")
    print(f"{mean(duel.ratios):6.3f}  geometric mean of {len(duel.ratios)} rows, NEW / BASE", flush=True)


def checkout_of(name: str) -> Path:
    """The folder, if it holds the package."""
    folder = Path(name).resolve()
    if not (folder / "dagdp" / "__init__.py").is_file():
        raise SystemExit(f"{folder} holds no dagdp source tree; expected a checkout with dagdp/__init__.py")
    return folder


def options_of(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="a checkout")
    parser.add_argument("new", nargs="?", default=str(HERE.parents[2]), help="a checkout; default: this script's")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="parts of the names of rows")
    parser.add_argument("--all", action="store_true", help="all operators, types and cases")
    parser.add_argument("--quick", action="store_true", help="a few turns, by default of two rows; judges nothing")
    parser.add_argument("--core", type=int, default=cores[-1], help=f"where to run; default {cores[-1]}")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """0, or 1 where NEW is slower."""
    options = options_of(given)
    duel = Duel((checkout_of(options.base), checkout_of(options.new)), options.core)
    only = options.only or (QUICK if options.quick else ())
    if options.quick:
        duel.budget, duel.least, duel.most = 0.05, 2, 3
    rows = [name for name, usual in duel.names() if any(part in name for part in only) or (not only and usual)]
    if options.all and not only:
        rows = [name for name, _ in duel.names()]
    if not rows:
        raise SystemExit(f"no row has a name with one of {list(only)} in it")
    began = time.perf_counter()
    duel.measure(rows)
    for again in range(0 if options.quick else AGAIN):
        doubts = doubtful(duel.ratios)
        if not doubts:
            break
        print(f"measured again ({again + 1} of up to {AGAIN}): {len(doubts)} of {len(rows)} rows", flush=True)
        duel.measure(doubts)
    report(duel, rows)
    print(f"{time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f}, core {options.core}")
    if options.quick:
        print("--quick: nothing is judged")
        return 0
    complaints = duel.complaints()
    print("\n".join(complaints) or "within bounds")
    return len(complaints) > 0


if __name__ == "__main__":
    if "--worker" in sys.argv:
        work(Path(sys.argv[sys.argv.index("--worker") + 1]), int(sys.argv[sys.argv.index("--core") + 1]))
    else:
        raise SystemExit(main())
