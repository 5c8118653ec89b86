# make demo   set up, then run the whole method on synthetic angiograms (DATA=folder for labelled real ones)
# make test   set up, then run all tests
# make check  lint, types, walls between the packages
# make bench  speed, as ratios against a reference in the same process
# make demo-model  train the packaged model vasomim-demo again, on synthetic angiograms alone

PYTHON ?= python3
BIN := .venv/bin
OUT ?= demo/$(shell date +%Y%m%d-%H%M%S)

.PHONY: demo test check bench demo-model setup

demo: setup
	$(BIN)/vasomim demo --output $(OUT) $(if $(DATA),--data $(DATA))

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python benchmarks/bench_anatomy.py
	$(BIN)/python benchmarks/bench_masking.py
	$(BIN)/python benchmarks/bench_reading.py
	$(BIN)/python benchmarks/bench_pretraining.py

WORK ?= runs/demo-model
WEIGHTS := vasomim_core/models/weights

demo-model: setup
	[ -d $(WORK)/samples ] || $(BIN)/vasomim sample --output $(WORK)/samples --count 800 --least-width 3
	[ -f $(WORK)/run/model.safetensors ] || $(BIN)/vasomim finetune --labels $(WORK)/samples --run $(WORK)/run \
		--architecture unext --frame-size 512 --input-size 256 --epochs 25 --batch-size 16 --learning-rate 2e-3 \
		--validate-every 5
	rm -f $(WEIGHTS)/vasomim-demo.safetensors
	VASOMIM_MODELS=$(WEIGHTS) $(BIN)/vasomim models --add $(WORK)/run --name vasomim-demo

setup: .venv/installed

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it with PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -q && apt-get install -qy python3-venv; } || \
		{ echo "the module venv is missing; install it first: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@
