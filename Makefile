# Everything runs in a virtual environment of its own, .venv; PYTHON names the interpreter that makes it (3.11 to 3.13).
PYTHON ?= python3
BIN = .venv/bin
# Processes that run the tests; each takes about two gigabytes.
WORKERS ?= 2

# What computes: schedules and noise, samplers, recorded numbers, models in place, pixels, a picture, code of scripts.
NUMERIC = tests/sampling/test_schedules.py tests/sampling/test_noise.py tests/sampling/test_samplers.py \
	tests/sampling/test_philox.py tests/parity/test_sigmas.py tests/parity/test_samplers.py \
	tests/loading/test_manager.py tests/end_to_end/test_pixel_nodes.py \
	tests/end_to_end/test_against_diffusers.py tests/end_to_end/test_workflows.py::test_a_small_star_is_a_star \
	tests/export/test_pieces.py

.PHONY: help demo test other-processor check bench parity clients soak install install-test clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: install ## Install, then draw a picture from a JSON workflow, offline
	$(BIN)/graphflow demo

test: install-test ## Install, then run the tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

other-processor: install-test ## Run a sample of what computes as another processor would: two threads, no wide vectors
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=2 $(BIN)/python -m pytest $(NUMERIC) $(ARGS)

check: install-test ## Lint, formatting, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tools.house

bench: install-test ## Ratios against peers, measured side by side; minutes
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m benchmarks

parity: install-test ## Compare everything with the recorded numbers; an hour, and a stopped one goes on
	$(BIN)/python -m tests.runners.parity
	$(BIN)/python -m tests.runners.imports
	$(BIN)/python -m tests.runners.exports
	$(BIN)/python -m tests.runners.export_parity
	$(BIN)/python -m tests.runners.families
	$(BIN)/python -m tests.runners.family_scripts
	$(BIN)/python -m pip install --quiet --editable ".[parity]"
	$(BIN)/python -m tests.runners.quantised

clients: install-test ## Other people's clients of ComfyUI, and its front end in Chromium; minutes, wants node, npm and chromium
	$(BIN)/python -m tests.runners.clients

soak: install-test ## The long property and fuzz suites; an hour
	GRAPHFLOW_TEST_SOAK=1 $(BIN)/python -m pytest tests/families/test_recorded.py tests/hostile tests/properties tests/export tests/nodes/test_detectors.py tests/end_to_end/test_killed.py tests/service/test_killed.py tests/service/test_described.py tests/loading/test_quantised.py tests/cluster
	$(BIN)/python -m tests.runners.survey
	$(BIN)/python -m tests.runners.rules
	$(BIN)/python -m tests.runners.fuzz
	$(BIN)/python -m tests.runners.store
	$(BIN)/python -m tests.runners.damage
	$(BIN)/python -m tests.runners.lanes
	$(BIN)/python -m tests.runners.verified
	$(BIN)/python -m tests.runners.cluster

install: .venv/.installed ## Make .venv and install graphflow

install-test: .venv/.installed-test ## The same with what the tests need

.venv/.installed: pyproject.toml setup.py
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "graphflow needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/.installed-test: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

clean: ## Remove what the targets made
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
