"""From texts to cubins: texts are specialised for a variant and an operator, compiled, and kept on disk."""
