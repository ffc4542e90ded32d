"""Operators: parameters, the contract checker on good and on broken ones."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pytest
from cases import IDS, OPERATORS, Tsallis15, combinations

from dagdp import Graph, HardMax, Negentropy, Omega, OmegaError, SquaredL2, Tsallis, compile, dp_value_and_grad
from dagdp.reference import max_omega
from dagdp.testing import check_omega


def of_the_readme(omega):
    """The user's operator, which is Tsallis(1.5) in other words, and the closed form; each has nine kernels."""
    return isinstance(omega, Negentropy | Tsallis15)


@combinations(of_the_readme, omega=[*OPERATORS, Tsallis(1.05, 2.0), Negentropy(1e-3), SquaredL2(50.0)])
def test_every_bundled_operator_keeps_the_contract(omega):
    check_omega(omega)


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("kind", [Negentropy, SquaredL2, lambda g: Tsallis(1.5, g)])
def test_gamma_must_be_positive_and_the_message_names_hardmax(kind, gamma):
    with pytest.raises(OmegaError, match=r"given gamma=.*; expected a finite gamma > 0.*use HardMax\(\)"):
        kind(gamma)


@pytest.mark.parametrize("alpha", [1.0, 0.5, 2.1, math.nan])
def test_alpha_has_its_range(alpha):
    with pytest.raises(OmegaError, match=r"given alpha=.*; expected 1 < alpha <= 2"):
        Tsallis(alpha, 1.0)


def test_a_parameter_must_be_a_number():
    for wrong in ("1", None, True, np.ones(2), [1.0]):
        with pytest.raises(OmegaError, match=r"Negentropy\.gamma is .*; expected a number, .*float\(\).*Learnable"):
            Negentropy(wrong)


def test_a_class_without_the_three_functions_is_refused():
    with pytest.raises(OmegaError, match="Half defines no conjugate and no slope; a max_Ω needs"):

        @dataclass(frozen=True)
        class Half(Omega):
            gamma: float = 1.0

            def link(self, y):
                return y


def broken(**replaced):
    """SquaredL2 with one function changed."""
    methods = {name: getattr(SquaredL2, name) for name in ("conjugate", "link", "slope")}
    body = {"__annotations__": {"gamma": float}, "gamma": 1.0, **methods, **replaced}
    return dataclass(frozen=True)(type("Broken", (Omega,), body))()


SQUAREPLUS = {  # (y + sqrt(y² + 4))/2, which is -1/y far to the left
    "corner": 0.0,
    "link": lambda self, y: 0.5 * (y + math.sqrt(y * y + 4.0)),
    "slope": lambda self, y: 0.5 + 0.5 * y / math.sqrt(y * y + 4.0),
    "conjugate": lambda self, y: 0.25 * y * (y + math.sqrt(y * y + 4.0)) + math.asinh(0.5 * y),
}


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"conjugate": lambda self, y: y * y if y > 0.0 else 0.0}, "link is not the derivative of conjugate"),
        ({"slope": lambda self, y: 2.0 if y > 0.0 else 0.0}, "slope is not the derivative of link"),
        ({"corner": 0.5}, r"link\(corner\) must be 1"),
        ({"link": lambda self, y: -y if y > 0.0 else 0.0, "conjugate": lambda self, y: -0.5 * y * y if y > 0.0 else 0.0,
          "slope": lambda self, y: -1.0 if y > 0.0 else 0.0}, "non-negative, non-decreasing and convex"),
        (SQUAREPLUS, r"link must be 0\.0, or underflow to it, for large negative y.*Return 0\.0.*y = -1000.*link = "),
        ({"slope": lambda self, y: 1.0 if y > 0.0 or y < -1e5 else 0.0}, r"slope must be 0\.0.*y = -1000000\.0"),
        ({"conjugate": lambda self, y: 0.5 * y * y if y > 0.0 else 1.0 if y < -1e5 else 0.0}, "conjugate must be 0"),
    ],
    ids=["conjugate", "slope", "corner", "sign", "squareplus", "slope behind", "conjugate behind"],
)  # fmt: skip
def test_a_broken_operator_is_found_out(replaced, message):
    with pytest.raises(OmegaError, match=message):
        check_omega(broken(**replaced))


def test_two_operators_of_one_name_share_no_kernel():
    """A class defined again, as in a notebook, is another operator."""
    from dagdp import dp_value

    dag = compile(Graph.from_edges([0, 0], [1, 1]))
    plain = broken()
    double = broken(
        link=lambda self, y: 2.0 * y if y > 0.0 else 0.0,
        conjugate=lambda self, y: y * y if y > 0.0 else 0.0,
        slope=lambda self, y: 2.0 if y > 0.0 else 0.0,
        corner=0.5,
    )
    assert dp_value(dag, np.zeros(2), plain) == pytest.approx(-0.25, abs=1e-12)
    assert dp_value(dag, np.zeros(2), double) == pytest.approx(-0.125, abs=1e-12)


