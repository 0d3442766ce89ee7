# Each target makes .venv first if it is missing. PYTHON chooses the interpreter (3.11 or 3.12).
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
SEED ?= 0
SPEED ?= 100

.PHONY: help install demo test unit lint docs clean

help:  ## show this help
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v in ((3, 11), (3, 12)) else f"Python 3.11 or 3.12 is needed, this is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11 install")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,dev]'
	touch $@

install: .venv/.installed  ## make .venv and install everything into it

demo: .venv/.installed  ## the autonomous lab on simulated instruments, end to end; results in demo-out/
	$(BIN)/sdl demo sputter --out demo-out --seed $(SEED) --speed $(SPEED)

unit: .venv/.installed  ## the fast tests only
	$(BIN)/python -m pytest tests/unit

lint: .venv/.installed  ## ruff, pyright, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: .venv/.installed  ## run every command and check every link of the documentation
	$(BIN)/python -m pytest tests/docs

test: lint  ## everything: lint, types, layers, unit, system and documentation tests
	$(BIN)/python -m pytest tests/unit -n 2
	$(BIN)/python -m pytest tests/system tests/docs -n 2 --dist loadfile --durations 15

clean:  ## remove what make made (not your data)
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
