"""The parts of dynamic time warping: steps, windows, costs of series, the grid as a text, and a call put together."""
