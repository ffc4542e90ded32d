"""Arguments of estimators: series as scikit-learn passes them, and whole numbers in range."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, validate_data

from dagdp import InputError, Omega, OmegaError
from dagdp.series.inputs import Numbers, SeriesSet, series_set

#: What `validate_data` and `check_array` are told: float64, NaN behind the ends, a third axis of features.
SERIES = {"dtype": np.float64, "ensure_all_finite": "allow-nan", "allow_nd": True}


def fitted_series(estimator: Any, X: Any) -> tuple[SeriesSet, bool]:
    """The series that an estimator is fitted to, and whether they are plain numbers, X [n, N].

    Sets `n_features_in_`, and `feature_names_in_` of a data frame.
    """
    X = _rectangular(X)
    try:
        values = validate_data(estimator, X, **SERIES)
    except ValueError as error:
        raise InputError(f"X does not fit: {error}") from None
    return series_set(values, what="X"), values.ndim == 2


def labelled_series(estimator: Any, X: Any, y: Any) -> tuple[SeriesSet, Any]:
    """The series that a classifier is fitted to, and a label for each."""
    X = _rectangular(X)
    try:
        values, labels = validate_data(estimator, X, y, **SERIES)
    except ValueError as error:
        raise InputError(f"X and y do not fit: {error}") from None
    return series_set(values, what="X"), labels


def new_series(X: Any, features: int) -> SeriesSet:
    """Series for a fitted estimator: of any lengths, with as many features as those of `fit`."""
    X = _rectangular(X)
    try:
        values = check_array(X, **SERIES)
    except ValueError as error:
        raise InputError(f"X does not fit: {error}") from None
    found = series_set(values, what="X")
    if found.values.shape[2] != features:
        raise InputError(
            f"X has {found.values.shape[2]} features an entry, and that of fit had {features}; expected {features}"
        )
    return found


def whole(value: Any, name: str, least: int = 1) -> int:
    """A whole number. Raises InputError for another type, and below `least`.

    >>> whole(3, "n_init")
    3
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} is {value!r}; expected a whole number, at least {least}")
    return int(value)


def clusters_among(value: Any, n: int, what: str) -> int:
    """The number of clusters. Raises InputError unless there are as many items to put into them."""
    if whole(value, "n_clusters") > n:
        raise InputError(f"n_clusters={value} and n_samples={n}; expected at most as many clusters as {what}")
    return int(value)


def checked_omega(omega: Any) -> Omega | None:
    """The operator. Raises OmegaError for another object, such as a number for gamma."""
    if omega is not None and not isinstance(omega, Omega):
        raise OmegaError(f"omega is {omega!r}; expected an operator such as dagdp.Negentropy(gamma) or dagdp.HardMax()")
    return omega


def padded_with_nan(series: SeriesSet) -> Numbers:
    """The values [n, N, d] with NaN behind the ends."""
    inside = np.arange(series.values.shape[1]) < series.lengths[:, None]
    return np.where(inside[..., None], series.values, np.nan)


def _rectangular(X: Any) -> Any:
    """A list of series of several lengths as one array; everything else as it is."""
    if isinstance(X, list | tuple) and len({np.shape(one)[:1] for one in X if not np.isscalar(one)}) > 1:
        made = padded_with_nan(series_set(X, what="X"))
        return made[..., 0] if np.ndim(X[0]) == 1 else made
    return X
