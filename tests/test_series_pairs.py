"""Distances of all pairs: tslearn's numbers, each pair alone, windows, blocks."""

from __future__ import annotations

import numpy as np
import pytest

from dagdp import GraphError, HardMax, InputError, Negentropy, SquaredL2
from dagdp.graphs import dtw_value
from dagdp.series import distances

WAVES = [np.sin(np.arange(n) * 6.0 / n + k) for k, n in enumerate((20, 24, 17, 20))]
#: tslearn 0.10.0: cdist_dtw(WAVES, global_constraint="sakoe_chiba", sakoe_chiba_radius=2) ** 2
OF_TSLEARN = [
    [0.0, 3.105015121981, 11.622838440214, 38.165846421587],
    [3.105015121981, 0.0, 0.583562186642, 12.128641253605],
    [11.622838440214, 0.583562186642, 0.0, 1.257815861167],
    [38.165846421587, 12.128641253605, 1.257815861167, 0.0],
]
#: tslearn 0.10.0: cdist_soft_dtw(WAVES, gamma=0.5)
SOFT_OF_TSLEARN = [
    [-13.699760484994, -10.896450830373, -1.237025491668, 10.875524671375],
    [-10.896450830373, -17.003697841232, -11.563824865143, -5.669089708694],
    [-1.237025491668, -11.563824865143, -10.707899716919, -9.792837786369],
    [10.875524671375, -5.669089708694, -9.792837786369, -13.661884357293],
]


def test_the_numbers_of_tslearn():
    np.testing.assert_allclose(distances(WAVES, window=2), OF_TSLEARN, atol=1e-11)
    np.testing.assert_allclose(distances(WAVES, omega=Negentropy(0.5)), SOFT_OF_TSLEARN, atol=1e-11)


@pytest.mark.parametrize("omega", [HardMax(), Negentropy(0.3), SquaredL2(0.7)], ids=repr)
@pytest.mark.parametrize("window", [None, 3, ("sakoechiba", 8), ("slantedband", 3), ("itakura", 2.0), ("band", 4)])
def test_each_pair_is_that_of_dtw_value_alone(omega, window):
    random = np.random.default_rng(0)
    x, y = ([random.normal(size=(n, 2)) for n in sizes] for sizes in ((5, 8), (7, 5, 9)))
    alone = [[dtw_value(x=a, y=b, omega=omega, window=window) for b in y] for a in x]
    np.testing.assert_allclose(distances(x, y, omega, window=window), alone, atol=1e-11)
    mixed = [*x, *y]
    own = [[dtw_value(x=a, y=b, omega=omega, window=window) for b in mixed] for a in mixed]
    np.testing.assert_allclose(distances(mixed, omega=omega, window=window), own, atol=1e-11)


def test_blocks_change_nothing(monkeypatch):
    whole = distances(WAVES)
    monkeypatch.setattr("dagdp.series.pairs.CELLS", 3 * 24 * 24)
    assert (distances(WAVES) == whole).all() and (distances(WAVES, WAVES) == whole).all()


def test_a_window_that_no_path_crosses_is_an_infinite_distance():
    assert distances([[0.0] * 9], [[0.0] * 3, [0.0] * 9], window=("sakoechiba", 2)).tolist() == [[np.inf, 0.0]]


def test_arguments_that_do_not_fit():
    with pytest.raises(InputError, match="expected equal d"):
        distances([np.ones((2, 2))], [np.ones((2, 3))])
    with pytest.raises(InputError, match="lengths_y was given without y"):
        distances(WAVES, lengths_y=[1])
    with pytest.raises(InputError, match="expected a radius in cells"):
        distances(WAVES, window=np.ones((3, 3), bool))
    with pytest.raises(GraphError, match="window"):
        distances(WAVES, window=("unknown", 3))
    with pytest.raises(InputError, match=r"y\[1\]"):
        distances(WAVES, [[1.0], [np.inf]])
