# `make demo` and `make test` do all set-up. GPU users: make demo CONSTRAINTS=  (installs the CUDA build of torch).
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= -c constraints.txt
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test lint types unit clean

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) -e ".[test]"
	touch $@

# The task networks stand on mmsegmentation and mmdet; the demo does without them.
$(VENV)/ready-tasks: $(VENV)/ready
	$(BIN)/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) -e ".[tasks,test]"
	touch $@

demo: $(VENV)/ready
	test -d $(DEMO)/data/MSRS || $(BIN)/fusionbench data synth --like msrs --test 12 --out $(DEMO)/data/MSRS
	$(BIN)/fusionbench eval --all --datasets msrs --data-root $(DEMO)/data --out $(DEMO)/results

test: lint types unit

lint: $(VENV)/ready-tasks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# On the installed package: only there do methods/ and metrics/ lie where they are imported from.
types: $(VENV)/ready-tasks
	rm -rf build/types && $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation --target build/types .
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p fusionbench

unit: $(VENV)/ready-tasks
	$(BIN)/python -m pytest -q

clean:
	rm -rf $(VENV) build dist *.egg-info $(DEMO)
