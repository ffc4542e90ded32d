"""Items of an alignment grid: levels are diagonals, whose cells' parents lie at constant distances."""
