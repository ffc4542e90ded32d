# The commands of the README. Each makes .venv if there is none, installs what it needs, and runs.
PYTHON ?= python3
BIN := .venv/bin
# What is never imported is not compiled: all that the tests ask for is installed in 38 and 50 s in place of 85 and 95.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
# Alone and by its exact pin, before anything that depends on it: where an index has a CPU build of that version, it is taken.
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: demo test test-all suite exhaustive generic cuda lint docs bench dist clean

demo: .venv/.demo
	$(BIN)/python examples/quickstart.py

test: .venv/.test
	$(MAKE) --jobs 2 suite lint

# What `make test` leaves out: every combination of operators, types and graphs, and its tests on graphs of which nothing
# is proved. It finds the kernels of `make test` in the cache.
test-all: exhaustive generic cuda docs

# Each worker takes files from one end: two that take tests in turn ask for the same kernel at once, and one waits.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

suite: .venv/.test
	$(PYTEST)

# Tests of families and their pictures ask for no more combinations: kernels are tested on graphs of their own.
FAMILIES := $(filter-out tests/test_graphs_onsets.py,$(wildcard tests/test_graphs_*.py)) tests/test_gallery.py
KERNELS := $(FAMILIES:%=--ignore=%)

exhaustive: .venv/.test
	$(PYTEST) --exhaustive $(KERNELS)

generic: .venv/.test
	$(PYTEST) --generic $(KERNELS)

# Compiles device kernels, and measures them. It needs no device and no torch, but 1 GB of compilers, which `make test` does
# without: its environment skips these files.
cuda: .venv-cuda/.test
	.venv-cuda/bin/python -m pytest tests/test_cuda_build.py tests/test_cuda_cubins.py tests/test_cuda_launch.py

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/typecheck.py

# The site, in docs/_build/html: every script of the gallery and every tutorial runs, and a warning is an error. Then every
# link between its pages is followed.
docs: .venv/.docs
	rm -rf docs/_build docs/reference/api # what an earlier build left of a name that is gone would be a broken link
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python docs/extensions/check_links.py docs/_build/html

# The picture of the README and of the site's first page: what this script of the gallery draws.
docs/pictures/expected_alignments.png: examples/gallery/time_series/expected_alignments.py .venv/.test
	MPLBACKEND=Agg $(BIN)/python -c "import runpy, matplotlib.pyplot as plt; plt.show = lambda: None; \
		runpy.run_path('$<'); plt.savefig('$@', dpi=110)"

# What the index takes, in dist/. The wheel is tried in an empty environment, from a folder without a checkout.
dist: .venv-dist/.build
	rm -rf dist .venv-smoke
	.venv-dist/bin/python -m build --outdir dist
	.venv-dist/bin/python -m twine check --strict dist/*
	$(PYTHON) -m venv .venv-smoke
	.venv-smoke/bin/python -m pip install --quiet --disable-pip-version-check --no-compile dist/*.whl
	cd dist && ../.venv-smoke/bin/python ../tests/smoke.py

bench: .venv/.peers
	$(BIN)/python tests/bench/run_all.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e ".[examples]"
	touch $@

.venv/.test: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) $(TORCH)
	$(PIP) -e ".[test]"
	touch $@ .venv/.demo

.venv/.docs: .venv/.test
	$(PIP) -e ".[docs]"
	touch $@

.venv/.peers: .venv/.test
	$(PIP) -e ".[peers]"
	touch $@

.venv-cuda/.test: pyproject.toml
	$(PYTHON) -m venv .venv-cuda
	.venv-cuda/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -e ".[test-cuda]"
	touch $@

.venv-dist/.build:
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet --disable-pip-version-check --no-compile "build>=1.2" "readme-renderer[md]" "twine>=6.1"
	touch $@

clean:
	rm -rf .venv .venv-cuda .venv-dist .venv-smoke build dist docs/_build docs/gallery docs/tutorials docs/reference/api
	rm -rf *.egg-info .mypy_cache .pytest_cache .ruff_cache
