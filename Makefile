# What a person types. Everything runs in a virtual environment of this folder, from locked packages with hashes.

.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DAEMONS := cdp_platform_tests/processes
INSTALLED := $(VENV)/.installed

.PHONY: help install demo test bench up down lock columns format check reset

help: ## Show what there is to type
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make the virtual environment (demo, test and up do it by themselves)

$(INSTALLED): requirements.lock pyproject.toml cdp_sandbox/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python .ci/install.py
	@touch $@

demo: $(INSTALLED) ## Run everything on embedded services with demo data (SCALE=small|default|large|full)
	@$(BIN)/cdp demo $(if $(SCALE),--scale $(SCALE))

# Three at a time, since most tests wait for a server, except for those that are marked `alone`.
test: $(INSTALLED) ## Run every test, or those that ARGS chooses
ifdef ARGS
	@$(BIN)/python -m pytest $(ARGS)
else
	@$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile -m "not alone" --cov --cov-report=
	@$(BIN)/python -m pytest -m alone --cov --cov-append --cov-report=term:skip-covered $(DAEMONS)
endif

bench: $(INSTALLED) ## Measure against the alternatives (BENCH="sync incremental metrics value startup embeddings text_queue queue_backlog catalog sheets campaigns enrichment retention", the default, takes 45 minutes)
	@for each in $(or $(BENCH),sync incremental metrics value startup embeddings text_queue queue_backlog catalog sheets campaigns enrichment retention); do $(BIN)/python -m benchmarks.$$each || failed=1; done; exit $${failed:-0}

up: $(INSTALLED) ## Serve the Dagster UI with schedules and sensors on, until Ctrl-C
	@exec $(BIN)/cdp up $(if $(SCALE),--scale $(SCALE))

down: $(INSTALLED) ## Stop what `make up` and the sandbox run
	@$(BIN)/cdp down

reset: $(INSTALLED) ## Stop the sandbox and delete all that it stored
	@$(BIN)/cdp sandbox reset

format: $(INSTALLED) ## Format all files, and mend what lint can mend
	@$(BIN)/ruff check --quiet --fix --exit-zero .
	@$(BIN)/ruff format .

check: $(INSTALLED) ## Formatting, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/ty check
	@$(BIN)/lint-imports

columns: $(INSTALLED) ## Write the descriptions of tables that the UI shows, after a migration changed them
	@$(BIN)/python -m cdp_platform_tests.columns

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header
lock: $(INSTALLED) ## Resolve the newest packages that both pyproject.toml allow into requirements.lock, and those of the image
	@$(COMPILE) --upgrade --group dev --extra workers --output-file requirements.lock pyproject.toml cdp_sandbox/pyproject.toml
	@$(COMPILE) --extra kubernetes --extra workers --group build --constraint requirements.lock \
		--no-annotate --output-file deploy/requirements.lock pyproject.toml
