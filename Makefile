# `make run` needs Python 3.11 or newer and nothing else. PORT and DATA_DIR choose where: make run PORT=8123
PYTHON ?= python3
BOOTSTRAP = $(PYTHON) aiops_site/desk/bootstrap.py
VENV = .venv/bin
# Two test processes keep two cores busy; each has its own database.
TEST_PROCESSES ?= 2

.DEFAULT_GOAL := help
.PHONY: help run test lint bench bench-anomaly bench-forecast clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run:  ## Start the desk with everything it needs; Ctrl-C stops it (PORT=8000 DATA_DIR=.data DEMO=1)
	@$(BOOTSTRAP) && exec $(VENV)/python -m aiops_site.desk --follow-parent

test:  ## Run all tests, browser tests included
	@$(BOOTSTRAP) --dev
	@sh tests/install_chromium.sh
	$(VENV)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

lint:  ## Check style, formatting and types
	@$(BOOTSTRAP) --dev
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	SECRET_KEY=lint $(VENV)/mypy
	$(VENV)/mypy --config-file clients/python/pyproject.toml

bench:  ## Measure the numbers table and write docs/benchmarks.md (SIZE=100000 … 10000000)
	@$(BOOTSTRAP) --dev
	$(VENV)/python -m bench $(if $(SIZE),--size $(SIZE)) $(ARGS)

bench-anomaly:  ## Measure the anomaly detector on ../shared/data/nab and write its section of docs/benchmarks.md
	@$(BOOTSTRAP) --dev
	$(VENV)/python -m bench.anomaly $(ARGS)

bench-forecast:  ## Measure the forecast on real daily series and write its section of docs/benchmarks.md
	@$(BOOTSTRAP) --dev
	$(VENV)/python -m bench.forecast $(ARGS)

clean:  ## Remove the virtual environment and caches; keeps data
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
