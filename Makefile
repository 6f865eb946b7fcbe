# What a person types.  Every target sets up what it needs first: see tools/setup.sh.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SETUP_INPUTS := pyproject.toml constraints.txt tools/setup.sh

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs screenshots clean

help:  ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(READY)  ## Simulate, partition, correlate, fit and show it (ARGS= for options)
	$(BIN)/napari-xpcs demo $(ARGS)

test: $(READY)  ## Run every test (ARGS= for a folder, a file or pytest options)
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY)  ## Format, lint, check the types and the direction of imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.ready-docs  ## Build the pages into docs/_build/html, warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

screenshots: $(READY)  ## Draw the pictures of README and docs anew, without a screen
	env -u DISPLAY -u WAYLAND_DISPLAY $(BIN)/python docs/take_pictures.py docs/pictures

clean:  ## Remove what make made
	rm -rf .venv build dist docs/_build demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): $(SETUP_INPUTS)
	PYTHON="$(PYTHON)" bash tools/setup.sh test
	@touch $@

.venv/.ready-docs: $(READY)
	PYTHON="$(PYTHON)" bash tools/setup.sh test,docs
	@touch $@
