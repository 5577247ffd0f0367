# Every target makes .venv by itself, and installs again when pyproject.toml or the lock changes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
# Where a CPU build of torch is; empty: where pip itself looks.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# Where this is set, every server that a test starts compiles all of Gantline anew, and every run all tests.
unexport PYTHONDONTWRITEBYTECODE

# Processes that run tests at once. Each takes whole files, in their order: a file's servers are started once.
TESTERS ?= 2
TESTING := $(BIN)/python -m pytest -q -n $(TESTERS) --dist loadfile --no-loadscope-reorder

# the scripts that measure something; what else is in benchmarks/ they share
FIGURES := $(addprefix benchmarks/,deadlines.py http_share.py startup.py azure_share.py script_overhead.py script_hosts.py grpc_share.py workers_share.py h2_share.py slo.py overload.py metrics_cost.py padding.py faces.py conversion.py framework_conversion.py images.py)

.PHONY: help install demo test test-slow test-failed check fix bench peers docs proto lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

install: $(INSTALLED) $(if $(TORCH),.venv/.torch)  ## make .venv; with TORCH=1 also a CPU build of torch

$(INSTALLED): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Gantline needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint requirements.lock setuptools
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --no-build-isolation --editable '.[dev]'
	touch $@

.venv/.torch: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --no-build-isolation $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[torch]'
	touch $@

demo: install  ## train, package, serve and score real models; under two minutes
	$(BIN)/gantline demo

test: install  ## the tests, without those that take long
	$(TESTING) -m "not slow and not oracle and not container"

test-slow: install  ## the tests that take long, and those against other products
	$(TESTING) -m "slow or oracle or container" --ignore tests/serve; outside=$$?; \
	$(BIN)/python -m pytest -q -m "slow or oracle or container or alone" tests/serve && exit $$outside

test-failed:  ## those again that failed last, one after another; fails where there are none
	$(BIN)/python -m pytest -q --last-failed --last-failed-no-failures none

check: install  ## lint, types, import direction, wheel, links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright & $(BIN)/mypy && wait $$!
	$(TESTING) tests/project -m "not readme and not slow"

fix: install  ## let ruff repair and lay out what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## every figure of benchmarks/results, made again here
	$(foreach script,$(FIGURES),$(BIN)/python $(script) &&) true

peers: install  ## Gantline beside eight other servers, each installed into .venvs/; twenty minutes
	$(BIN)/python benchmarks/against_peers.py

docs: install  ## write docs/cli/ from the commands' --help, and docs/scikit-learn.md (a minute)
	$(BIN)/python scripts/help_pages.py
	$(BIN)/python scripts/sklearn_page.py

proto: install  ## compile proto/ into gantline/pb/
	$(BIN)/python -m grpc_tools.protoc -I proto --include_imports --descriptor_set_out gantline/pb/gantline.binpb proto/*.proto

lock: install  ## resolve pyproject.toml afresh into requirements.lock
	$(BIN)/python scripts/lock.py

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
