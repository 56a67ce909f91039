.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
# Stages call `python` and `dvc` by name: those of .venv come first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
UV := $(shell command -v uv 2>/dev/null)
UV_INSTALL := $(UV) pip install --quiet --python $(VENV)/bin/python
STAMP := $(VENV)/.requirements

# Number of trainings at once (default: as many as cores or GPUs allow; JOBS=1: one by one).
JOBS ?=

PEERS := $(VENV)/.peers
# Questions and options of `python -m benchmarks`.
BENCH ?=

.PHONY: help install repro test fuzz kill lint format report bench lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## set up .venv from the pinned, hashed requirements

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"thumbnets needs Python 3.11 or later, $(PYTHON) is {sys.version.split()[0]}: set PYTHON=...")'
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
ifeq ($(UV),)
	@$(VENV)/bin/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing into $(VENV) with pip"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
else
	@echo "installing into $(VENV) with uv"
	@$(UV_INSTALL) --require-hashes -r requirements.lock || $(UV_INSTALL) --offline --require-hashes -r requirements.lock
	@$(UV_INSTALL) --offline --no-deps --no-build-isolation --editable .
endif
	@touch $@

repro: install ## run the pipeline: whatever is out of date, and nothing else (JOBS at once)
	thumbnets train $(addprefix --jobs ,$(JOBS))
	dvc repro

# Most tests that run DVC; they take as long as all others: in parallel both need half the time.
RUNS := tests/test_pipeline.py tests/faults/test_kills.py tests/recipes tests/launch

# ALL=1: also the slow tests.
ALL ?=
PYTEST := python -m pytest $(if $(ALL),-m "")

test: install ## run the tests (ALL=1: those that take long as well)
	@log=$$(mktemp); $(PYTEST) $(RUNS) > $$log 2>&1 & runs=$$!; \
		$(PYTEST) $(addprefix --ignore ,$(RUNS)); others=$$?; \
		wait $$runs; runs=$$?; cat $$log; rm -f $$log; exit $$((others || runs))

# Number of damaged files of each kind, and part of the kinds' names: make fuzz COUNT=100 KIND=npz
COUNT ?= 10000
KIND ?=

# Number of runs that `make kill` kills at random moments.
KILLS ?= 50

fuzz: install ## damage each KIND of file COUNT times, and print what its reader does
	python -m tests.faults $(COUNT) $(KIND)

kill: install ## kill KILLS runs (50) at random and 12 while DVC writes, run each again, compare
	python -m tests.faults.kills $(KILLS)

lint: install ## check style
	ruff check .
	ruff format --check .

format: install ## put the code into the project's style
	ruff check --fix .
	ruff format .

report: install ## print where the report is
	@echo "file://$(CURDIR)/report/index.html"

bench: $(PEERS) ## measure beside the usual tools, 4 hours (BENCH=--quick: 10 minutes): benchmarks/results
	python -m benchmarks $(BENCH)

$(PEERS): $(STAMP) benchmarks/requirements.lock
ifeq ($(UV),)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r benchmarks/requirements.lock
else
	@$(UV_INSTALL) --no-deps --require-hashes -r benchmarks/requirements.lock
endif
	@touch $@

lock: ## pin and hash the requirements anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet --group dev \
		pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet --constraint requirements.lock \
		$$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock | sort -u) \
		benchmarks/requirements.txt -o benchmarks/requirements.lock

clean: ## remove what can be made again (keeps data, cache and .venv)
	rm -rf build/lib src/*.egg-info .pytest_cache .ruff_cache .hypothesis logs
	find src stages tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
