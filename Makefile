# make audit   set up everything, then measure smollm2 and name the report
# make test    set up everything, then run the tests
# make conformance   every method and locator on further architectures
# make check   format, lint, types, architecture tests, documentation
# make docs    build the documentation into site/
# make clean   remove the virtual environment and everything built
#
# Another Python: make PYTHON=python3.13 audit

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# mkdocs-material's advertisement for its successor is not a finding.
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help audit test conformance fetch check docs clean

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

audit: $(VENV)/installed
	$(BIN)/evenhand audit smollm2 --suite quick --resume

# One worker for each core, one thread for each worker: tiny models gain nothing from more.
test: $(VENV)/tools fetch
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile

# Every registered method and locator on the architectures that `make test` leaves out.
conformance: $(VENV)/tools
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadgroup -m conformance tests/conformance

# Data and model for the tests that need them, kept in the user's cache; without them these tests are skipped.
fetch: $(VENV)/tools
	@for name in bbq crows_pairs stereoset gap smollm2; do \
	  $(BIN)/python -c "from evenhand.data.source import get; get('$$name').paths()" || \
	    echo "Could not get $$name: the tests that need it are skipped." >&2; \
	done

check: $(VENV)/tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest tests/architecture
	$(BIN)/mkdocs build --strict --quiet

docs: $(VENV)/tools
	$(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html"

clean:
	rm -rf $(VENV) site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment. Its pip is made new first: old ones know no dependency groups.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "evenhand needs Python 3.11 or newer, but $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another one, for example: make PYTHON=python3.12"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; } >&2
	$(PYTHON) -m venv $(VENV)

# Installed again whenever the requirements change; sources are used in place.
$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --upgrade "pip>=25.1"
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/tools: $(VENV)/installed
	$(PIP) install --constraint constraints.txt --group dev --group docs
	@touch $@
