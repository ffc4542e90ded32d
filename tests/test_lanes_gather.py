"""Rows whose elements' places are listed, against NumPy: whole rows and parts of them, with places that are absent."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from dagdp.jit.decorators import OPTIONS
from dagdp.lanes.gather import (
    gather,
    gather_pair,
    gather_present,
    scatter,
    scatter_add,
    scatter_present,
)
from dagdp.lanes.prefetch import prefetch_listed
from dagdp.lanes.rows import load, store

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SHIFT, START = 2, 3


def rows_of(dtype):
    """(lanes, an array, a row, places in the array and -1 for none) with several equal places."""
    rng, lanes = np.random.default_rng(0), 64 // np.dtype(dtype).itemsize
    places = rng.integers(0, 3 * lanes, START + lanes).astype(np.int32)
    places[START + 1] = places[START]
    return lanes, rng.normal(size=3 * lanes + SHIFT).astype(dtype), rng.normal(size=lanes).astype(dtype), places


def absences(lanes):
    """Which places are absent: none, some in all groups of lanes, all."""
    return np.zeros(lanes, bool), np.arange(lanes) % 3 == 1, np.ones(lanes, bool)


@numba.njit(**OPTIONS)
def gather_rows(array, other, places, count, rows):
    store(rows, 0, gather(array, places, START, SHIFT, count))
    hi, lo = gather_pair(array, other, places, START, count)
    store(rows, rows.size // 3, hi)
    store(rows, 2 * rows.size // 3, lo)


@numba.njit(**OPTIONS)
def gather_where_present(array, places, count, row):
    store(row, 0, gather_present(array, places, START, SHIFT, count))


@numba.njit(**OPTIONS)
def scatter_row(array, places, count, row):
    scatter(array, places, START, SHIFT, count, load(row, 0))


@numba.njit(**OPTIONS)
def scatter_where_present(array, places, count, row):
    prefetch_listed(array, places, START, SHIFT, count)
    scatter_present(array, places, START, SHIFT, count, load(row, 0))


@numba.njit(**OPTIONS)
def add(array, places, count, row):
    scatter_add(array, places, START, SHIFT, count, load(row, 0))


@DTYPES
def test_gathered_rows(dtype):
    lanes, array, _, places = rows_of(dtype)
    other = -array
    for count in range(1, lanes + 1):
        rows = np.full((3, lanes), np.nan, dtype)
        gather_rows(array, other, places, count, rows.reshape(-1))
        there, inside = places[START : START + count], np.arange(lanes) < count
        np.testing.assert_array_equal(rows[:, :count], [array[there + SHIFT], array[there], other[there]])
        for row, beyond in zip(rows, (0, -np.inf, 0), strict=True):
            assert (row[~inside] == beyond).all()


@DTYPES
def test_gathered_rows_with_absent_places(dtype):
    lanes, array, row, places = rows_of(dtype)
    for absent in absences(lanes):
        listed = places.copy()
        listed[START:][absent] = -1
        for count in range(1, lanes + 1):
            gather_where_present(array, listed, count, row)
            expected = np.where(absent | (np.arange(lanes) >= count), 0, array[places[START:] + SHIFT])
            np.testing.assert_array_equal(row, expected)


@DTYPES
def test_scattered_rows(dtype):
    """The last of equal places stays; nothing else is touched."""
    lanes, array, row, places = rows_of(dtype)
    for count in range(1, lanes + 1):
        made, expected = array.copy(), array.copy()
        scatter_row(made, places, count, row)
        expected[places[START : START + count] + SHIFT] = row[:count]
        np.testing.assert_array_equal(made, expected)
        for absent in absences(lanes):
            listed, made, expected = places.copy(), array.copy(), array.copy()
            listed[START:][absent] = -1
            scatter_where_present(made, listed, count, row)
            real = ~absent[:count]
            expected[places[START : START + count][real] + SHIFT] = row[:count][real]
            np.testing.assert_array_equal(made, expected)


@DTYPES
def test_sums_over_scattered_rows(dtype):
    """Equal places add up, in the order of lanes."""
    lanes, array, row, places = rows_of(dtype)
    for count in range(1, lanes + 1):
        made, expected = array.copy(), array.copy()
        add(made, places, count, row)
        for place, value in zip(places[START : START + count], row, strict=False):
            expected[place + SHIFT] += value
        np.testing.assert_array_equal(made, expected)
