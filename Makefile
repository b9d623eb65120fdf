# `make demo` shows fedket, `make test` runs what CI runs. Both create .venv themselves.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

CASES ?= 20000

# Where it is set every process compiles all that it imports anew: two seconds for JAX alone.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo docs reference test suite test-long fuzz lock sbom wheel-test lint bench clean help

help:
	@echo "make demo   install into $(VENV) and run the quickstart experiment"
	@echo "make test   install into $(VENV) and run every check that CI runs"
	@echo "make test-long   every law on 1,000 random examples, and those that take minutes"
	@echo "make fuzz CASES=20000   garbage for whatever reads files and messages, so much for each test"
	@echo "make wheel-test   build the wheel and try it without constraints in fresh environments"
	@echo "make reference  write docs/reference.md and docs/python.md anew from the code"
	@echo "make docs   build the documentation as a site, dist/site/index.html"
	@echo "make lock   write locked.txt: every dependency of a party with its hashes"
	@echo "make sbom   write dist/sbom.cdx.json and docs/licences.md from what locked.txt installs"
	@echo "make bench  measure fedket beside C and its peers on an idle machine, and renew README's tables"

demo: $(VENV)/.installed
	$(BIN)/fedket run quickstart

test: lint suite

# A worker more than there are cores: tests on real sites wait for minutes.
suite: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n 3 --dist worksteal

test-long: $(VENV)/.installed-dev
	XLA_FLAGS= $(BIN)/python -m pytest -q -n auto -m "" --hypothesis-profile long

fuzz: $(VENV)/.installed-dev
	# Without shape checks, which take ten times as long as a round.
	FEDKET_FUZZ_CASES=$(CASES) $(BIN)/python -m pytest -q -n auto tests/fuzz \
	  --hypothesis-profile long --override-ini addopts=--strict-markers

wheel-test:
	.ci/wheel $(PYTHON)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

reference: $(VENV)/.installed-dev
	$(BIN)/python -m docs.generate

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "dist/site/index.html"

lock: $(VENV)/.installed-tools
	$(BIN)/python -c "import tomllib; \
	  print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" | \
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-index-url --custom-compile-command 'make lock' -c constraints.txt \
	  --extra dp --extra flare --extra kme --extra qasm --extra vision --extra watch --output-file locked.txt pyproject.toml -

sbom: $(VENV)/.installed-tools
	rm -rf $(VENV)-locked
	$(PYTHON) -m venv --without-pip $(VENV)-locked
	$(BIN)/python -m pip --python $(VENV)-locked/bin/python install --quiet --require-hashes -r locked.txt
	$(BIN)/python -m pip --python $(VENV)-locked/bin/python install --quiet --no-deps --no-build-isolation .
	mkdir -p dist
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  --output-file dist/sbom.cdx.json $(VENV)-locked
	$(BIN)/python .ci/licences dist/sbom.cdx.json docs/licences.md

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$@ -m pip install --quiet --disable-pip-version-check --upgrade pip  # resolves in half the time

# Compiling all modules of all packages would take longer than the quickstart, which imports a few.
$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e .
	@touch $@

NATIVE := $(wildcard native/pyproject.toml native/CMakeLists.txt native/src/* native/fedket_native/*.py)

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt $(NATIVE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	if command -v $(CXX) >/dev/null; then \
	  PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --no-deps --no-build-isolation ./native; \
	else echo "no C++ compiler: the compiled kernels are neither built nor tested"; fi
	@touch $(VENV)/.installed $@

$(VENV)/.installed-tools: $(VENV)/bin/python constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt cyclonedx-bom uv
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-locked .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
