# A fresh machine needs git, make and python3 >= 3.11. Each target does its own set-up, once:
# the stamp .venv/.ready is renewed only when one of the files that it depends on changes.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# For more: make reproduce ARGS="--seeds 0,1", make test ARGS="-k floors", make lab ARGS="--no-browser".
ARGS ?=
OUT ?= runs/figures
CORES := $(shell nproc 2>/dev/null || echo 2)
FIGURES := table_inter fig_missing_rate fig_differences high_rates table_ablation map_factorization fig_labels
SHOW := $(BIN)/jupyter nbconvert --log-level ERROR --to notebook --execute --inplace
MEASURE := $(BIN)/papermill --no-progress-bar nbs/paper

.PHONY: help setup reproduce paper test test-quick lab export readme gate lint bench measures tune variants results headroom figures probes effects

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## only the set-up: .venv with the versions of constraints.txt

# torch comes first and exactly: given a range, pip takes a CUDA build of several GB.
$(READY): settings.ini constraints.txt setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "fsrf needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || { \
	  echo "'$(PYTHON) -m venv' failed: on Debian and Ubuntu it is in the package python3-venv." >&2; exit 1; }
	@echo "Setting up .venv, once: a minute or two, 2 GB. 1 of 2: torch"
	@$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	@echo "2 of 2: the other packages, as constraints.txt has them"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

reproduce: $(READY)  ## train and compare on the embedded data set; prints the table, names the figures
	$(BIN)/fsrf reproduce $(ARGS)

paper: $(READY)  ## MOSI, MOSEI, IEMOCAP, CH-SIMS below FSRF_DATA: plan, runs, one page beside the published cells (runs/paper/)
	$(BIN)/fsrf paper $(ARGS)

test: $(READY) gate lint  ## every check that CI runs
	$(BIN)/python -m pytest $(ARGS)

test-quick: $(READY) lint  ## a minute for the inner loop: all but the tests that are marked slow
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

gate: $(READY)  ## export and clean leave no difference
	$(BIN)/python tools/gate.py

lint: $(READY)  ## ruff over notebooks, tests and tools
	$(BIN)/ruff check .

export: $(READY)  ## fsrf/ from nbs/, and the notebooks cleaned
	$(BIN)/nbdev-export
	$(BIN)/nbdev-clean

lab: $(READY)  ## JupyterLab on the notebooks, cleaned as they are saved
	$(BIN)/jupyter lab --config=tools/jupyter_server_config.py $(ARGS)

readme: $(READY)  ## README.md from nbs/index.ipynb
	$(BIN)/python tools/readme.py

bench: $(READY)  ## what FSRF costs next to plain-MRM, and a run next to its training: runs/bench.json
	$(BIN)/python tools/bench $(ARGS)

measures: $(READY)  ## table_cost at MOSI's size, fig_representation and fig_recovered, measured here, in runs/figures/ (OUT=figures: the committed ones)
	mkdir -p runs/figures
	$(MEASURE)/table_cost.ipynb runs/figures/table_cost.ipynb -p dataset synthetic -p repeats 9 -p out_dir $(OUT)
	$(MEASURE)/fig_representation.ipynb runs/figures/fig_representation.ipynb \
	  -y '{config: {layers: 1}, train: {epochs: 20, least: 12, patience: 3}}' -p out_dir $(OUT)
	$(MEASURE)/fig_recovered.ipynb runs/figures/fig_recovered.ipynb \
	  -y '{seeds: 5, train: {epochs: 20, least: 12, patience: 3}}' -p out_dir $(OUT)

# The ones below made what data/results/ and figures/ hold. `tune`, `variants` and `results` need the development sets (FSRF_DATA).
tune: $(READY)  ## the search on validation, the same budget for every method: data/results/tuned.json
	mkdir -p runs/tune
	$(BIN)/papermill --no-progress-bar nbs/paper/tune.ipynb runs/tune/tune.ipynb -f tools/tune.yaml $(ARGS)

variants: export OMP_NUM_THREADS = 1
variants: $(READY)  ## what each form of FSRF is worth on validation: data/results/search/fsrf_variants.csv
	$(BIN)/python tools/variants.py $(ARGS)

results: $(READY)  ## the committed rows, from nothing: data/results/
	$(BIN)/python tools/results.py $(ARGS)

headroom: export OMP_NUM_THREADS = 1
headroom: $(READY)  ## how well anybody could do on the planted sets: data/results/headroom/
	$(BIN)/python tools/headroom.py $(ARGS)

probes: export OMP_NUM_THREADS = 1
probes: $(READY)  ## what FSRF's factors hold of the planted ones: data/results/probes/planted.csv
	$(BIN)/python tools/probes.py $(ARGS)

effects: export OMP_NUM_THREADS = 1
effects: $(READY)  ## what the way of measuring is worth in points: data/results/effects/protocol.csv
	$(BIN)/python tools/protocol_effects.py $(ARGS)

figures: export OMP_NUM_THREADS = 1
figures: $(READY)  ## tables, figures, the reproduction report and README from the committed rows
	mkdir -p runs/figures
	printf '%s\n' $(FIGURES:%=nbs/paper/%.ipynb) | xargs -P $(CORES) -L 1 $(SHOW)
	printf '%s\n' nbs/explanations/reproduction_report.ipynb nbs/index.ipynb | xargs -P $(CORES) -L 1 $(SHOW)
	printf '%s\n' corrkd hrlf | xargs -P $(CORES) -I{} $(MEASURE)/table_ablation.ipynb runs/figures/table_ablation_{}.ipynb -p method {}
	$(BIN)/nbdev-clean
	$(BIN)/python tools/readme.py
