# Each target sets up what it needs, from nothing but Python 3.11 or 3.12, git and make.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

STUDY ?= digits
VENV := .venv
export PYTHONDONTWRITEBYTECODE :=
READY := $(VENV)/ready
TOOLS := $(VENV)/tools-ready
BENCH_READY := $(VENV)/bench-ready
SLURM_READY := $(VENV)/slurm-ready
RUN := source $(VENV)/bin/activate &&
# the first that runs and has the right version: a shim may be there without its Python
PYTHON = $(firstword $(foreach name,python3.11 python3.12 python3 python,$(shell \
  $(name) -c 'import sys; (3, 11) <= sys.version_info < (3, 13) and print("$(name)")' 2>/dev/null)))
INSTALL := python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
PROFILE ?= profiles/slurm
FAULTS ?= 500
SEED ?= 1
# models of other software are not trained here
SMOKED ?= $(filter-out digits-mlp,$(basename $(notdir $(wildcard config/*.yaml))))
STORE ?= results/$(STUDY)/store.duckdb
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# one more than processors: tests wait for processes, browsers and leases
WORKERS ?= $(shell echo $$(($(JOBS) + 1)))

.PHONY: help report cluster smoke test test-long test-slurm check docs calibrate bench test-benchmarks chaos test-duckdb-versions clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22
	@echo "STUDY=cifar10-cut make report runs another study of config/"

report: $(READY) ## train, store, analyze, and render results/$(STUDY)/report.html
	@$(RUN) snakemake --cores all --config study=$(STUDY) $(if $(DATA),data=$(DATA))

cluster: $(SLURM_READY) ## run results/$(STUDY)/report.html on a Slurm cluster, as profiles/slurm says
	@$(RUN) snakemake --workflow-profile $(PROFILE) --config study=$(STUDY) $(if $(DATA),data=$(DATA))

smoke: $(READY) ## run every study of config/ cut to a few images and steps, without network (half an hour)
	@$(RUN) for study in $(SMOKED); do \
	  snakemake --cores all --config study=$$study smoke=true; done

test: $(TOOLS) ## run the tests
	@$(RUN) OMP_NUM_THREADS=1 python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder $(PYTEST)

test-long: $(TOOLS) ## run the tests that make test leaves out (several minutes)
	@$(RUN) OMP_NUM_THREADS=1 python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder -m long $(PYTEST)

test-slurm: $(TOOLS) $(SLURM_READY) ## run the cluster tests on a Slurm that is started for them (root; SLURM='-k "200 or heads"')
	@$(RUN) OMP_NUM_THREADS=1 tests/slurm/with_slurm.sh \
	  python -m pytest -n 0 -m slurm tests/slurm --durations 0 --durations-min 1 $(SLURM)

check: $(TOOLS) ## check style, types, import arrows, workflow and SQL
	@$(RUN) ruff check . && ruff format --check .
	@$(RUN) pyright
	@$(RUN) lint-imports
	@$(RUN) snakefmt --check Snakefile collect/rules.smk store/rules.smk analyze/rules.smk reports/rules.smk
	@$(RUN) sqlfluff lint store/sql store/cookbook

docs: $(TOOLS) ## write the pages of docs/ that are made from the code: measures, store, cookbook
	@$(RUN) python -m analyze.metrics.dictionary && python -m store.dictionary

calibrate: $(TOOLS) ## simulate whether the primary tests hold their level; write docs/calibration.md
	@$(RUN) OMP_NUM_THREADS=1 python -m benchmarks.calibration --jobs $(JOBS) --write docs/calibration.md --data analyze/calibration.json
	@$(RUN) OMP_NUM_THREADS=1 python -m benchmarks.image_calibration --jobs $(JOBS) --write docs/calibration.md

bench: $(BENCH_READY) ## measure how fast a study is collected here, beside other ways
	@$(RUN) OMP_NUM_THREADS=1 python -m benchmarks.collection $(BENCH)

test-benchmarks: $(TOOLS) ## run every benchmark of collection in small: does it run, and say what it should
	@$(RUN) KD_BENCHMARKS=1 OMP_NUM_THREADS=1 python -m pytest -q -n 0 tests/collect/test_collection_benchmark.py

chaos: $(TOOLS) ## inject 500 faults and 76 corruptions; say what the store lost (long)
	@$(RUN) KD_CHAOS=1 OMP_NUM_THREADS=1 python -m pytest -q -n 0 tests/chaos
	@$(RUN) python -m tests.chaos --faults $(FAULTS) --seed $(SEED) --jobs $(JOBS) \
	  --log build/chaos.jsonl $(if $(MINUTES),--minutes $(MINUTES))

test-duckdb-versions: $(TOOLS) ## ask one store with DuckDB 1.4, 1.5, 2.0 and the CLI; compare
	@$(RUN) python -m tests.duckdb_versions $(STORE)

clean: ## remove the environment and caches; results stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache

# --no-compile: Python compiles what is imported when it is, which is a small part of all,
# if it may keep what it compiled
$(READY): pyproject.toml constraints.txt
	$(if $(PYTHON),,$(error Python 3.11 or 3.12 is needed and was not found))
	@echo "setting up $(VENV) with $(PYTHON) (a few minutes, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) $(INSTALL) -e .
	@touch $(READY)

$(TOOLS): $(READY)
	@echo "adding what tests and checks need"
	@$(RUN) $(INSTALL) -e '.[dev]'
	@touch $(TOOLS)

$(SLURM_READY): $(READY)
	@echo "adding what runs on a cluster need"
	@$(RUN) $(INSTALL) -e '.[slurm]'
	@touch $(SLURM_READY)

$(BENCH_READY): $(READY)
	@echo "adding what make bench compares with"
	@$(RUN) $(INSTALL) -e '.[bench]'
	@touch $(BENCH_READY)
