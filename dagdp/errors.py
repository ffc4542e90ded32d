"""The errors that dagdp raises: each message says what was given, what was expected, and how to mend it."""


class DagError(ValueError):
    """Base of all errors that dagdp raises on purpose."""


class GraphError(DagError):
    """Dynamic programming cannot run on the graph: a cycle, no edge, an end that no start reaches, ..."""


class InputError(DagError):
    """Arguments of `dp_*` do not fit the graph: shape, dtype, NaN or an infinity of the wrong sign."""


class OmegaError(DagError):
    """An operator with impossible parameters, or an object that is no smoothed maximum."""


class DerivativeError(DagError):
    """A derivative that does not exist here: the third, in weights or temperatures."""
