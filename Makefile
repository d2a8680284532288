pythons := $(or $(PYTHON),python3.12 python3.11 python3.10 python3.9 python3.8 python3.13 python3)
takes = $(subst $() , to ,$(shell cat requirements/$(1)/python.txt))

# Where STACK is not named it is the default one, or the other where only that has its Python here.
ifeq ($(STACK)$(wildcard .venv/bin/pip),)
  found := $(firstword $(shell tools/find_python.sh 'default onedl' '$(pythons)'))
  ifneq ($(filter-out default,$(found)),)
    $(info make: no Python $(call takes,default) here, as the default stack needs: going on with STACK=$(found))
  endif
endif
override STACK := $(or $(STACK),$(found),default)
ifeq ($(wildcard requirements/$(STACK)/python.txt),)
$(error STACK=$(STACK) is none of: $(notdir $(patsubst %/,%,$(wildcard requirements/*/))))
endif
venv := .venv$(patsubst %,-%,$(filter-out default,$(STACK)))

.PHONY: help install demo test lint docs

help:
	@echo 'make install  the stack and this project in $(venv) (PYTHON=... picks the interpreter)'
	@echo 'make demo     distil a small student on the CPU; results in work_dirs/demo'
	@echo 'make test     the test suite; where there is a GPU, then what needs one'
	@echo 'make lint     ruff: check and format'
	@echo 'make docs     the site, in docs/_build; a warning is an error'
	@echo 'STACK=onedl   after any of them: the maintained forks and a newer torch, in .venv-onedl'

install: $(venv)/bin/pip
	@STACK=$(STACK) tools/install.sh $(venv)/bin/python

$(venv)/bin/pip:
	@python=$$(tools/find_python.sh $(STACK) '$(pythons)') || { \
	  echo 'install: no Python for STACK=$(STACK), with its venv module, among: $(pythons).' >&2; \
	  echo 'STACK=default takes $(call takes,default), STACK=onedl $(call takes,onedl).' \
	    'Install one, or name it with PYTHON=...' >&2; \
	  exit 1; \
	}; \
	python=$${python#* }; \
	echo "install: $(venv) with $$python"; \
	$$python -m venv $(venv)

demo: install
	@$(venv)/bin/python tools/demo.py

test: install
	@OMP_NUM_THREADS=1 $(venv)/bin/python -m pytest tests -n 2 --dist worksteal
	@! $(venv)/bin/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || \
	  LUMINET_TEST_GPU=1 $(venv)/bin/python -m pytest tests

lint: install
	@$(venv)/bin/ruff check .
	@$(venv)/bin/ruff format --check .

docs: install
	@$(venv)/bin/python -m sphinx -q -E -W --keep-going docs docs/_build
	@echo 'docs: see docs/_build/index.html'
