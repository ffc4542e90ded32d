"""Supervised audio-to-score alignment: section 4.3, appendix C.2 and Table 2 of the paper. See README.md."""
