"""The machinery of tests/bench: turns, verdicts, the page. The benchmarks themselves are run by `make bench`."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parent / "bench"


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return pytest.importorskip("harness")


def test_a_section_is_replaced_and_prose_stays(harness):
    page = "before\n<!-- bench: a -->\nold\n<!-- end: a -->\nbetween\n<!-- bench: b -->\n<!-- end: b -->\n"
    new = harness.replaced(page, "a", "| new |")
    assert new == page.replace("old", "\n| new |\n")
    assert harness.replaced(new, "a", "| new |") == new
    with pytest.raises(ValueError, match="no section 'c'"):
        harness.replaced(page, "c", "")


def test_every_script_has_its_section(harness):
    page = harness.PAGE.read_text()
    for script in BENCH.glob("bench_*.py"):
        name = script.read_text().split('main(__doc__, "')[1].split('"')[0]
        harness.replaced(page, name, "")  # raises without the markers
        assert f"`tests/bench/{script.name}`" in page


LOAD_ALL = """
import pathlib, runpy, sys
for script in sorted(pathlib.Path(sys.path[0] or ".").glob("bench_*.py")):
    try:
        runpy.run_path(str(script), run_name="loaded")
    except ModuleNotFoundError as error:  # a rival, or what the examples need
        if error.name.startswith("dagdp"):
            raise
    print(script.name)
