# Every target sets up .venv by itself, once, from the pinned versions in constraints.txt.
# PYTHON chooses the interpreter (3.11 or newer): make test PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-deps

.PHONY: setup demo test test-all soak lint format clean

setup: .venv/.ready

demo: setup
	$(BIN)/python demo/make_demo.py

test: setup
	$(BIN)/python -m pytest -m "not slow"

test-all: setup
	$(BIN)/python -m pytest

soak: setup
	$(BIN)/python benchmarks/soak.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv demo_output

# The list is complete, so pip resolves nothing (--no-deps). facexlib asks for the full OpenCV wheel, which
# needs libGL.so.1 and other desktop libraries; the headless wheel holds the same cv2 without them.
.venv/.packages: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "constraints.txt needs Python 3.11 or newer, found " + sys.version.split()[0] + ": make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv --clear .venv
	$(PIP) -r constraints.txt
	touch $@

.venv/.ready: .venv/.packages pyproject.toml
	$(PIP) --no-build-isolation -e .
	touch $@
