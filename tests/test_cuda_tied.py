"""The kernel of chains, run thread by thread: equal to the reference, sure of what it cannot compute, bugs found."""

from __future__ import annotations

import inspect
from typing import NamedTuple

import numpy as np
import pytest
from cases import combinations
from cuda_interpreter import Machine, RaceError, UnwrittenError
from cuda_kernels import SHARED_LIMIT, Problem, kernel_of, names, solve, warp_size, with_blocks
from cuda_texts import functions_of, module_of

from dagdp import Negentropy, SquaredL2, compile, reference
from dagdp.graphs import linear_chain
from dagdp.kernels.cuda.compilation.points import entry_name, static_names, texts
from dagdp.kernels.cuda.compilation.specialise import specialised
from dagdp.kernels.cuda.plan.device_plan import device_plan
from dagdp.kernels.cuda.schedule import Given, Passes, launch_of
from dagdp.kernels.cuda.texts.tied import backward, forward, matrix

pytestmark = pytest.mark.specialised  # of graphs of which nothing is proved, no kernel of this kind is taken

OMEGA = Negentropy(0.7)
LOSSES = {"float32": 2e-5, "float64": 1e-11}


def solve_item(omega, work):
    """In place of the generic text: an item that comes here has no value."""


def kernel_with(*changed):
    """Makes a kernel of the package's texts, some of them replaced by others of the same names."""
    replaced = {text.__name__: text for text in changed}

    def kernel(variant, data, real):
        made = [replaced.get(text.__name__, text) for text in texts()]
        space = names(data, real, warp_size(variant))
        return specialised(made, space, static_names(variant, data), "yield")[entry_name(variant)]

    return kernel


ALONE = kernel_with(solve_item)  # a kernel that leaves no item to the generic text


def as_planned(launch):
    """The launch itself."""
    return launch


class Case(NamedTuple):
    """A chain, and potentials of a batch."""

    dag: object
    theta: dict
    lengths: object = None  # of the items; None: all steps

    @property
    def batch(self):
        return len(self.theta["emission"])

    def problem(self, **more):
        theta = np.concatenate([part.reshape(self.batch, -1) for part in self.theta.values()], axis=1)
        ends = None if self.lengths is None else self.dag.rank[self.dag.ends_of(self.lengths)].astype(np.int32)
        return Problem(self.dag, theta, OMEGA, batch=self.batch, ends=ends)._replace(**more)

    def expected(self, omega=OMEGA, minimize=False):
        """Value and joined gradient of the reference, which computes in float64."""
        more = {} if self.lengths is None else {"end": self.dag.ends_of(self.lengths)}
        value, gradient = reference.dp_value_and_grad(self.dag, self.theta, omega, minimize=minimize, **more)
        return value, np.concatenate([np.reshape(gradient[name], (self.batch, -1)) for name in self.theta], axis=1)

    def check(self, kernel=ALONE, loss=None, machine=None, form=as_planned, **more):
        """Value, and value and gradient, equal the reference."""
        problem = self.problem(**more)
        minimize = problem.minimize
        loss = loss or LOSSES[problem.theta.dtype.name]
        value, gradient = self.expected(problem.omega, minimize)
        only = solve(problem, Passes.VALUE, machine, kernel=kernel, form=form)
        found = solve(problem, Passes.GRADIENT, machine, kernel=kernel, form=form)
        assert found.fault == only.fault == 0
        assert only.values.tobytes() == found.values.tobytes()
        np.testing.assert_allclose(found.values[:, 0], value, rtol=loss, atol=loss)
        np.testing.assert_allclose(found.gradient, gradient, rtol=0, atol=loss * max(1.0, gradient.max()))
        return found


def drawn(T, S, ragged=False, dtype="float64", batch=3, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"emission": (T, S), "transition": (S, S), "start": (S,), "end": (S,)}
    theta = {name: rng.normal(size=(batch, *shape)).astype(dtype) for name, shape in shapes.items()}
    lengths = 1 + np.arange(batch) * (T - 1) // (batch - 1) if ragged else None
    return Case(compile(linear_chain(T, S, ragged)), theta, lengths)


