# Everything here uses one environment, `.venv`, made once and made again only when its lists of packages change.
# `make` alone lists the targets. Another Python: `make clean`, then `make lab PYTHON=python3.12`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
EXTRAS := $(VENV)/extras

# Notebooks are tests, too. Each worker computes with one thread; a notebook stays with one worker, from its first cell on.
# A test that hangs for twenty minutes ends with the stacks of its threads, and a worker that dies ends the run: xdist would
# start another one and repeat the test.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder --nbval --nbval-current-env --nbval-cell-timeout=900 --max-worker-restart=0
PYTEST += -o faulthandler_timeout=1200 -o faulthandler_exit_on_timeout=true
PART_I := $(wildcard notebooks/0[1-7]_*.ipynb notebooks/solutions/0[1-7]_*.ipynb)
FIRST := $(firstword $(sort $(wildcard notebooks/*.ipynb)))

.DEFAULT_GOAL := help
.PHONY: help lab test test-all notebooks online pictures book check hooks extras gpu gpu-bundle requirements clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1	/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

# A video for the upload button may have 500 MB; Jupyter alone stops at 10.
lab: $(STAMP) ## open the series in JupyterLab
	$(BIN)/jupyter lab --ServerApp.tornado_settings='{"websocket_max_message_size": 500000000}' $(LAB) $(FIRST)

test: $(STAMP) ## run the quick tests, and the notebooks of part I with their solutions
	$(PYTEST) -m "not slow and not browser" $(PART_I) tests

test-all: $(EXTRAS) ## run every test once: also all other notebooks, the slow tests and those in a real browser
	$(PYTEST) notebooks tests

check: $(STAMP) ## look for mistakes in the code, and for lines out of format, without running it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

hooks: $(STAMP) ## make git look at each commit, and show changes of notebooks cell by cell
	$(BIN)/pre-commit install
	$(BIN)/nbdime config-git --enable

notebooks: $(STAMP) ## run the series from a fresh start and store what it prints and draws; ONLY=07 for one
	$(BIN)/python tests/execute.py $(ONLY)

online: $(STAMP) ## run the notebooks that want a connection with one, into build/online; ONLY=07 for one
	$(BIN)/python tests/execute.py --online build/online $(ONLY)

pictures: $(STAMP) ## draw the pictures in img/
	$(BIN)/python img/draw.py

book: $(EXTRAS) ## build the series as a site, from what the notebooks hold, in build/book
	$(BIN)/python -m sphinx -W --keep-going -q -c book -d build/doctrees . build/book
	@echo "Open build/book/index.html"

# With the Python that holds the machine's PyTorch for its GPU, and without .venv: `make gpu PYTHON=python3.12`.
gpu: ## test and measure on a GPU, in eight minutes: three files gpu_*.json in notebooks/runs
	PYTHONPATH="$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}" $(PYTHON) tests/gpu.py

gpu-bundle: $(STAMP) ## pack what `make gpu` needs on a machine without a network, in build/gpu-bundle.tar.gz
	$(BIN)/python tests/bundle.py

extras: $(EXTRAS) ## install what notebook 14 and the site want beside: Ray, ONNX and its runtimes

requirements: $(STAMP) ## resolve pyproject.toml into the two lists of exact versions; UPGRADE=--upgrade for newer ones
	$(call resolve,requirements.txt,--extra test --extra book --extra work)
	$(call resolve,requirements-extras.txt,--all-extras --constraint requirements.txt)

define resolve
	cp $(1) $(1).new
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		--no-emit-find-links $(UPGRADE) --output-file $(1).new $(2) pyproject.toml
	{ head -1 $(1); cat $(1).new; } > $(1).whole
	mv $(1).whole $(1)
	rm $(1).new
endef

clean: ## delete the environment
	rm -rf $(VENV)

# What is said meanwhile goes to a log, and to the screen only if it fails: hundreds of lines would hide the one that matters.
$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)"; \
		echo "Install one, or name it: make lab PYTHON=python3.12"; exit 1; }
	@rm -rf $(VENV)
	@echo "Making $(VENV) and installing the packages; once, a minute or more, about 6.5 GB ..."
	@mkdir -p $(VENV)
	@{ $(PYTHON) -m venv $(VENV) && .ci/install $(BIN)/python -r requirements.txt -e . ; } > $(VENV)/install.log 2>&1 || { \
		echo "The installation failed. What it said last (all of it is in $(VENV)/install.log):"; \
		grep -v '^WARNING' $(VENV)/install.log | tail -12; exit 1; }
	@touch $(STAMP)

$(EXTRAS): requirements-extras.txt $(STAMP)
	@echo "Adding the packages of requirements-extras.txt ..."
	@.ci/install $(BIN)/python -r requirements-extras.txt > $(VENV)/extras.log 2>&1 || { tail -12 $(VENV)/extras.log; exit 1; }
	@touch $(EXTRAS)
