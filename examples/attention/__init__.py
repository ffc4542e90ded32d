"""Structured attention in translation: section 5, section C.3, Table 3, Figures 4 and 8 of the paper."""
