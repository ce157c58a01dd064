# Everything that is done with this repository. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMP := $(VENV)/.installed
SERVICES := $(VENV)/.installed-services
RELEASE := $(VENV)/.installed-release
SITE := $(VENV)/.installed-site
PAGES := $(VENV)/.pages
WEB := web/package-lock.json $(wildcard web/*.ts web/*.json web/src/*.ts* web/src/*/*.ts*)
CODE := airflow_mailchimp_export dags samples scripts tests hatch_build.py $(wildcard benchmarks)

# Not run by `make test`: they need more than the set-up installs, or more than half a minute each.
APART := service or ui or docs or slow

.PHONY: help setup services-setup demo up test test-ui services lowest beside test-matrix stores release-check check static format-check lint types imports docs docs-site bench soak format clean

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(STAMP) $(PAGES) ## Make the virtual environment and the pages (again only when what they are made of changed)

# The version that is installed is that of the package.
$(STAMP): pyproject.toml constraints.txt scripts/setup.sh airflow_mailchimp_export/__init__.py
	@bash scripts/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

$(PAGES): $(STAMP) $(WEB) scripts/pages.sh
	@bash scripts/pages.sh "$(abspath $@)"

services-setup: $(SERVICES) ## Add to it what the tests with services need: drivers of databases, of which one is compiled

$(SERVICES): $(STAMP)
	@bash scripts/setup.sh "$(PYTHON)" "$(VENV)" dev,services
	@touch $@

$(SITE): $(STAMP)
	@bash scripts/setup.sh "$(PYTHON)" "$(VENV)" dev,site
	@touch $@

$(RELEASE): $(STAMP)
	@bash scripts/setup.sh "$(PYTHON)" "$(VENV)" dev,release
	@touch $@

demo: $(STAMP) ## Export the sample segments to the local sandbox, through real Airflow (SOURCE=customer-insights: from a local one)
	@$(PY) -m scripts.demo $(if $(SOURCE),--source $(SOURCE))

up: $(STAMP) $(PAGES) ## Start Airflow with its UI and the sandbox, until Ctrl-C
	@$(PY) -m scripts.up

test: $(STAMP) ## Run the tests that need neither a browser nor a service
	@echo "test: running the tests"
	@$(PY) -m pytest -n 2 --dist loadgroup -m "not ($(APART))"

test-ui: $(STAMP) $(PAGES) ## Run the tests of the pages: their arithmetic, which needs npm, and in a browser with a live Airflow
	@cd web && npm test
	@$(PY) -m pytest -m ui

services: $(SERVICES) ## Run the tests with a live Airflow, databases and a broker, as far as these run here
	@$(PY) -m pytest -m service

lowest: $(STAMP) ## Run the unit tests with the lowest versions of what the package needs
	@bash scripts/lowest.sh "$(PY)" "$(VENV)/lowest"

beside: $(RELEASE) ## Install the package beside older releases of Airflow, and run the demo there
	@bash scripts/beside.sh "$(PY)" "$(VENV)/beside"

test-matrix: $(STAMP) $(PAGES) ## Run what depends on Airflow's release, or on Python's, with several (RELEASES="oldest newest": with these)
	@bash scripts/matrix.sh "$(PY)" "$(VENV)/matrix" $(RELEASES)

release-check: $(RELEASE) ## Build wheel and sdist, check their content, export with the wheel, and test the sdist
	@bash scripts/release_check.sh "$(PY)" "$(VENV)/release"

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

docs-site: $(SITE) ## Make the site of the documentation in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "docs-site: open build/site/index.html, or run $(BIN)/mkdocs serve"

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
	@rm -rf web/node_modules airflow_mailchimp_export/pages/static $(PAGES)
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
