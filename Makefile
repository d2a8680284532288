pythons := $(or $(PYTHON),python3.11 python3.10 python3.9 python3.8 python3)
supported := import ensurepip, sys, venv; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 11))

.PHONY: help install demo test lint

help:
	@echo 'make install  the default stack and this project in .venv (PYTHON=... picks the interpreter)'
	@echo 'make demo     distil a small student on the CPU; results in work_dirs/demo'
	@echo 'make test     the test suite'
	@echo 'make lint     ruff: check and format'

install: .venv/bin/pip
	@tools/install.sh .venv/bin/python

.venv/bin/pip:
	@for python in $(pythons); do \
	  if $$python -c '$(supported)' 2>/dev/null; then \
	    echo "install: .venv with $$python"; exec $$python -m venv .venv; \
	  fi; \
	done; \
	echo 'install: looked for Python 3.8 to 3.11 (torch 2.1.2 needs one) with its venv' >&2; \
	echo 'module as: $(pythons). None found: install one, or name it with PYTHON=...' >&2; \
	exit 1

demo: install
	@.venv/bin/python tools/demo.py

test: install
	@.venv/bin/python -m pytest tests

lint: install
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
