"""A row of numbers as one value: an extension of Numba that knows no graph."""
