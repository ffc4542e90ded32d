"""The CPU schedule: rows of lanes, level by level."""
