"""Named entities under five structured losses: section 4.2 and table 1 of the paper. See README.md in this folder."""
