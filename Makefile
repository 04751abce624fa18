# chargy-agent: build, run, test. Needs git, make and a Python from 3.11 on with its venv module; the rest it fetches.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
ARGS ?=
# More workers than cores: most of the time of the tests is waiting, for sockets, ptys and processes.
JOBS ?= 10
SEED ?=

# Compiled modules are kept, whatever the environment says: the tests start some 400 processes of the agent.
unexport PYTHONDONTWRITEBYTECODE
# Of all modules. Reading them again takes as long as a hundred tests; all workers at once would each do all of it.
WARM := build/.collected
SOURCES = $(shell find agent drivers config tests -name '*.py')

# The first interpreter that is new enough and can make an environment; a shim that leads nowhere is passed over.
PYTHON ?= $(shell \
  for name in python3.13 python3.12 python3.11 python3; do for dir in $$(echo "$$PATH" | tr ':' ' '); do \
    [ -x "$$dir/$$name" ] && "$$dir/$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
      >/dev/null 2>&1 && echo "$$dir/$$name" && exit 0; \
  done; done; true)

PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint $(LOCK)
# A plain path entry, not a finder: a finder is imported at every start of the interpreter and would blur `make bench`.
EDITABLE := --config-settings editable_mode=compat --editable

.PHONY: help run test check format lint types contracts pytest campaign conformance bench docs lock clean debian deb

help:
	@echo 'make run        a simulated station with its page, a demo central system and the agent (ARGS="..." goes on)'
	@echo 'make test       everything: format, lint, types, import contracts, all tests (ARGS="..." goes to pytest)'
	@echo 'make check      the same without the tests: seconds'
	@echo 'make campaign   the long campaigns at full count; writes campaign/result-*.json (SEED=n repeats one)'
	@echo 'make conformance  the certification cases; a green run goes to docs/conformance-run.json, docs/conformance.md'
	@echo 'make bench      what the agent costs, beside the floors (ARGS="--rounds 3 start" picks)'
	@echo 'make deb        the Debian package of a board, in dist/ (ARGS="--revision 2" builds the next of one version)'
	@echo 'make docs       writes the generated documents again'
	@echo 'make lock       renews $(LOCK) from what pyproject.toml allows today'
	@echo 'make clean      removes what was built, and $(VENV)'

run: $(VENV)/.run
	@exec $(BIN)/chargy-agent simulate $(ARGS)

test: debian check pytest

check: format lint types contracts

format: $(VENV)/.dev
	@echo '== format';    $(BIN)/ruff format --check --quiet . || { echo 'mend with: $(BIN)/ruff format'; exit 1; }

lint: $(VENV)/.dev
	@echo '== lint';      $(BIN)/ruff check --quiet .

types: $(VENV)/.dev
	@echo '== types';     $(BIN)/mypy --no-error-summary

contracts: $(VENV)/.dev
	@echo '== contracts'; said=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$said"; exit 1; }

pytest: $(VENV)/.dev $(WARM)
	@echo '== tests';     $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -rs --junitxml=build/tests.xml $(ARGS)

# What cannot be collected is reported by the tests themselves.
$(WARM): $(SOURCES) | $(VENV)/.dev
	@$(BIN)/python -m compileall -q agent drivers config || true
	@$(BIN)/python -m pytest --collect-only -qq tests >/dev/null 2>&1 || true
	@mkdir -p build && touch $@

campaign: $(VENV)/.dev
	@$(BIN)/python -m tests.campaign $(if $(SEED),--seed $(SEED)) $(ARGS)

conformance: $(VENV)/.dev $(WARM)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -rs tests/conformance $(ARGS)
	@$(BIN)/python -m tests.conformance.record && $(BIN)/python -m tests.arch.generated

bench: $(VENV)/.dev
	@$(BIN)/python -m tests.bench.bench $(ARGS)

docs: $(VENV)/.dev
	@$(BIN)/python -m tests.arch.generated

# For boards with the Python that $(VENV) has: PYTHON=/usr/bin/python3.13 before the first make picks it.
deb: $(VENV)/.dev
	@$(BIN)/python -m deb.build $(ARGS)

# What tests of the page, the reader, the updates and the Debian package use. Without it those tests skip and say why.
debian: $(VENV)/.dev
	@.ci/debian-packages chromium libusb-1.0-0 fonts-dejavu-core mosquitto \
	  python3-cryptography python3-pil rauc squashfs-tools dbus-daemon dbus-bin </dev/null

lock:
	@rm -rf build/lock && mkdir -p build && $(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check install --quiet '.[dev]'
	@{ sed '/^[^#]/,$$d' $(LOCK); build/lock/bin/python -m pip freeze | grep -v '^chargy-agent'; } >build/lock.txt
	@mv build/lock.txt $(LOCK) && rm -rf build/lock && echo 'renewed $(LOCK)'

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@[ -n '$(PYTHON)' ] || { echo 'No Python from 3.11 on with its venv module: install python3 and python3-venv' \
	  'or say make PYTHON=/path/to/python3'; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.run: pyproject.toml $(LOCK) | $(BIN)/python
	@echo 'installing the agent and its simulation into $(VENV)'
	@$(PIP) $(EDITABLE) '.[sim]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(LOCK) | $(BIN)/python
	@echo 'installing the agent and its development tools into $(VENV)'
	@$(PIP) $(EDITABLE) '.[dev]'
	@touch $(VENV)/.run $@
