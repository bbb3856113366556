# make audit            what markreg says of the example node    make audit NODE=FILE|FOLDER    of yours    make audit NODE=live    of this machine
# make test             everything that a change must pass       make unit, make oracle, make lint    parts of it
# make bench            speed and memory beside iptables-restore

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.PHONY: help audit test packages lint unit unit-newest oracle bench clean
export PIP_DISABLE_PIP_VERSION_CHECK := 1

NODE ?= docs/example-node
ARGS ?=

help:
	@sed -n '1,3s/^# //p' Makefile

audit: .venv/$(if $(filter live,$(NODE)),.live,.installed)
	@.venv/bin/markreg audit $(if $(filter live,$(NODE)),,$(NODE)) --exit-zero $(ARGS)

test: packages lint unit unit-newest oracle

packages:
	@.ci/install-packages

lint: .venv/.dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

unit: .venv/.dev
	.venv/bin/pytest -n auto -m "not oracle" $(ARGS)

unit-newest: .venv-newest/.dev
	.venv-newest/bin/pytest -n auto -m "not oracle" $(ARGS)

# The oracles ask the kernel in network namespaces of their own, which takes root.
oracle: .venv/.dev
	@if [[ $$(id -u) == 0 ]]; then echo .venv/bin/pytest -m oracle; .venv/bin/pytest -m oracle $(ARGS); \
	elif [[ $${CI:-} ]]; then echo "the oracles need root" >&2; exit 1; \
	else echo "NOT RUN: the oracles need root (sudo make oracle)" >&2; fi

bench: .venv/.installed
	@.venv/bin/python -m bench.run $(ARGS)

clean:
	rm -rf .venv .venv-newest build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# One environment for each end of the range of Pythons.
.venv/.installed: pyproject.toml
	@[[ -x .venv/bin/python ]] || "$$(.ci/pythons | head -n 1)" -m venv .venv
	@.venv/bin/pip install -q -e .
	@.venv/bin/python -m compileall -q markreg
	@touch $@

# The extra reads a live node's netlink; part of it is built by a C compiler, and without it the node's own tools are asked.
.venv/.live: .venv/.installed
	@.venv/bin/pip install -q -e '.[live]' 2>/dev/null || echo "without the live extra (no C compiler?): asking this node's own tools" >&2
	@touch $@

.venv/.dev: pyproject.toml
	@[[ -x .venv/bin/python ]] || "$$(.ci/pythons | head -n 1)" -m venv .venv
	@.venv/bin/pip install -q -e '.[dev,live]'
	@touch $@ .venv/.installed

.venv-newest/.dev: pyproject.toml
	@[[ -x .venv-newest/bin/python ]] || "$$(.ci/pythons | tail -n 1)" -m venv .venv-newest
	@.venv-newest/bin/pip install -q -e '.[dev]'
	@touch $@
