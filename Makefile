# make setup | check | test | test-again | machine-image | test-machines | test-terraforms | demo | lint | types | fuzz | faults | bench | docs | docs-site | recording | durations | images | release | clean
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# More than cores: most tests wait, for machines or in the AWS provider. Seven leave a twentieth of two cores idle, and five
# an eighth. Eight were no faster, and took 11 GB of memory.
PYTEST_WORKERS ?= 7
N ?= 2000
SEED ?= 0
SERVICES ?= light

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start pio-tf a thousand times, and each process of pytest rewrites every assertion: both keep their bytecode.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup check demo test test-again durations test-machines test-terraforms fuzz faults lint types bench docs docs-site recording format release clean

setup: $(VENV)/.ready

# Python compiles the modules that are imported. To compile all 8,000 files takes most of the time of an installation.
$(VENV)/.ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt uv
	PIP_CONSTRAINT=constraints.txt DIST_EXTRA_CONFIG=$(CURDIR)/scripts/stored-wheels.cfg \
	  $(BIN)/python scripts/install.py $(BIN)/python --editable '.[sandbox]' --group dev pip
	touch $@

$(VENV)/bin/python:
	scripts/make-venv $(PYTHON) $(VENV)

# The inner loop: what lint and types find, and the tests that need no Terraform, no sandbox and less than 0.1 s.
check: setup
	$(MAKE) --no-print-directory -j 3 --output-sync=target lint types test-fast

.PHONY: test-fast
test-fast:
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

# With SERVICES=real: Elasticsearch, HBase, HDFS and Spark 2.4 themselves.
demo: setup
	$(BIN)/pio-tf demo --services $(SERVICES)

test: setup
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder

# In a fresh clone, each process of pytest rewrites the assertions of all tests. One that only collects them leaves its
# work to the others. What it finds wrong is an error of `make test`, too.
.PHONY: collected
collected: setup
	$(BIN)/python -m pytest --quiet --collect-only >/dev/null || true

# The files with tests that have failed, without others beside them; the first that fails again ends it. Whole files,
# because the tests of one share a cluster: many need what those before them have made.
test-again: setup
	files=$$(sed -n 's/^ *"\([^":]*\.py\).*/\1/p' .pytest_cache/v/cache/lastfailed | sort -u) && [[ $$files ]] && \
	$(BIN)/python -m pytest --verbose --maxfail 1 $$files

durations: setup
	FAULT_SCENARIOS=200 $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder --junitxml=.pytest_cache/report.xml
	$(BIN)/python -m scripts.durations .pytest_cache/report.xml

# What machines need before they can boot. It takes some minutes once, most of it downloads, and needs no setup.
.PHONY: machine-image
machine-image:
	scripts/test-machines --prepare

test-machines: setup
	PYTHON=$(BIN)/python scripts/test-machines

# A cluster's life with Terraforms and OpenTofus that are built from source, and with the bundled one.
test-terraforms: setup
	built=$$($(BIN)/python -m scripts.terraforms $(TERRAFORMS)) && \
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/terraforms \
	  $$(printf -- '--terraform %s ' $$built $(BIN)/pio-tf-terraform)

faults: setup
	$(BIN)/python -m scripts.faults --number $(N) --seed $(SEED) --processes $(PYTEST_WORKERS)

fuzz: setup
	FUZZ_EXAMPLES=$(N) $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist load tests/fuzz

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pio-tf-terraform fmt -check -recursive terraform

types: setup
	$(BIN)/mypy

# With --quiet, MkDocs would count no warnings. The variable hides what Material says about MkDocs 2, which it excludes.
docs-site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Draws the README's picture from a real training on the sandbox.
recording: setup
	$(BIN)/python -m scripts.recording

# All rows: make bench. Some: make bench ONLY=status,plan. With an earlier run: make bench JSON=new.json COMPARE=old.json
bench: setup
	$(BIN)/python -m scripts.bench --only "$(ONLY)" $(if $(JSON),--json "$(JSON)") $(if $(COMPARE),--compare "$(COMPARE)")

docs: setup
	$(BIN)/python -m scripts.reference

release: setup
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --group release
	$(BIN)/python -m scripts.release $(TAG)

# Container images, as root and without a daemon: dist/pio-tf-VERSION-cli.tar and -sandbox.tar.
images:
	scripts/container-image dist cli sandbox

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/pio-tf-terraform fmt -recursive terraform

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
