"""The errors that dagdp raises: each message says what was given, what was expected, and how to mend it."""

from collections.abc import Collection, Sequence
from typing import Any


class DagError(ValueError):
    """Base of all errors that dagdp raises on purpose."""


class GraphError(DagError):
    """Dynamic programming cannot run on the graph: a cycle, no edge, an end that no start reaches, ..."""


class InputError(DagError):
    """Arguments of `dp_*` do not fit the graph: shape, dtype, NaN or an infinity of the wrong sign."""


def wrong_keys(what: str, given: Collection[Any], names: Sequence[Any]) -> InputError:
    """The error for a dict whose keys are not the names of the graph's potentials."""
    unknown = [key for key in given if key not in names]
    missing = [name for name in names if name not in given]
    faults = [f"{which} {keys}" for which, keys in (("unknown are", unknown), ("missing are", missing)) if keys]
    return InputError(f"{what} has keys {sorted(map(str, given))}; expected exactly {names}: {', '.join(faults)}")


class OmegaError(DagError):
    """An operator with impossible parameters, or an object that is no smoothed maximum."""


class DerivativeError(DagError):
    """A derivative that does not exist here: the third, in weights or temperatures."""
