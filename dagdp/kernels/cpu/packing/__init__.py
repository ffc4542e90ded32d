"""Between the user's arrays, batch first, and rows of lanes."""
