# Every target sets up .venv by itself, once, from the pinned versions in constraints.txt.
# PYTHON chooses the interpreter (3.11 or newer): make test PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-deps

# Tests run in as many processes as there are cores, at most four: each takes 1 to 3 GB. OpenMP's threads must not
# spin while they wait, or they keep the cores from the other processes.
PYTEST := -m pytest -n auto --maxprocesses 4 --dist worksteal
test test-all test-lowest test-newest: export OMP_WAIT_POLICY := passive

# Other versions than those of constraints.txt, each in an environment of its own. uv resolves them.
UV := .venv-uv/bin/uv pip install --python
EXTRAS := detect,cpu,heif,onnx,video,upscale,ray,demo,train,dev
OTHER := -e '.[$(EXTRAS)]' 'opencv-python-headless>=4.9' --override tests/versions/without_desktop.txt
LOCK_TEST := tests/test_packaging.py::test_the_lock_satisfies_every_requirement
TEST_OTHER := $(PYTEST) -m "not slow" -W default --deselect $(LOCK_TEST)

# The first command that runs this version of Python, else PYTHON. A pyenv shim exists without running.
find_python = $(firstword $(foreach command,python$(1) $(wildcard $(HOME)/.pyenv/versions/$(1).*/bin/python),$(shell $(command) -c "print('$(command)')" 2>/dev/null)) $(PYTHON))
LOWEST_PYTHON ?= $(call find_python,3.10)
NEWEST_PYTHON ?= $(call find_python,3.13)

.PHONY: setup demo test test-all test-lowest test-newest soak lint format clean

setup: .venv/.ready

demo: setup
	$(BIN)/python demo/make_demo.py

test: setup
	$(BIN)/python $(PYTEST) -m "not slow"

test-all: setup
	$(BIN)/python $(PYTEST)

test-lowest: .venv-uv/.ready
	.venv-uv/bin/uv venv --quiet --clear --seed --python $(LOWEST_PYTHON) .venv-lowest
	$(UV) .venv-lowest --resolution lowest-direct --constraint tests/versions/lowest.txt $(OTHER)
	.venv-lowest/bin/python $(TEST_OTHER)

test-newest: .venv-uv/.ready
	.venv-uv/bin/uv venv --quiet --clear --seed --python $(NEWEST_PYTHON) .venv-newest
	$(UV) .venv-newest --resolution highest $(OTHER)
	.venv-newest/bin/python $(TEST_OTHER)

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
	rm -rf .venv .venv-uv .venv-lowest .venv-newest demo_output

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

.venv-uv/.ready:
	$(PYTHON) -m venv --clear .venv-uv
	.venv-uv/bin/python -m pip install --disable-pip-version-check --quiet uv
	touch $@
