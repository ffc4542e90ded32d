"""Tools for sets of time series: barycentres, distance matrices, a lower bound, clustering, nearest neighbours.

Series are arrays of numbers with a time axis; costs are squared Euclidean, and are minimised. The barycentre under a
smoothed minimum needs SciPy, the estimators need scikit-learn: the extra `sklearn`.
"""

from __future__ import annotations

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from dagdp.series.barycentres import Barycentre as Barycentre
from dagdp.series.barycentres import barycentre as barycentre
from dagdp.series.bounds import lower_bounds as lower_bounds
from dagdp.series.pairs import distances as distances

if _TYPE_CHECKING:
    from dagdp.series.estimators.kmeans import TimeSeriesKMeans as TimeSeriesKMeans
    from dagdp.series.estimators.kmedoids import KMedoids as KMedoids
    from dagdp.series.estimators.neighbours import KNeighborsTimeSeries as KNeighborsTimeSeries

_ESTIMATORS = {"TimeSeriesKMeans": "kmeans", "KMedoids": "kmedoids", "KNeighborsTimeSeries": "neighbours"}

__all__ = ["Barycentre", "KMedoids", "KNeighborsTimeSeries", "TimeSeriesKMeans", "barycentre", "distances",
           "lower_bounds"]  # fmt: skip


def __getattr__(name: str) -> _Any:
    if name not in _ESTIMATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(_importlib.import_module(f"dagdp.series.estimators.{_ESTIMATORS[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("sklearn", "scipy"):
            raise
        raise ImportError(
            f"dagdp.series.{name} was asked for where scikit-learn is not installed; run `pip install dagdp[sklearn]`",
            name="sklearn",
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from importlib.util import find_spec

    names = {name for name in globals() if name.startswith("__")}.union(__all__)
    # help() and inspect read every name of dir(), and the estimators cannot be read without scikit-learn
    return sorted(names if find_spec("sklearn") else names - set(_ESTIMATORS))
