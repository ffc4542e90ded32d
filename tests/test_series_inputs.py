"""Sets of series: ragged lists, NaN behind the ends, lengths, and the errors that name a series."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from dagdp import InputError
from dagdp.series.inputs import series_set, weights_of

NAN = np.nan


def test_a_list_nan_and_lengths_make_one_set():
    ragged = [np.arange(4.0), np.array([7.0, 8.0])]
    rows = np.array([[0.0, 1.0, 2.0, 3.0], [7.0, 8.0, NAN, NAN]])
    any_padding = np.where(np.isnan(rows), 99.0, rows)
    made = [series_set(ragged), series_set(rows), series_set(rows[..., None]), series_set(any_padding, [4, 2])]
    for one in made:
        assert one.lengths.tolist() == [4, 2] and one.values.shape == (2, 4, 1)
        assert one.values[1, :, 0].tolist() == [7.0, 8.0, 0.0, 0.0]


def test_series_of_several_features():
    made = series_set([np.ones((3, 2)), np.zeros((1, 2))])
    assert made.values.shape == (2, 3, 2) and made.one(1).shape == (1, 2)


@pytest.mark.parametrize(
    ("series", "lengths", "says"),
    [
        ([], None, "expected one series or more"),
        ([[1.0], []], None, r"series\[1\] has shape \(0,\)"),
        ([[1.0, NAN, 2.0]], None, r"series\[0\] has \[nan\] at entry 1, before its end 3"),
        ([[1.0], [np.inf]], None, r"series\[1\] has \[inf\] at entry 0"),
        (np.array([[1.0, 2.0], [NAN, NAN]]), None, r"series\[1\] holds nothing but NaN"),
        ([np.ones((2, 2)), np.ones((2, 3))], None, r"series\[1\] has 3 features"),
        (np.ones(3), None, r"shape \(3,\); expected \[n, N\]"),
        (np.ones((2, 3)), [1, 4], r"lengths\[1\] is 4; expected 1 to 3"),
        (np.ones((2, 3)), [1.0, 2.0], "expected integers"),
        (np.ones((2, 3), complex), None, "expected real numbers"),
    ],
)
def test_errors_name_the_series(series, lengths, says):
    with pytest.raises(InputError, match=says):
        series_set(series, lengths)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [NAN, 1.0]])
def test_weights_that_do_not_fit(weights):
    with pytest.raises(InputError, match="expected 2 finite numbers"):
        weights_of(weights, 2)


def test_without_scikit_learn_and_scipy_the_errors_name_the_extra():
    """None in sys.modules makes an import fail as it does where the package is missing."""
    code = """if True:
        import sys
        sys.modules |= {"sklearn": None, "scipy": None, "torch": None}
        import dagdp, inspect
        from dagdp import series
        hard = series.barycentre([[0.0, 2.0], [0.0, 2.0]], dagdp.HardMax())
        assert hard.barycentre.tolist() == [0.0, 2.0]
        for attempt in ("series.KMedoids", "series.TimeSeriesKMeans", "series.barycentre([[1.0, 2.0]])"):
            try:
                eval(attempt)
            except ImportError as error:
                print(error)
        inspect.getmembers(series)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pip install dagdp[sklearn]") == 3
