# Everything here uses one environment, `.venv`, made once and made again only when its lists of packages change.
# `make` alone lists the targets. Another Python: `make clean`, then `make lab PYTHON=python3.12`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
EXTRAS := $(VENV)/extras
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help lab test test-all notebooks pictures book check hooks extras requirements clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1	/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

lab: $(STAMP) ## open the series in JupyterLab
	$(BIN)/jupyter lab $(LAB) notebooks/$(FIRST)

test: $(STAMP) ## run every quick test, and every notebook once
	$(PYTEST) -m "not slow and not browser" --nbval --nbval-current-env --nbval-cell-timeout=600

test-all: test $(EXTRAS) ## run `make test`, then the slow tests and those in a real browser
	$(PYTEST) -m "slow or browser" tests

check: $(STAMP) ## look for mistakes in the code, and for lines out of format, without running it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

hooks: $(STAMP) ## make git look at each commit, and show changes of notebooks cell by cell
	$(BIN)/pre-commit install
	$(BIN)/nbdime config-git --enable

notebooks: $(STAMP) ## run the series from a fresh start and store what it prints and draws; ONLY=08 for one
	$(BIN)/python tests/execute.py $(ONLY)

pictures: $(STAMP) ## draw the pictures in img/
	$(BIN)/python img/draw.py

book: $(STAMP) ## build the series as a site, from what the notebooks hold, in build/book
	$(BIN)/python -m sphinx -W --keep-going -q -c book -d build/doctrees . build/book
	@echo "Open build/book/index.html"

extras: $(EXTRAS) ## install what only the last part of notebook 13 runs: Ray, ONNX and its runtimes

requirements: $(STAMP) ## resolve pyproject.toml into the two lists of exact versions, for every platform
	$(BIN)/python -m pip install --quiet uv
	head -1 requirements.txt > requirements.new
	$(RESOLVE) --extra test --extra book --extra work --upgrade pyproject.toml >> requirements.new
	mv requirements.new requirements.txt
	head -1 requirements-extras.txt > requirements.new
	$(RESOLVE) --all-extras --upgrade --constraint requirements.txt pyproject.toml >> requirements.new
	mv requirements.new requirements-extras.txt

clean: ## delete the environment
	rm -rf $(VENV)

RESOLVE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links

FIRST := $(notdir $(firstword $(sort $(wildcard notebooks/*.ipynb))))

# What pip says goes to a log, and to the screen only if it fails: five hundred lines would hide the one that matters.
$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)"; \
		echo "Install one, or name it: make lab PYTHON=python3.12"; exit 1; }
	@rm -rf $(VENV)
	@echo "Making $(VENV) and installing the packages; once, some minutes, about 6.5 GB ..."
	@mkdir -p $(VENV)
	@{ $(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --progress-bar off -r requirements.txt -e . ; } > $(VENV)/install.log 2>&1 || { \
		echo "The installation failed. What it said last (all of it is in $(VENV)/install.log):"; \
		grep -v '^WARNING' $(VENV)/install.log | tail -12; exit 1; }
	@touch $(STAMP)

$(EXTRAS): requirements-extras.txt $(STAMP)
	@echo "Adding the packages of requirements-extras.txt ..."
	@$(BIN)/python -m pip install --quiet --progress-bar off -r requirements-extras.txt
	@touch $(EXTRAS)
