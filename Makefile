# Every target does its own set-up. GPU users: make demo CONSTRAINTS=  (installs the CUDA build of torch).
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= -c constraints.txt
BIN := $(VENV)/bin
DEMO ?= demo
JOBS ?= 2
SEED ?= 0
YEAR ?= $(shell date +%Y)
PIP := -m pip --disable-pip-version-check -q
# Two processes, one thread each (tests/conftest.py). Each gets half of the files in a row, so what the tests of a file share is
# made once; whoever is done first takes from the other's end.
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

.PHONY: demo test test-all lint types layers unit slow slowest campaign dist lowest docs frozen structure site image clean

# The core alone: what a user of the package has.
$(VENV)/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) install $(CONSTRAINTS) -e .
	touch $@

# The task networks stand on mmsegmentation and mmdet, tests on tools; the demo does without both.
$(VENV)/ready: $(VENV)/core
	$(BIN)/python $(PIP) install $(CONSTRAINTS) -e ".[tasks,test,docs,ray,slurm,remote,loggers]"
	touch $@

demo: $(VENV)/core
	$(BIN)/fusionbench demo --out $(DEMO)

# The check for every change.
test: lint types layers unit

# The check before a release: besides, slow tests, the wheel by itself, and oracles that need an environment of their own.
test-all: test slow dist

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The package as it installs: only there do methods/ and metrics/ lie where they are imported from.
build/types: $(VENV)/ready FORCE
	rm -rf build/types build/lib
	$(BIN)/python $(PIP) install --no-deps --no-build-isolation --target build/types .

types: build/types
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p fusionbench

layers: build/types
	cp .importlinter build/types && cd build/types && ../../$(BIN)/lint-imports

unit: $(VENV)/ready
	$(PYTEST)

slow: $(VENV)/ready build/wheel/ready build/oracle/ready
	$(PYTEST) -m slow

# The wheel with the core alone in an empty environment; tests/harness/test_wheel.py works there.
build/wheel/ready: $(VENV)/ready FORCE
	rm -rf build/wheel build/lib
	$(BIN)/python $(PIP) wheel --no-deps --no-build-isolation -w build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python $(PIP) install $(CONSTRAINTS) build/wheel/*.whl
	touch $@

# What a release uploads: sdist, and the wheel made from it, checked as the index would (their tools are no dependency of ours).
build/tools/ready: Makefile
	$(PYTHON) -m venv build/tools
	build/tools/bin/python $(PIP) install build twine
	touch $@

dist: build/tools/ready FORCE
	rm -rf build/dist build/lib
	build/tools/bin/python -m build --outdir build/dist .
	build/tools/bin/twine check --strict build/dist/*

# PySODMetrics pins numpy and scikit-image; tests/tasks/test_saliency_scores.py asks it through a process.
build/oracle/ready: Makefile
	$(PYTHON) -m venv build/oracle
	build/oracle/bin/python $(PIP) install pysodmetrics==1.6.2
	touch $@

# The ten slowest tests of `make test`, for CONTRIBUTING.md.
slowest: $(VENV)/ready
	$(PYTEST) --durations=10 --durations-min=1

# Kills, full disks, crafted files, bad images, archives and servers; the figures of docs/reliability.md.
campaign: $(VENV)/ready
	$(BIN)/python -m tests.faults.campaign --seed $(SEED) --page docs/reliability.md

# The tests with the oldest versions that pyproject.toml allows of what the core requires; torch as in constraints.txt.
lowest:
	mkdir -p build && .ci/lowest >build/lowest.txt
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/python $(PIP) install $(CONSTRAINTS) -c build/lowest.txt -e ".[tasks,test,docs,ray,slurm,remote,loggers]"
	build/lowest/bin/python -m pytest -q -n $(JOBS) --dist worksteal

# The documentation as a site, in build/docs: open index.html. Whatever would be a warning is an error; no network is used.
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The page of the committed tables, and of some generated scenes with pictures and per-image scores: no image of anybody's.
site: $(VENV)/core
	$(BIN)/python benchmarks/site.py --work build/site --out build/page

# An index of this year's committed tables, by their hashes and their commit: docs/versions.md.
frozen:
	$(PYTHON) benchmarks/frozen.py $(YEAR)

structure:
	$(PYTHON) benchmarks/structure.py

# A container image; TORCH_INDEX= is an index with torch's build for processors alone, which is smaller (docs/clusters.md).
IMAGE ?= fusionbench
TORCH_INDEX ?=
image:
	docker build -f containers/Dockerfile --build-arg TORCH_INDEX=$(TORCH_INDEX) -t $(IMAGE) .

clean:
	rm -rf $(VENV) build dist *.egg-info $(DEMO)

FORCE:
