# make app    set up, then open napari with the workbench and a sample angiogram (FILE=… for your own)
# make demo   set up, then run the whole method on synthetic angiograms (DATA=folder for labelled real ones)
# make test   set up, then run all tests, those of the window with PyQt5 and with PyQt6
# make check  lint, types, walls between the packages
# make bench  speed, as ratios against a reference in the same process
# make demo-model  train the packaged model vasomim-demo again, on synthetic angiograms alone
# make fast-model ARCADE=arcade/syntax  train vasomim-fast again, on ARCADE's train part: about 70 minutes of one core

PYTHON ?= python3
BIN := .venv/bin
OUT ?= demo/$(shell date +%Y%m%d-%H%M%S)

# What Qt and a virtual display need from Debian and its kin; pip brings the rest.
PACKAGES := xvfb libdbus-1-3 libegl1 libfontconfig1 libgl1 libgl1-mesa-dri libglib2.0-0 libglx-mesa0 libxcb-cursor0 \
	libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 \
	libxkbcommon-x11-0

.PHONY: app demo test test-pyqt5 test-pyqt6 test-engine check bench demo-model fast-model setup libraries

app: setup libraries
	$(BIN)/vasomim app $(if $(FILE),"$(FILE)")

demo: setup
	$(BIN)/vasomim demo --output $(OUT) $(if $(DATA),--data $(DATA))

# Two runs at a time, each of them on one thread: the tests of the window wait for processes a good part of their time.
test: setup libraries
	OMP_NUM_THREADS=1 $(MAKE) --no-print-directory -j2 test-pyqt5 test-pyqt6 test-engine

test-pyqt5 test-pyqt6: test-%: setup
	QT_API=$* $(BIN)/python -m pytest tests/napari

test-engine: setup
	$(BIN)/python -m pytest --ignore=tests/napari

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python benchmarks/bench_anatomy.py
	$(BIN)/python benchmarks/bench_masking.py
	$(BIN)/python benchmarks/bench_reading.py
	$(BIN)/python benchmarks/bench_trace.py
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

# Small frames teach most of it at half the price; the last steps sharpen the edges. A stage that was broken off goes on.
FAST ?= runs/fast-model
LEARN = $(BIN)/vasomim finetune --labels $(ARCADE)/train --val $(ARCADE)/val --batch-size 8 --warmup 0.03 --ema 0.995
stage = grep -qs '"event": "end", .*"reason": "finished"' $(FAST)/$(1)/events.jsonl || \
	if [ -f $(FAST)/$(1)/config.yaml ]; then $(BIN)/vasomim finetune --resume $(FAST)/$(1); \
	else $(LEARN) --run $(FAST)/$(1) $(2); fi

fast-model: setup
	$(call stage,1,--architecture resunet --width 16 --frame-size 256 --input-size 256 --epochs 37 --learning-rate 3e-3 \
		--validate-every 4)
	$(call stage,2,--init $(FAST)/1/model.safetensors --frame-size 256 --input-size 256 --epochs 40 \
		--learning-rate 2e-3 --validate-every 5)
	$(call stage,3,--init $(FAST)/2/model.safetensors --frame-size 384 --input-size 384 --epochs 24 \
		--learning-rate 1.5e-3 --validate-every 3)
	$(BIN)/vasomim package --model $(FAST)/3 --validation $(ARCADE)/val --output $(WEIGHTS)/vasomim-fast.safetensors \
		--description "Residual U-Net that has learned from the 1,000 training frames of ARCADE"

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

# Only what is missing, and only as root; others are told. Newer Debian writes t64 behind some names.
libraries:
	@command -v dpkg >/dev/null || exit 0; missing=; \
	for p in $(PACKAGES); do \
		dpkg -s $$p >/dev/null 2>&1 || dpkg -s $${p}t64 >/dev/null 2>&1 || missing="$$missing $$p"; \
	done; \
	[ -z "$$missing" ] || \
	if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -qy --no-install-recommends $$missing; \
	else echo "If no window opens, install first: sudo apt-get install$$missing"; fi
