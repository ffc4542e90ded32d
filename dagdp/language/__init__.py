"""The source language: from the text of a recurrence to a graph, in four steps: parse, check, enumerate, assemble."""
