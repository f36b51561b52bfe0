# Everything runs from a private environment in .venv; `make demo` and `make test` set it up on first use.
PYTHON ?= python3
VENV   ?= .venv
# Of the package; with dev,docs the first installation takes in what `make docs` needs, too.
EXTRAS ?= dev
STAMP  := $(VENV)/.installed
# Test processes, more than there are cores, since some wait for others that they start; the tests of a file stay together
# and share its fixtures. TESTS: further options of pytest. COVERAGE: a JSON file to write line coverage to, by SlipCover,
# which unlike coverage.py does not double the time.
PARALLEL ?= -n 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
TESTS    ?=
PYTEST    = $(VENV)/bin/python $(if $(COVERAGE),-m slipcover --json --out $(COVERAGE)) -m pytest $(PARALLEL)
# pip compiles what it installs on one core; this does it on all of them. Some packages hold templates that are no Python.
PIP       = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
COMPILE   = $(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib || true

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast check lint types format bench docs wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt deploy/install.sh
	PYTHON=$(PYTHON) EXTRAS=$(EXTRAS) PIP_ARGS=--no-compile deploy/install.sh $(VENV) --editable
	$(COMPILE)
	@touch $(STAMP)

install: $(STAMP)  ## create .venv and install the package into it

demo: install  ## procedural scene -> six-camera video, on the CPU
	$(VENV)/bin/cosmos-exp

test: install  ## the whole test suite, on two cores
	$(PYTEST) $(TESTS)

test-fast: install  ## what takes no more than a few seconds each, for daily work
	$(PYTEST) -m "not slow" $(TESTS)

check: lint types  ## everything that reads the code without running it

types: install  ## mypy over the whole package
	$(VENV)/bin/mypy

lint: install  ## ruff check and format check
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

format: install  ## ruff fix and format
	$(VENV)/bin/ruff check --fix . && $(VENV)/bin/ruff format .

bench: install  ## every benchmark, printed as tables
	$(VENV)/bin/python -m benchmarks

docs: $(VENV)/.docs  ## build the documentation site into site/
	$(VENV)/bin/mkdocs build --strict

$(VENV)/.docs: $(STAMP)
	$(if $(findstring docs,$(EXTRAS)),[ -x $(VENV)/bin/mkdocs ] ||) { $(PIP) -e '.[docs]' && { $(COMPILE); }; }
	@touch $@

wheel: install  ## build the wheel into dist/
	$(VENV)/bin/python -m build --wheel

clean:  ## remove the environment, caches and build products
	rm -rf $(VENV) dist build site .pytest_cache .ruff_cache outputs/cache
