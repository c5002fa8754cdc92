# make help lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-commands test-units test-quick quick-networks quick-rest lowest check docs bench gpu stress study study-synthetic study-dense clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

install: $(INSTALLED)  ## create .venv and install the project into it

# torch first: with it installed, the resolver has little left to try
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { echo "SPOT needs Python 3.11 to 3.14; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "torch>=2.4" "torchvision>=0.19"
	$(BIN)/pip install --quiet --editable ".[all,dev,docs]"
	touch $@

DEMO_LABELS := outputs/labels/.demo

DEMO_VIDEOS := benchmark=synthetic benchmark.videos.videos=200 benchmark.videos.frames=40
DEMO_TRACKERS := [SPOT,key_frames_only]

# both runs take as many steps of as many instances; each has a core
demo: install $(DEMO_LABELS)  ## the method beside key frames alone on embedded synthetic videos: label, train, test, evaluate, report
	OMP_NUM_THREADS=1 $(BIN)/python -m spot.train experiment=demo supervision=key_frames_only run=demo_key_frames > outputs/demo_key_frames.log 2>&1 & other=$$!; \
	OMP_NUM_THREADS=1 $(BIN)/python -m spot.train experiment=demo && wait $$other || { tail -n 3 outputs/demo_key_frames.log; exit 1; }
	$(BIN)/python -m spot.test $(DEMO_VIDEOS) run=demo tracker=SPOT
	$(BIN)/python -m spot.test $(DEMO_VIDEOS) run=demo_key_frames tracker=key_frames_only
	$(BIN)/python -m spot.evaluate $(DEMO_VIDEOS) trackers=$(DEMO_TRACKERS) compare=$(DEMO_TRACKERS) bootstrap=1000

$(DEMO_LABELS): | install
	$(BIN)/python -m spot.sample data=synthetic data.videos=24 labels=3 overwrite=true
	touch $@

# tests are small: more threads only wait for each other
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
COMMANDS := tests/end_to_end tests/scripts tests/docs
# not among the quick ones
LONGER := $(COMMANDS) tests/annotation
NETWORKS := tests/architectures tests/parity tests/tracking

test: install check  ## lint, format, types and all tests, on the CPU, in two processes
	$(MAKE) --no-print-directory --keep-going --jobs 2 --output-sync test-commands test-units

test-commands: install  ## one half of the tests alone: commands, scripts and documentation
	$(PYTEST) $(COMMANDS)

test-units: install  ## the other half alone
	$(PYTEST) $(addprefix --ignore=,$(COMMANDS))

test-quick: install  ## unit tests alone, in two processes: no commands, no runs, nothing that is marked slow
	$(MAKE) --no-print-directory --keep-going --jobs 2 --output-sync quick-networks quick-rest

quick-networks: install  ## one half of the quick tests alone
	$(PYTEST) -m "not slow" $(NETWORKS)

quick-rest: install  ## the other half of the quick tests alone
	$(PYTEST) -m "not slow" $(addprefix --ignore=,$(LONGER) $(NETWORKS))

lowest:  ## install the lowest versions that pyproject.toml allows and run the smoke experiment with them
	$(PYTHON) scripts/lowest_versions.py

check: install  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install  ## the documentation as a site, outputs/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: install  ## ours beside plain implementations of the published way, as one table (outputs/bench/)
	$(BIN)/python scripts/bench/run_all.py

gpu: install  ## on a machine with a GPU: tests on it, and a table of steps, trackers and loader (ten minutes)
	$(BIN)/python -m pytest tests/gpu
	$(BIN)/python scripts/bench/bench_gpu.py --json outputs/bench/gpu.json --docs docs/speed.md

stress: install  ## kill a run hundreds of times and compare where it ends
	$(BIN)/python scripts/stress_resume.py --json outputs/stress.json

study: install  ## the label-efficiency study on real video: hours, skips what is finished
	$(BIN)/python scripts/study/held_out.py

study-synthetic: install  ## few labels against all labels on procedural videos: at most two hours, skips what is finished
	$(BIN)/python scripts/study/synthetic.py

NANO ?= outputs/nano.pt

study-dense: install  ## dense boxes from few labels on real video: NANO=<converted NanoTrack v2>, three hours, skips what is tracked
	@test -f $(NANO) || { echo "$(NANO) is missing: docs/nanotrack.md says how NanoTrack's weights are converted; then make study-dense NANO=FILE"; exit 1; }
	$(BIN)/python scripts/study/dense_labels.py --split test --k 2 3 5 --seeds 0 1 2 --adapt $(NANO) --backend openvino
	$(BIN)/python scripts/study/dense_labels.py --split test --k 2 3 5 --seeds 0 1 2 --adapt $(NANO) --backend openvino --no-baselines --mirror
	$(BIN)/python scripts/study/dense_labels.py --split test --k 3 --seeds 0 1 2 --adapt $(NANO) --backend openvino --trackers nano_adapt_mirrored --mirror --suggest
	$(BIN)/python scripts/study/dense_labels.py --report

clean:  ## remove caches, keep outputs and .venv
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find spot tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
