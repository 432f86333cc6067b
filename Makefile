# make demo         a piece by the weights that come with the project, as a page
# make app          a local page: choose, watch, hear, keep
# make gallery      ten of them with their sound, and docs/gallery.md
# make walkthrough  from music21's corpus to weights of your own and their pieces, in minutes
# make test         lint, types, floors and tests
# Each makes .venv and installs what it needs the first time; after that both work offline.

PYTHON ?= python3
VENV   := .venv
BIN    := $(CURDIR)/$(VENV)/bin
# one thread: on a machine with other work, more threads wait for each other; THREADS=2 on a quiet one
THREADS ?= 1
# one process on this machine's processor; without these flags the launcher warns of its defaults
LAUNCH := $(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no \
          --dynamo_backend no --num_cpu_threads_per_process $(THREADS)

.PHONY: demo app gallery walkthrough test test-long lint types floors clean

demo: $(VENV)/installed
	cd inference && $(BIN)/python generate.py --num-bars 16

app: $(VENV)/installed
	cd gradio_app && $(BIN)/python app.py

gallery: $(VENV)/installed
	cd inference && $(BIN)/python gallery.py

walkthrough: $(VENV)/installed
	cd data && $(BIN)/python 0_fetch.py --pieces bach-bwv --limit 120
	cd data && $(BIN)/python 1_xml2abc.py
	cd data && $(BIN)/python 2_preprocess.py
	cd pretrain && $(LAUNCH) train-gen.py
	cd finetune && $(LAUNCH) train-gen.py
	cd inference && $(BIN)/python generate.py --weights ../finetune/runs/demo/best --out out/walkthrough \
	  --period Baroque --composer "Bach, Johann Sebastian" --instrumentation Choral --samples 4 --num-bars 16

# two processes, each file's tests in one of them
test: lint types floors
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# ten minutes of random tunes, and the tests that take minutes
test-long: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "slow or not slow" --timeout 1800
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest tests/notation tests/tokenizer --timeout 1800

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/installed-dev
	$(BIN)/mypy
	MYPYPATH=. $(BIN)/mypy --strict -p benchmarks
	for stage in data pretrain finetune inference evaluate clamp_features rl weights gradio_app; do (cd $$stage && $(BIN)/mypy --strict --config-file ../pyproject.toml *.py) || exit 1; done

floors: $(VENV)/installed-dev
	$(BIN)/lint-imports

$(VENV)/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"found Python {sys.version.split()[0]}, wanted 3.11 or newer: make PYTHON=python3.11")'
	@echo "Installing into $(VENV): three to ten minutes; 6 GB with torch for CUDA, 2.4 GB without (README.md)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) data/out pretrain/runs finetune/runs inference/out clamp_features/runs clamp_features/out rl/out rl/runs gradio_app/out
