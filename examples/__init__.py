"""Programs that use dagdp. The experiments of the paper are packages: python -m examples.ner --help."""
