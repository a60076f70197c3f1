# Everything sets itself up: a machine needs python3.11, make and git.
SHELL := bash
PYTHON ?= python3.11
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
# two files of tests at a time, in their order (the longest stand early), each worker with a PostgreSQL of its own
AT_ONCE := -n 2 --dist loadfile --no-loadscope-reorder
export AIRFLOW_HOME ?= $(CURDIR)/var/airflow


.PHONY: help install demo up test test-slow check bench lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

install: $(READY) ## the environment from the lock file, in .venv (every other target does this itself)

demo: $(READY) ## the whole way on a generated city (ONCE=1: end instead of serving; SCALE=10m: ten million residents)
	$(BIN)/exchange demo $(if $(ONCE),--once) $(if $(SCALE),--scale $(SCALE))

up: $(READY) ## everything in the foreground: API, Airflow, PostgreSQL
	$(BIN)/exchange up

test: $(READY) ## the tests (under 20 minutes on 2 cores)
	$(BIN)/python -m pytest $(AT_ONCE) -m "not slow" $(ARGS)

test-slow: $(READY) ## kill -9, fault and engine suites
	$(BIN)/python -m pytest $(AT_ONCE) -m slow $(ARGS)

check: $(READY) ## lint, format, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/architecture $(ARGS)

bench: $(READY) ## time ours beside the bare engine (NAME=… SCALE=…), into var/bench.json (RECORD=1: and docs/)
	$(BIN)/python -m tests.bench $(if $(NAME),--name $(NAME)) $(if $(SCALE),--scale $(SCALE)) $(if $(RECORD),--record)

lock: $(READY) ## resolve the dependencies again; the lock file names versions and hashes, no download address
	$(BIN)/uv lock
	$(BIN)/python -m infra.lock uv.lock

clean: ## remove the environment, the data folder and caches (the keys stay)
	rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

# uv.lock holds versions and hashes without addresses, so that a city can install from its own mirror:
# exported, checked hash by hash, installed from whatever index this machine is set up for.
$(READY): uv.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv export --frozen --quiet --no-emit-project --no-header --format requirements-txt --output-file $(VENV)/locked.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --requirements $(VENV)/locked.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)
