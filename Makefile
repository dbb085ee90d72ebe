# Each target works on a bare checkout: the first one that runs creates .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
PEERS := build/peers-venv

.PHONY: demo demo-crash kills test check lint types soak bench bench-peers docs format clean

demo: $(READY)
	mkdir -p build
	rm -f build/census.db*
	$(BIN)/python examples/stdlib_census.py --store sqlite:///build/census.db

demo-crash: $(READY)
	$(BIN)/python examples/census_crash.py

test: lint types
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto tests property_tests
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: lint types
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_public_api.py

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

soak: $(READY)
	$(BIN)/python -m pytest -m soak --timeout=1800 tests property_tests
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest --timeout=3600 property_tests

kills: $(READY)
	$(BIN)/python -m tests.stress.kill_loops

bench: $(READY)
	$(BIN)/python -m benchmarks $(OPTIONS)

bench-peers: $(PEERS)/.ready
	$(PEERS)/bin/python -m benchmarks.peers $(OPTIONS)

docs: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m pdoc --output-directory build/docs flowforge actors

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build dist *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .ruff_cache .pytest_cache

# A peer that cannot be installed is left out, and the table says so.
$(PEERS)/.ready: benchmarks/peers/requirements.txt pyproject.toml setup.cfg
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --editable .
	$(PEERS)/bin/python -m pip install --quiet --requirement $< || \
		while read -r peer; do $(PEERS)/bin/python -m pip install --quiet "$$peer" || true; done < $<
	touch $@

$(READY): pyproject.toml setup.cfg
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
