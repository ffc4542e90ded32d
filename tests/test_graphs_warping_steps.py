"""Step patterns by name against the tables of dtw-python."""

from __future__ import annotations

import itertools
import warnings

import pytest

from dagdp.graphs.warping.steps import NAMED, leads_on, moves_of, pays_cells_only, pays_rows, reads_of, span

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    dtw_python = pytest.importorskip("dtw")

RABINER_JUANG = [*itertools.product("1234567", "abcd", ("", "s"))]


@pytest.mark.parametrize("name", NAMED)
def test_moves_are_those_of_dtw_python(name):
    """In any order: the first move of symmetric1 is diagonal, as in `dtw_grid`."""
    assert set(moves_of(name)) == set(moves_of(getattr(dtw_python.stepPattern, name)))


@pytest.mark.parametrize(("number", "letter", "smoothed"), RABINER_JUANG, ids="".join)
def test_moves_of_rabiner_and_juang(number, letter, smoothed):
    pattern = dtw_python.rabinerJuangStepPattern(int(number), letter, smoothed == "s")
    found = moves_of(f"rabiner-juang-{number}{letter}{smoothed}")
    assert found == moves_of(pattern) and pays_rows(found) >= (pattern.hint == "N")


def test_a_pattern_of_rows_of_dtw_python():
    pattern = dtw_python.stepPattern.typeIIIc
    assert moves_of(pattern)[2] == ((1, 1, 1.0), (1, 0, 1.0))
    for move in moves_of(dtw_python.stepPattern.mori2006):
        assert reads_of(move)[-1][:2] == (0, 0) and min(span(move)) >= 1


def test_what_patterns_have_in_common():
    assert pays_cells_only(moves_of("symmetric2")) and not pays_cells_only(moves_of("asymmetricP0"))
    assert leads_on(moves_of("asymmetricP0")) and not leads_on(moves_of("symmetricP1"))