@combinations(
    lambda T, S, ragged, dtype: (T, S) in ((3, 3), (7, 6), (4, 5)) and (dtype == "float32" or T == 7),
    T=range(1, 8),
    S=range(1, 7),
    ragged=[False, True],
    dtype=["float32", "float64"],
)
def test_chains_equal_the_reference(T, S, ragged, dtype):
    case = drawn(T, S, ragged, dtype)
    small = not device_plan(case.dag).states  # a chain that repeats no matrix
    assert small == (T < 3 or S < 3)
    case.check(kernel_of if small else ALONE, machine=Machine(T))


def test_more_states_than_a_warp_has_threads():
    case = drawn(4, 33, dtype="float32", batch=1)
    plan = device_plan(case.dag)
    launch = launch_of(plan, Passes.GRADIENT, np.float32, 1, Given(solver="exponential"), SHARED_LIMIT)
    assert (launch.variant.tied, launch.variant.warp, launch.threads) == (64, False, 64)
    case.check()


def in_two_parts(launch):
    """Two threads for each state."""
    made = with_blocks(launch)
    return made._replace(variant=made.variant._replace(parts=2), threads=2 * made.variant.tied)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_several_threads_for_each_state(dtype):
    drawn(45, 6, True, dtype).check(form=in_two_parts)


@pytest.mark.parametrize(
    ("S", "dtype", "tied", "parts"),
    [(17, "float64", 32, 2), pytest.param(65, "float32", 128, 2, marks=pytest.mark.exhaustive)],
)
def test_more_states_than_a_thread_has_registers(S, dtype, tied, parts):
    case = drawn(4, S, dtype=dtype, batch=1)
    plan, real = device_plan(case.dag), np.dtype(dtype).type
    launch = launch_of(plan, Passes.GRADIENT, real, 1, Given(solver="exponential"), SHARED_LIMIT)
    assert (launch.variant.tied, launch.variant.parts, launch.variant.warp) == (tied, parts, False)
    assert launch.threads == tied * parts
    case.check(machine=Machine(watched=S < 20))


def test_a_block_for_each_item():
    drawn(6, 4, True).check(form=with_blocks)


def test_steps_in_several_bands_and_sums():
    drawn(45, 3, True, batch=4).check()


@pytest.mark.parametrize("minimize", [True, False])
def test_forbidden_transitions_and_costs(minimize):
    case = drawn(6, 5)
    worst = np.inf if minimize else -np.inf
    case.theta["transition"][:, [0, 1, 4], [2, 1, 0]] = worst
    case.theta["transition"][1, 3] = worst  # a state that no other reaches
    case.theta["emission"][2, 3, :4] = worst
    case.theta["start"][:, 1] = worst
    case.theta["end"][0, 2] = worst
    case.check(minimize=minimize)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_potential_of_another_origin(dtype):
    """Large potentials that all states share."""
    case = drawn(9, 4, dtype=dtype)
    case.theta["emission"] += np.array(-300.0, dtype)
    case.theta["transition"] += np.array(100.0, dtype)
    case.theta["emission"][:, 2] += np.array(50.0, dtype)
    case.check(loss=5e-5 if dtype == "float32" else None)


def test_states_that_vanish_in_between():
    """Without forbidden transitions every state follows from every other, however small its weight has been."""
    case = drawn(8, 4, dtype="float32")
    case.theta["emission"][:, 2, :2] = -400.0
    case.theta["emission"][:, 5, 2:] = -400.0
    case.check()


@pytest.mark.parametrize("number", [0.0, -3.0])
def test_weights_that_grow_or_fall_for_long(number):
    """Equal potentials: S^T paths. A large negative one at each step: the other states' sum falls."""
    case = drawn(40, 6, dtype="float32", batch=1)
    for part in case.theta.values():
        part[...] = 0.0
    case.theta["transition"][:] += np.float32(number) * np.eye(6, dtype=np.float32)
    case.theta["emission"][:, ::2, 1:] = np.float32(number)
    case.theta["emission"][:, 1::2, 2:] = np.float32(9.0 * number)
    case.check()


