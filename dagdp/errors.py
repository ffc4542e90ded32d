"""Every error a user can meet: each message says what was given, what was expected, and the mend."""


class DagError(ValueError):
    """Base of all errors that dagdp raises on purpose."""


class GraphError(DagError):
    """The graph is not one that dynamic programming can run on (a cycle, no edge, an end out of reach, ...)."""


class InputError(DagError):
    """Numbers handed to `dp_*` do not fit the graph: shape, dtype, NaN or an infinity of the wrong sign."""


class OmegaError(DagError):
    """A smoothed maximum with impossible parameters, or one that is not a smoothed maximum at all."""


class DerivativeError(DagError):
    """A derivative that this package does not have: the third, in weights or temperatures."""
