STACK ?= default
bounds := $(shell cat requirements/$(STACK)/python.txt)
ifndef bounds
$(error STACK=$(STACK) is none of: $(notdir $(patsubst %/,%,$(wildcard requirements/*/))))
endif
venv := .venv$(patsubst %,-%,$(filter-out default,$(STACK)))
pythons := $(or $(PYTHON),python3.12 python3.11 python3.10 python3.9 python3.8 python3)
supported := import ensurepip, sys, venv; \
  low, high = (tuple(map(int, bound.split("."))) for bound in "$(bounds)".split()); \
  sys.exit(not low <= sys.version_info[:2] <= high)

.PHONY: help install demo test lint docs

help:
	@echo 'make install  the stack and this project in $(venv) (PYTHON=... picks the interpreter)'
	@echo 'make demo     distil a small student on the CPU; results in work_dirs/demo'
	@echo 'make test     the test suite'
	@echo 'make lint     ruff: check and format'
	@echo 'make docs     the site, in docs/_build; a warning is an error'
	@echo 'STACK=onedl   after any of them: the maintained forks and a newer torch, in .venv-onedl'

install: $(venv)/bin/pip
	@STACK=$(STACK) tools/install.sh $(venv)/bin/python

$(venv)/bin/pip:
	@for python in $(pythons); do \
	  if $$python -c '$(supported)' 2>/dev/null; then \
	    echo "install: $(venv) with $$python"; exec $$python -m venv $(venv); \
	  fi; \
	done; \
	echo 'install: looked for a Python from $(firstword $(bounds)) to $(lastword $(bounds)) with its venv' >&2; \
	echo 'module as: $(pythons). None found: install one, or name it with PYTHON=...' >&2; \
	exit 1

demo: install
	@$(venv)/bin/python tools/demo.py

test: install
	@OMP_NUM_THREADS=1 $(venv)/bin/python -m pytest tests -n 2 --dist worksteal

lint: install
	@$(venv)/bin/ruff check .
	@$(venv)/bin/ruff format --check .

docs: install
	@$(venv)/bin/python -m sphinx -q -E -W --keep-going docs docs/_build
	@echo 'docs: see docs/_build/index.html'