WIDE = 200.0 * OMEGA.gamma


def widely_spread(case):
    case.theta["transition"][1, 2, 0] -= np.float32(WIDE)


def left_to_right(case):
    """From a state into itself or the next one, which is better by far: the first states' weights vanish."""
    case.theta["transition"][1] = -np.inf
    case.theta["transition"][1][[0, 1, 2, 3, 1, 2, 3], [0, 1, 2, 3, 0, 1, 2]] = 0.0
    case.theta["emission"][1, :5] = np.float32(-20.0) * np.arange(4)[::-1]


def not_where_it_ends(case):
    """Most paths end in a state in which they may not."""
    case.theta["emission"][1, -1, :3] = -500.0
    case.theta["end"][1, 3] = -600.0


def without_a_path(case):
    case.theta["emission"][1, 4] = -np.inf


@pytest.mark.parametrize("changed", [widely_spread, left_to_right, not_where_it_ends, without_a_path])
def test_what_weights_cannot_hold_is_left_to_the_generic_text(changed):
    case = drawn(8, 4, dtype="float32")
    right = case.check()
    changed(case)
    with pytest.raises(UnwrittenError, match="values has 1 of 3"):
        solve(case.problem(), Passes.GRADIENT, kernel=ALONE)
    found = case.check(kernel_of)
    for item in (0, 2):
        assert found.values[item].tobytes() == right.values[item].tobytes()
        assert found.gradient[item].tobytes() == right.gradient[item].tobytes()


def test_all_ends_at_once_are_left_to_the_generic_text():
    case = drawn(5, 3, True)._replace(lengths=None)
    with pytest.raises(UnwrittenError):
        solve(case.problem(), Passes.VALUE, kernel=ALONE)
    case.check(kernel_of)


def test_a_long_chain_in_float32():
    case = drawn(300, 3, dtype="float32", batch=2)
    case.theta["emission"] *= np.float32(3.0)
    exact = Case(case.dag, {name: part.astype("float64") for name, part in case.theta.items()})
    value, gradient = exact.expected()
    found = solve(case.problem(), Passes.GRADIENT, Machine(watched=False), kernel=ALONE)
    np.testing.assert_allclose(found.values[:, 0], value, rtol=3e-7)
    matrix = slice(300 * 3, 300 * 3 + 9)
    np.testing.assert_allclose(found.gradient[:, matrix], gradient[:, matrix], rtol=3e-6)
    np.testing.assert_allclose(found.gradient[:, : 300 * 3], gradient[:, : 300 * 3], atol=3e-6)
    np.testing.assert_allclose(found.gradient[:, matrix].sum(axis=1), 299, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "place", [("emission", 4, 1), ("emission", 0, 2), ("transition", 1, 1), ("start", 2), ("end", 0)]
)
def test_a_bad_number_poisons_its_own_item(bad, place):
    case = drawn(7, 3, dtype="float32")
    right = solve(case.problem(), Passes.GRADIENT, Machine(1))
    case.theta[place[0]][(1, *place[1:])] = bad
    found = solve(case.problem(), Passes.GRADIENT, Machine(1))
    assert (right.fault, found.fault) == (0, 2)
    assert np.isnan(found.values[1]).all() and np.isnan(found.gradient[1]).all()
    for item in (0, 2):
        assert found.values[item].tobytes() == right.values[item].tobytes()
        assert found.gradient[item].tobytes() == right.gradient[item].tobytes()


def test_bits_depend_on_nothing_but_the_item():
    """Neither on the order of threads, nor on the batch."""
    case = drawn(19, 5, True, "float32", batch=5)
    problem = case.problem()
    machines = [Machine(1), Machine(2, interleaved=True), Machine(3, watched=False), Machine(4, numpy_integers=True)]
    found = [solve(problem, Passes.GRADIENT, machine, kernel=ALONE) for machine in machines]
    assert len({one.values.tobytes() + one.gradient.tobytes() for one in found}) == 1
    one = problem._replace(theta=problem.theta[3], ends=problem.ends[3:4], batch=1)
    alone = solve(one, Passes.GRADIENT, kernel=ALONE)
    assert alone.values.tobytes() + alone.gradient.tobytes() == found[0].values[3].tobytes() + (
        found[0].gradient[3].tobytes()
    )


