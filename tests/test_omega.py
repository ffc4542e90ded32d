"""Operators: parameters, the contract checker on good and on broken ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from cases import IDS, OPERATORS

from dagdp import HardMax, Negentropy, Omega, OmegaError, SquaredL2, Tsallis
from dagdp.reference import max_omega
from dagdp.testing import check_omega


@pytest.mark.parametrize("omega", [*OPERATORS, Tsallis(1.05, 2.0), Negentropy(1e-3), SquaredL2(50.0)], ids=repr)
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
    with pytest.raises(OmegaError, match=r"Negentropy\.gamma is '1'; expected a number"):
        Negentropy("1")


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


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"conjugate": lambda self, y: y * y if y > 0.0 else 0.0}, "link is not the derivative of conjugate"),
        ({"slope": lambda self, y: 2.0 if y > 0.0 else 0.0}, "slope is not the derivative of link"),
        ({"corner": 0.5}, r"link\(corner\) must be 1"),
        ({"link": lambda self, y: -y if y > 0.0 else 0.0, "conjugate": lambda self, y: -0.5 * y * y if y > 0.0 else 0.0,
          "slope": lambda self, y: -1.0 if y > 0.0 else 0.0}, "non-negative, non-decreasing and convex"),
    ],
    ids=["conjugate", "slope", "corner", "sign"],
)  # fmt: skip
def test_a_broken_operator_is_found_out(replaced, message):
    with pytest.raises(OmegaError, match=message):
        check_omega(broken(**replaced))


def test_two_operators_of_one_name_share_no_kernel():
    """A class defined again, as in a notebook, is another operator."""
    from dagdp import Graph, compile, dp_value

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