@pytest.mark.parametrize("omega", OPERATORS, ids=IDS)
def test_the_reference_row_equals_the_oracle(omega):
    import oracles

    rng = np.random.default_rng(0)
    for size in (1, 2, 5):
        x = rng.normal(size=size)
        value, q, _ = max_omega(list(x), omega)
        exact, weights = oracles.row_solver(omega)(x)
        assert value == pytest.approx(exact, abs=1e-12)
        np.testing.assert_allclose(q, weights, atol=1e-12)


def test_hardmax_needs_no_temperature():
    assert HardMax() == HardMax() and repr(HardMax()) == "HardMax()"


def two_edges(omega, dtype=np.float64):
    """Value and gradient on two parallel edges of weights 0.3 and 0.1."""
    return dp_value_and_grad(compile(Graph.from_edges([0, 0], [1, 1])), np.array([0.3, 0.1], dtype), omega)


def positive(y):
    return y if y > 0.0 else 0.0


LINKS = {"np": lambda self, y: np.maximum(y, 0.0), "helper": lambda self, y: positive(y)}


@combinations(lambda link, dtype: (link == "np") == (dtype == np.float64), link=LINKS, dtype=[np.float64, np.float32])
def test_numpy_functions_and_helpers_may_be_called(link, dtype):
    value, grad = two_edges(broken(link=LINKS[link]), dtype)
    expected, weights = two_edges(SquaredL2(), dtype)
    assert value.dtype == grad.dtype == dtype
    assert value == pytest.approx(expected, rel=1e-6) and grad == pytest.approx(weights, rel=1e-6)


class Elsewhere:
    """Nothing that a kernel can take."""


def test_what_cannot_be_compiled_is_named():
    omega = broken(link=lambda self, y: Elsewhere.link(y))
    with pytest.raises(
        OmegaError, match=r"Broken cannot be compiled: Broken\.link refers to Elsewhere.*math\.exp"
    ) as met:
        two_edges(omega)
    assert len(str(met.value)) < 600 and met.value.__cause__ is None


METHODS = {name: getattr(SquaredL2, name) for name in ("conjugate", "link", "slope")}


def test_a_class_without_gamma_is_told_to_add_it():
    kind = dataclass(frozen=True)(
        type("Wide", (Omega,), {"__annotations__": {"width": float}, "width": 2.0, **METHODS})
    )
    with pytest.raises(OmegaError, match=r"Wide has the fields \['width'\]; expected gamma.*add `gamma: float = 1\.0`"):
        kind()


@pytest.mark.parametrize("given", [(), (0.5,)])
def test_a_class_that_is_no_dataclass_is_told_to_become_one(given):
    kind = type("Plain", (Omega,), {"__annotations__": {"gamma": float}, "gamma": 1.0, **METHODS})
    with pytest.raises(OmegaError, match=r"Plain is not a dataclass; decorate it with @dataclass\(frozen=True\)"):
        kind(*given)


def test_a_class_in_the_place_of_an_operator_is_refused():
    with pytest.raises(OmegaError, match=r"omega is <class .*Negentropy'>; expected an operator such as Negentropy\(1"):
        two_edges(Negentropy)


@pytest.mark.parametrize("kind", [Negentropy, SquaredL2, lambda g: Tsallis(1.5, g), lambda g: Tsallis(2.0, g)])
@pytest.mark.parametrize(
    ("gamma", "dtype"),
    [(1e-39, np.float32), (1e-46, np.float32), (1e39, np.float32), (2e38, np.float32), (1e-320, np.float64)],
)
def test_gamma_must_be_a_number_of_the_dtype(kind, gamma, dtype):
    with pytest.raises(
        OmegaError, match=rf"given gamma={re.escape(str(gamma))}, and potentials in {np.dtype(dtype)}; expected .*ivide"
    ):
        two_edges(kind(gamma), dtype)


def test_small_and_large_gammas_within_the_dtype_are_taken():
    assert two_edges(Negentropy(1e-37), np.float32)[1].tolist() == [1.0, 0.0]
    assert two_edges(Negentropy(1e-39))[1].tolist() == [1.0, 0.0]
    assert two_edges(Negentropy(1e37), np.float32)[1] == pytest.approx([0.5, 0.5])
