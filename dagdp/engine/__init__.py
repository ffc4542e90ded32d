"""One call: from checked arrays to launches and back to the user's arrays, for NumPy alone."""
