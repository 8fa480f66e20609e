# `make demo` runs the main job, `make test` the tests; both set everything up first.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench docs clean

demo: $(READY)
	$(BIN)/splinecam demo

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(READY)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.degenerate
	$(BIN)/python -m benchmarks.guard
	$(BIN)/python -m benchmarks.measures

docs: $(READY)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[docs]'
	rm -rf docs/build docs/generated
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/build
	@echo "written: docs/build/index.html"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --constraint constraints.txt --no-deps onnx2torch  # no torchvision
	touch $@

clean:
	rm -rf $(VENV) splinecam-demo docs/build docs/generated
