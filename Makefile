# A fresh clone needs Python 3.11 or newer with pip, make, and a C++ compiler.
# Everything is installed into .venv, once; see CONTRIBUTING.md.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP_FLAGS ?=
ARGS ?=
BIN := .venv/bin
# Python compiles what is imported, once if it may keep it; pip would compile every file of torch.
unexport PYTHONDONTWRITEBYTECODE
INSTALL = $(BIN)/python -m pip install --quiet --no-compile $(PIP_FLAGS) --constraint constraints.txt

# Data sets that cannot be part of the repository; tests that need one are skipped without.
ifndef PLAYGROUND_DATA
ifneq ($(wildcard ../shared/data),)
export PLAYGROUND_DATA := $(abspath ../shared/data)
endif
endif

# The matrices of tests are small: a second thread costs more than it gives, a second process
# does not. Tests of one file share what they set up, so a file stays in one process.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadscope -p no:benchmark

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo ablation test test-all aot bench lint docs clean

help:
	@echo 'make install   the command playground, in .venv'
	@echo 'make demo      train a small ablation on real text and report it (5 minutes on 2 idle cores)'
	@echo 'make ablation  the variants of the Titans paper, table 5 (25 minutes on 2 idle cores)'
	@echo 'make test      the tests (9 minutes on 2 idle cores)'
	@echo 'make test-all  also the slow ones: every rule compiled, 100,000-token streams'
	@echo 'make aot       kernels compiled for GPUs that need not be here; writes docs/results/aot.md'
	@echo 'make bench     speed, each time behind a check of the numbers'
	@echo 'make lint      ruff and pyright'
	@echo 'make docs      write the generated pages'
	@echo 'make clean     remove caches and build files; keeps .venv, runs/, sweeps/ and searches/'

install: .venv/.stamp-run

demo: .venv/.stamp-run
	$(BIN)/playground sweep specs/sweeps/demo.yaml $(ARGS)

ablation: .venv/.stamp-run
	$(BIN)/playground sweep specs/sweeps/titans_ablation.yaml $(ARGS)

test: .venv/.stamp-test
	$(PYTEST) -m 'not slow and not gpu' $(ARGS)

test-all: .venv/.stamp-test
	$(PYTEST) -m 'not gpu' $(ARGS)

aot: .venv/.stamp-test
	$(BIN)/python -m benchmarks.aot --all --write docs/results/aot.md $(ARGS)

bench: .venv/.stamp-peers
	$(BIN)/python -m pytest benchmarks $(ARGS)

lint: .venv/.stamp-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: .venv/.stamp-run
	$(BIN)/python -m playground.cli.rules_page
	$(BIN)/playground results

clean:
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .benchmarks *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# Debian's python3 has no ensurepip unless python3-venv is there; its pip can install into a venv.
.venv/pyvenv.cfg:
	@test -n '$(PYTHON)' || { echo 'No Python 3.11 or newer here: make PYTHON=/path/to/python3.11'; exit 1; }
	$(PYTHON) -m venv .venv || { $(PYTHON) -m venv --without-pip .venv \
		&& $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }

.venv/.stamp-run: .venv/pyvenv.cfg pyproject.toml constraints.txt
	$(INSTALL) --editable .
	@touch $@

.venv/.stamp-test .venv/.stamp-lint: .venv/.stamp-%: .venv/pyvenv.cfg pyproject.toml constraints.txt
	$(INSTALL) --editable '.[$*]'
	@touch $@

.venv/.stamp-peers: .venv/pyvenv.cfg pyproject.toml constraints.txt
	$(INSTALL) --editable '.[test,peers]'
	@touch $@