def test_all_items_share_theta():
    case = drawn(5, 4, True)
    problem = case.problem()
    alike = problem._replace(theta=np.tile(problem.theta[0], (3, 1)))
    found = [solve(one, Passes.GRADIENT, kernel=ALONE) for one in (alike, alike._replace(theta=problem.theta[0]))]
    assert found[0].values.tobytes() + found[0].gradient.tobytes() == (
        found[1].values.tobytes() + found[1].gradient.tobytes()
    )


def test_other_kernels_are_taken_where_this_one_does_not_fit():
    plan = device_plan(compile(linear_chain(5, 4)))

    def tied_states(passes, real=np.float32, states=plan.states, limit=SHARED_LIMIT, **given):
        chosen = launch_of(
            plan._replace(states=states), passes, real, 7, Given(**{"solver": "exponential", **given}), limit
        )
        return chosen.variant.tied

    assert tied_states(Passes.VALUE) == tied_states(Passes.GRADIENT) == 8
    assert tied_states(Passes.GRADIENT, states=17) == 32
    for passes in (Passes.SLOPE, Passes.HESSIAN, Passes.WEIGHTS):
        assert tied_states(passes) == 0
    assert tied_states(Passes.GRADIENT, solver=SquaredL2(1.0).solver) == 0
    assert tied_states(Passes.GRADIENT, starts=True) == 0
    assert tied_states(Passes.GRADIENT, limit=1000) == 0
    assert tied_states(Passes.GRADIENT, states=0) == 0
    for real, most in ((np.float32, 128), (np.float64, 64)):
        assert (tied_states(Passes.VALUE, real, most), tied_states(Passes.VALUE, real, most + 1)) == (most, 0)


#: Bugs by name: module, text, what replaces it, and the errors that may tell of it.
BUGS = {
    "no barrier in a step of the forward pass": (forward,
        "            meet()\n        step += count", "        step += count", (RaceError, UnwrittenError)),
    "no barrier in a step of the backward pass": (backward,
        "            meet()\n            row = row_at", "            row = row_at", (RaceError,)),
    "one row instead of two in the forward pass": (forward,
        "side = TIED - side\n            if rank < TIED:", "side = 0\n            if rank < TIED:", (RaceError,)),
    "one row instead of two in the backward pass": (backward,
        "next_mass, next_weight\n            side = TIED - side", "next_mass, next_weight\n            side = 0",
        (RaceError,)),
    "no barrier behind the largest entries": (forward,
        "at + rank * (TIED + 1))\n    meet()\n", "at + rank * (TIED + 1))\n", (RaceError, UnwrittenError)),
    "no barrier behind the balance": (backward,
        "[at + rank] = bar\n    meet()\n", "[at + rank] = bar\n", (RaceError, UnwrittenError)),
    "a row that is not filled": (forward,
        "if rank < TIED:\n                work.ring[row_at(work, side) + rank] = weight",
        "if rank < chain.states:\n                work.ring[row_at(work, side) + rank] = weight", (UnwrittenError,)),
    "no barrier between the parts of a row": (
        matrix, "work.item.rank] = mass\n    meet()\n", "work.item.rank] = mass\n", (RaceError, UnwrittenError)),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_found(tmp_path, bug):
    module, old, new, kinds = BUGS[bug]
    source = inspect.getsource(module)
    assert source.count(old) == 1
    changed = functions_of(module_of(source.replace(old, new), tmp_path))
    case = drawn(40, 5, True, "float32")
    form = in_two_parts if module is matrix else as_planned
    with pytest.raises(kinds):
        solve(case.problem(), Passes.GRADIENT, Machine(1), kernel=kernel_with(solve_item, *changed), form=form)
