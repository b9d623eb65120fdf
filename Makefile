# `make demo` shows fedket, `make test` runs what CI runs. Both create .venv themselves.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

CASES ?= 20000

.PHONY: demo reference test test-long fuzz wheel-test lint bench clean help

help:
	@echo "make demo   install into $(VENV) and run the quickstart experiment"
	@echo "make test   install into $(VENV) and run every check that CI runs"
	@echo "make test-long   every law on 1,000 random examples, and those that take minutes"
	@echo "make fuzz CASES=20000   garbage for whatever reads files and messages, so much for each test"
	@echo "make wheel-test   build the wheel and try it without constraints in fresh environments"
	@echo "make reference  write docs/reference.md and docs/python.md anew from the code"
	@echo "make bench  set up the peers and measure fedket beside them"

demo: $(VENV)/.installed
	$(BIN)/fedket run quickstart

test: lint
	$(BIN)/python -m pytest -q -n 2

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n auto -m "" --hypothesis-profile long

fuzz: $(VENV)/.installed-dev
	FEDKET_FUZZ_CASES=$(CASES) $(BIN)/python -m pytest -q -n auto tests/fuzz --hypothesis-profile long

wheel-test:
	.ci/wheel $(PYTHON)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

reference: $(VENV)/.installed-dev
	$(BIN)/python -m fedket.experiment.reference

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.setup_peers
	$(BIN)/python -m benchmarks.gradient --save
	$(BIN)/python -m benchmarks.round --save
	$(BIN)/python -m benchmarks.secure --save

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
