# Everything that is done with this repository. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMP := $(VENV)/.installed
CODE := airflow_mailchimp_export dags samples scripts tests $(wildcard benchmarks)

# Not run by `make test`: they need more than the set-up installs, or more than half a minute each.
APART := service or ui or docs or slow

.PHONY: help setup demo up test lowest stores check static format-check lint types imports docs bench soak format clean

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(STAMP) ## Make the virtual environment (again only when pyproject.toml or constraints.txt changed)

$(STAMP): pyproject.toml constraints.txt scripts/setup.sh
	@bash scripts/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

demo: $(STAMP) ## Refresh the sample segments and export them to the local sandbox, through real Airflow
	@$(PY) -m scripts.demo

up: $(STAMP) ## Start Airflow with its UI and the sandbox, until Ctrl-C
	@$(PY) -m scripts.up

test: $(STAMP) ## Run the tests that need neither a browser nor a service
	@echo "test: running the tests"
	@$(PY) -m pytest -n 2 --dist loadgroup -m "not ($(APART))"

lowest: $(STAMP) ## Run the unit tests with the lowest versions of what the package needs
	@bash scripts/lowest.sh "$(PY)" "$(VENV)/lowest"

stores: $(STAMP) ## Run the tests with object stores, which need npm and an environment of their own
	@bash scripts/stores.sh "$(PY)" "$(VENV)/stores"

check: static docs test ## Everything that has to hold before a commit

static: format-check lint types imports ## The checks that run no test

format-check: $(STAMP)
	@echo "check: format"
	@$(BIN)/ruff format --check $(CODE)

lint: $(STAMP)
	@echo "check: lint, with Airflow's rules and the docstrings"
	@$(BIN)/ruff check $(CODE)

types: $(STAMP)
	@echo "check: types"
	@$(BIN)/mypy

imports: $(STAMP)
	@echo "check: import contracts"
	@$(BIN)/lint-imports

# pytest ends with 5 when it finds no test, as long as there are no such tests.
docs: $(STAMP)
	@echo "check: documentation"
	@$(PY) -m pytest -m docs || [ $$? -eq 5 ]

bench: $(STAMP) ## Measure speed and memory
	@$(PY) -m benchmarks

soak: $(STAMP) ## Run the slow tests, thousands of days in the lives of exports, and an hour of kills
	@$(PY) -m pytest -m slow
	@MAILCHIMP_SOAK=1 $(PY) -m pytest tests/model
	@MAILCHIMP_SOAK=1 $(PY) -m pytest tests/soak

format: $(STAMP) ## Rewrite the code in the house's format
	@$(BIN)/ruff check --fix-only $(CODE)
	@$(BIN)/ruff format $(CODE)

clean: ## Remove what running and testing left behind; the virtual environment stays
	@rm -rf .demo .up snapshots build dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
