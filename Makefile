# Every chore has one door; `make` alone lists them. The first use of any makes its environment.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
N ?= 200
SEED ?= $(shell date +%s)
ENGINE ?= $(shell command -v docker > /dev/null 2>&1 && echo docker || echo podman)
VERSION ?= 0.1.0
BASE ?=
IMAGE_ARGS ?=
IMAGE_EXTRAS = $(addprefix --extra ,cassandra client hdfs kafka mlflow mongodb postgresql ranker redis telemetry tune)

# make RECIPE=book-platform TARGET: the recipe's own chores, in its folder, which is made where it is absent.
ifdef RECIPE
FOLDER ?= $(RECIPE)
GOALS := $(or $(MAKECMDGOALS),help)
.PHONY: $(GOALS)
$(GOALS): $(FOLDER)/nextup.toml
	@PATH="$(abspath $(BIN)):$$PATH" $(MAKE) --no-print-directory -C $(FOLDER) $@
$(FOLDER)/nextup.toml: | $(VENV)/.core
	@$(BIN)/nextup init --recipe $(RECIPE) $(FOLDER)
else
.PHONY: help
help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: $(VENV)/.core  ## build the sample platform, serve it, and say what to try (ARGS=--check to only prove it)
	@$(BIN)/nextup demo $(ARGS)

.PHONY: test
test: $(VENV)/.dev  ## all tests, in parallel (ARGS are pytest's)
	@$(BIN)/python -m stack --fetch
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

.PHONY: coverage
coverage: $(VENV)/.dev  ## which lines the tests run, into htmlcov; half as slow again (ARGS=tests/unit)
	@$(MAKE) --no-print-directory test ARGS="--cov --cov-report=term:skip-covered --cov-report=html $(ARGS)"

.PHONY: check
check: $(VENV)/.dev  ## lint, format, types, import floors: what CI and pre-commit run
	@$(BIN)/ruff check src tests benchmarks deploy examples stack docs setup.py
	@$(BIN)/ruff format --check src tests benchmarks deploy examples stack docs setup.py
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(VENV)/.dev  ## mend what a machine can mend
	@$(BIN)/ruff check --fix-only src tests benchmarks deploy examples stack docs setup.py
	@$(BIN)/ruff format src tests benchmarks deploy examples stack docs setup.py

.PHONY: docs
docs: $(VENV)/.dev  ## build the documentation site into docs/_build; a warning is an error
	@$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build
	@echo "docs/_build/index.html"

.PHONY: openapi
openapi: $(VENV)/.dev  ## record the API's examples and write docs/openapi.json
	@$(BIN)/python docs/make_openapi.py $(ARGS)

.PHONY: soak
soak: $(VENV)/.dev  ## the randomised fault and fuzz tests at length: make soak N=500 SEED=7
	@NEXTUP_FAULT_ROUNDS=$(N) NEXTUP_FAULT_SEED=$(SEED) $(BIN)/python -m pytest -m faults --timeout=0 $(ARGS)

.PHONY: stack
stack: $(VENV)/.dev  ## real servers without Docker, until Ctrl-C (ARGS="redis kafka"; none: all that can be)
	@$(BIN)/python -m stack $(ARGS)

.PHONY: test-kubernetes
test-kubernetes: $(VENV)/.dev  ## the Helm chart on a real Kubernetes, built once into the cache (needs root)
	@$(BIN)/python -m stack --fetch kubernetes
	@NEXTUP_REQUIRE_SERVERS=1 $(BIN)/python -m pytest tests/kubernetes --timeout=3600 -o faulthandler_timeout=7200 $(ARGS)

.PHONY: bench
bench: $(VENV)/.bench  ## side-by-side benchmarks; writes benchmarks/RESULTS.md (ARGS=--quick for small sizes)
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: wheel
wheel: $(VENV)/.core  ## build the wheel, with compiled kernels where there is a compiler
	@$(BIN)/uv build --wheel --python $(BIN)/python

.PHONY: images
images: build/connectors  ## build Nextup's container images (ENGINE=podman BASE=... VERSION=0.1.0)
	@for one in nextup spark mlflow airflow notebooks; do \
	  echo "nextup/$$one:$(VERSION) ..."; \
	  $(ENGINE) build --quiet $(IMAGE_ARGS) $(if $(BASE),--build-arg BASE=$(BASE)) --target $$one \
	    --file deploy/images/Dockerfile --tag nextup/$$one:$(VERSION) . || exit 1; \
	done

build/connectors: $(VENV)/.dev src/nextup/adapters/engine/spark_connectors.toml  # jars of the images and of compose.yaml
	@rm -rf $@ && mkdir -p $@ build/jmx
	@$(BIN)/python -m stack.jars_for_images $@ build/jmx

.PHONY: test-compose
test-compose: $(VENV)/.dev build/connectors  ## the images, and every profile of compose.yaml, really started (needs root)
	@NEXTUP_TEST_COMPOSE=1 $(BIN)/python -m pytest tests/deploy/compose --timeout=3600 $(ARGS)

.PHONY: lock
lock: $(VENV)/.core  ## pin all dependencies again, with hashes and without any registry's address
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements/core.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header pyproject.toml --group dev -o requirements/dev.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header pyproject.toml --group dev --group bench -o requirements/bench.txt
	@for one in airflow mlflow build compose airflow-image; do $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header requirements/$$one.in -o requirements/$$one.txt || exit 1; done
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header pyproject.toml $(IMAGE_EXTRAS) -o requirements/image.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header pyproject.toml --extra spark $(IMAGE_EXTRAS) -c requirements/image.txt -o requirements/image-spark.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header requirements/notebooks.in -o requirements/notebooks.txt

.PHONY: clean
clean:  ## remove environments, builds and caches (never data)
	@rm -rf $(VENV) build dist htmlcov docs/_build .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src -name '*.so' -delete -o -name '*.egg-info' -prune -exec rm -rf {} +

endif
# Environments. One stamp per set of requirements; a change of the pins renews it.
$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Nextup needs Python 3.11 or newer; install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Cannot make an environment; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(VENV)/.core: $(VENV)/.python requirements/core.txt pyproject.toml setup.py $(wildcard src/nextup/algorithms/native/*.[ch]pp)
	@echo "Installing Nextup into $(VENV) ..."
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/core.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.bench: $(VENV)/.dev requirements/bench.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.txt
	@touch $@
