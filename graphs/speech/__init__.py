"""Losses and alignments of speech: frames against labels, items of different lengths."""
