"""One request about paths: its checked input, and the user's graph in the forms that requests read."""
