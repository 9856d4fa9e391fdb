# make demo   sets everything up and shows the main job against the built-in sandbox
# make test   sets everything up and runs the tests
# Needs Python 3.11 or newer, make and git; no root. Everything lands in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check bench pictures lock clean

demo: $(READY)
	$(BIN)/datapallas demo

# Two processes share the machine with real servers and browsers. What failed there is tried once more, alone; failing
# twice is a failure, and what passed the second time is printed, to be mended: see CONTRIBUTING.md.
test: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile || { \
	  test $$? -eq 1 && echo "Once more, alone: the tests that failed." && \
	  $(BIN)/pytest --last-failed --last-failed-no-failures none -rA --tb=short; }

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY)
	$(BIN)/python bench/run.py

# Draws the pages into docs/pictures; needs Chromium.
pictures: $(READY)
	$(BIN)/python docs/pictures/make.py

# The locks pin every package by hash; hatchling (in the lock) builds our own.
$(READY): requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "DataPallas needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

# Needs uv. Writes the locks anew from pyproject.toml.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --all-extras
lock:
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) --group dev pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