"""


def test_every_script_finds_what_it_imports_from_the_package():
    """In a process of its own: tests and benchmarks have modules of the same names."""
    done = subprocess.run([sys.executable, "-c", LOAD_ALL], capture_output=True, text=True, cwd=BENCH, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(script.name for script in BENCH.glob("bench_*.py"))


def test_turns_time_the_sound_and_name_the_rest(harness, capsys):
    def broken():
        raise RuntimeError

    calls = {
        "ours": lambda: (np.float32(1.0), np.ones(3)),
        "slow": lambda: (sum(range(200_000)) * 0 + 1.0, np.ones(3)),
        "wrong": lambda: (1.0, np.full(3, 2.0)),
        "nan": lambda: (1.0, np.full(3, math.nan)),
        "broken": broken,
    }
    result = harness.Turns(3, 2, 1.0)(calls, tolerance=1e-3)
    assert result.wrong == {"wrong", "nan"} and result.failed == {"broken": "fails: RuntimeError"}
    assert result.cell("wrong").endswith("(differs)") and result.cell("broken") == "fails: RuntimeError"
    assert float(result.ratio().removesuffix("x")) > 1  # against the slow one, the only sound rival
    assert result.ratio(goal=1e9).endswith("(missed: 1e+09x)")
    table = harness.Table(("case", "ratio"))
    table.add("one", harness.verdict(2.0, 3.0, most=True))
    assert table.markdown() == "| case | ratio |\n|---|---|\n| one | 2x |" == capsys.readouterr().out.strip()


def test_a_warm_turn_is_a_burst_of_calls(harness):
    calls: dict[str, int] = {"ours": 0, "theirs": 0}

    def counted(name: str) -> None:
        calls[name] += 1

    turns = {name: lambda name=name: counted(name) for name in calls}
    harness.Turns(2, 2, 1.0)(turns)
    assert calls == {"ours": 5, "theirs": 5}, "to compile, twice to see how long it takes, and in two turns"
    harness.Turns(2, 2, 1.0, burst=0.01)(turns)
    assert min(calls.values()) > 20


@pytest.mark.parametrize("small", [False, True])
def test_a_section_of_small_calls_has_them_cold_and_warm(small, harness, monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("<!-- bench: a -->\nold\n<!-- end: a -->\n")
    monkeypatch.setattr(harness, "PAGE", page)
    monkeypatch.setattr(harness.sys, "argv", ["bench_a.py", "--quick", "--write"])
    bursts = []

    def measure(turns):
        bursts.append(turns.burst)
        table = harness.Table(("burst",))
        table.add(str(turns.burst))
        yield table

    harness.main(None, "a", measure, small=small)
    capsys.readouterr()
    text = page.read_text()
    assert bursts == ([0.0, 0.05] if small else [0.0]) and all(f"| {burst} |" in text for burst in bursts)
    assert (harness.COLD in text) == (harness.WARM in text) == small and "\nold\n" not in text


def test_ours_may_not_fail(harness):
    with pytest.raises(ZeroDivisionError):
        harness.Turns(1, 1, 1.0)({"ours": lambda: 1 / 0})


@pytest.fixture
def ab(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return pytest.importorskip("ab")


def test_a_slow_row_and_a_slow_mean_are_named(ab):
    """What the exit status of ab.py goes by."""
    assert ab.too_slow({"a": 1.04, "b": 0.9}) == []
    assert ab.too_slow({"a": 1.06, "b": 0.9}) == ["a: 1.060 is above 1.05"]
    assert ab.too_slow({"a": 1.03, "b": 1.03}) == ["geometric mean: 1.030 is above 1.02"]
    assert ab.mean({"a": 2.0, "b": 0.5}) == pytest.approx(1.0)


def test_rows_far_from_one_are_measured_again_and_all_where_the_mean_is(ab):
    assert ab.doubtful({"a": 1.06, "b": 1.0, "c": 0.94}) == ["a", "c"]
    assert ab.doubtful({"a": 1.03, "b": 1.02}) == ["a", "b"]


def test_a_row_that_only_the_new_side_cannot_run_is_a_complaint(ab):
    duel = ab.Duel((BENCH, BENCH), 0)
    assert duel.keep("a", [2.0, 3.0]) and duel.keep("a", [3.0, 1.0]) and duel.ratios == {"a": 0.5}
    assert not duel.keep("b", [1.0, "ValueError: no"]) and not duel.keep("c", ["ValueError: no", 1.0])
    assert duel.complaints() == ["b: fails in NEW: ValueError: no"]


QUICK = ["--quick", "--only", "row"]


@pytest.mark.parametrize(("ratio", "quick", "status"), [(1.06, [], 1), (1.04, [], 0), (1.06, QUICK, 0)])
def test_the_exit_status_is_the_verdicts(ratio, quick, status, ab, monkeypatch, capsys):
    """Without workers: what they measure is made up."""
    rows = [(f"row {k}", True) for k in range(9)]
    monkeypatch.setattr(ab.Duel, "names", lambda self: rows)
    times = {name: [1.0, 1.0] for name, _ in rows} | {"row 3": [1.0, ratio]}
    monkeypatch.setattr(ab.Duel, "measure", lambda self, names: [self.keep(name, times[name]) for name in names])
    assert ab.main([str(BENCH.parents[1]), *quick]) == status
    said = capsys.readouterr().out
    assert f"{ratio:6.3f}" in said and ("row 3: 1.060 is above 1.05" in said) == (status == 1)


def test_a_checkout_beside_itself():
    """Two rows, a few turns: workers start, import from the checkout, and are compared. No time is judged."""
    root = BENCH.parents[1]
    command = [sys.executable, str(BENCH / "ab.py"), str(root), "--quick", "--only", "small, 3 edges, value"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for what in ("value", "value+grad"):
        (line,) = (line for line in lines if line.endswith(f"small, 3 edges, {what}"))
        assert float(line.split()[0]) > 0
    assert "geometric mean of 2 rows, NEW / BASE" in done.stdout


def test_a_worker_refuses_a_package_from_elsewhere(tmp_path):
    """An installed package must not be measured in place of the checkout's."""
    command = [sys.executable, str(BENCH / "ab.py"), "--worker", str(tmp_path), "--core", "0"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 1 and "dagdp was imported from" in done.stderr, done.stderr


@pytest.fixture
def interpreted(monkeypatch):
    """CPU tensors count as tensors on a device, whose driver runs the kernels' own text: tests/device.py."""
    device = pytest.importorskip("device")
    from cuda_kernels import InterpretedDriver

    return device.take_the_place(monkeypatch, device.Recorder(InterpretedDriver()))


@pytest.fixture
def bench_cuda(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(BENCH))
    return pytest.importorskip("bench_cuda")


@pytest.fixture
def dry(bench_cuda, monkeypatch, tmp_path, capsys):
    """Runs bench_cuda.py --dry with further words; returns its files by their parts, and what it printed."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["bench_cuda.py", "--dry", "--out", str(tmp_path), *words])
        bench_cuda.main(None, "cuda")
        return {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("*.json")}, capsys.readouterr().out

    return run


def test_a_dry_run_launches_every_problem(interpreted, dry):
    found, said = dry("--part", "ours", "--part", "rivals")
    problems = [row["problem"] for row in found["ours"]["rows"]]
    assert len(problems) == 7 and all(f"| {name} | " in said for name in problems)
    assert all(row["device_ms"] == 1.0 and row["host_ms"] == 0.1 and row["bytes"] > 0 for row in found["ours"]["rows"])
    compared = {row["problem"] for row in found["rivals"]["rows"]}
    assert compared == {name for name in problems if not name.startswith("lattices")}
    assert len(interpreted.launches) == 2 * len(problems) + 2 * len(compared)
    assert all(launched[0].variant.backward for launched in interpreted.launches)
    (native,) = (row["torch ctc_loss"] for row in found["rivals"]["rows"] if "torch ctc_loss" in row)
    assert native["apart"] < 1e-5


def test_a_dry_run_measures_the_constants(dry, bench_cuda):
    found, said = dry("--part", "constants")
    rows = found["constants"]["rows"]
    assert len(rows) == 10 and {row["unit"] for row in rows} == {"µs", "ns", "GB/s"}
    assert found["constants"]["dry"] and "barrier of a block of 512 threads" in said


def test_the_idle_driver_takes_what_the_device_s_takes(bench_cuda):
    """So that a launch of the dry run is one that the package's driver would take."""
    from cuda_clock import Idle

    from dagdp.kernels.cuda.launch import DeviceDriver

    own, given = (list(inspect.signature(driver.launch).parameters) for driver in (Idle, DeviceDriver))
    assert own == given


def test_barriers_are_met_as_often_as_asked(bench_cuda):
    """The text as the interpreter runs it: a thread yields at each barrier."""
    from cuda_barriers import barriers

    from dagdp.kernels.cuda.compilation.specialise import specialised
    from dagdp.kernels.cuda.records import Call

    kernel = specialised([barriers], {"REAL": np.float32}, {}, "yield")["barriers"]
    call = Call(*[0] * len(Call._fields))._replace(ring=7)
    assert len(list(kernel(None, call, None, None))) == 7


def test_one_problem_can_be_chosen(interpreted, dry):
    found, _ = dry("--part", "ours", "chain")
    assert [row["problem"] for row in found["ours"]["rows"]] == ["chain of 10k steps, 8 states"]


def test_a_rival_that_differs_or_fails_is_not_counted(bench_cuda):
    torch = pytest.importorskip("torch")
    leaf = torch.tensor([[1.0, 2.0]])
    problem = bench_cuda.Problem([leaf], 1, lambda x: x.sum(-1))
    want = problem.step(problem.ours)()
    clock = bench_cuda.StillClock()

    def load(values):
        return lambda: values

    def missing():
        import no_such_package  # noqa: F401

    def refused():
        raise bench_cuda.CannotError("at most 1024")

    timed = {
        "Maghoumi": bench_cuda.timed(clock, problem, load(problem.ours), want),
        "pysdtw": bench_cuda.timed(clock, problem, load(lambda x: 2.0 * x.sum(-1)), want),
        "ddtw": bench_cuda.timed(clock, problem, load(lambda x: x.sum(-1) * torch.nan), want),
        "pytorch-crf": bench_cuda.timed(clock, problem, missing, want),
        "torch ctc_loss": bench_cuda.timed(clock, problem, refused, want),
    }
    cells = bench_cuda.rival_cells({"problem": "p", "ours": {"device_ms": 0.5}, **timed})
    assert cells == ("p", "0.5", "1", "1 (differs)", "1 (differs)", "not installed", "at most 1024", "2x")


def test_without_a_device_nothing_is_measured(bench_cuda, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench_cuda.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="no CUDA device was found, and nothing was measured"):
        bench_cuda.main(None, "cuda")
    assert not list(tmp_path.iterdir())


def test_only_a_whole_section_is_written(bench_cuda, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_cuda.py", "--out", str(tmp_path), "--write", "--dry"])
    with pytest.raises(SystemExit):
        bench_cuda.main(None, "cuda")
    assert "--write writes a whole section" in capsys.readouterr().err
