# What everything is done with. `make demo` and `make test` set up all they need first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find protocol node -name '*.py' -o -name '*.json' -o -name '*.toml' -o -name '*.css' -o -name '*.js' -o -name '*.html' -o -name '*.svg' -o -name 'py.typed') pyproject.toml README.md
# make bench GROUP=spine JSON=bench.json
GROUP ?=
JSON ?=
# Ten minutes of traffic beside the js-libp2p peer, and the long form of every loop.
INTEROP_SECONDS ?= 600
# Tests wait more than they compute: three of their files run at once, on two cores.
WORKERS ?= 3
SOAK_ROUNDS ?= 100

.DEFAULT_GOAL := help
.PHONY: help set-up demo simulate test interop soak bench check package clean

help:  ## list the verbs
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

set-up: $(VENV)/.installed deploy/contracts/node_modules/.done tests/interop/js/node_modules/.done tests/dashboard/node_modules/.done build/opencti/.done  ## install everything, with the exact versions that are locked

demo: $(VENV)/.installed deploy/contracts/node_modules/.done  ## three protocols, one real incident, on a local chain
	$(BIN)/tocsin demo

simulate: $(VENV)/.installed  ## all incidents and false alarms under the default policy; the page is build/simulate.html
	mkdir -p build
	$(BIN)/tocsin simulate --seeds 200 --control-seeds 1000 --report build/simulate.html \
	  --fail-if 'kind == "control" && freeze_percent > 0.0' --fail-if 'in_time_percent < 95.0'

test: set-up  ## all tests but the long loops, against the built wheel
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

interop: set-up  ## ten minutes in a mesh with a js-libp2p peer
	TOCSIN_INTEROP_SECONDS=$(INTEROP_SECONDS) $(BIN)/python -m pytest tests/interop

soak: set-up  ## the long loops: kills, restarts, partitions
	TOCSIN_SOAK_ROUNDS=$(SOAK_ROUNDS) TOCSIN_INTEROP_SECONDS=$(INTEROP_SECONDS) $(BIN)/python -m pytest -m soak

bench: set-up  ## measure this machine against the goals [GROUP=spine JSON=bench.json]
	$(BIN)/tocsin bench $(GROUP) $(if $(JSON),--json > $(JSON))

check: $(VENV)/.installed deploy/contracts/node_modules/.done  ## format, lint, types, and the contracts rebuilt
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	cd deploy/contracts && npm run --silent check

package: $(VENV)/.done  ## wheel and source distribution in dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation

clean:  ## remove what the other verbs made
	rm -rf $(VENV) dist build/opencti deploy/contracts/node_modules tests/interop/js/node_modules tests/dashboard/node_modules

# The locked packages. libp2p's dependency trio-typing pulls in trio-stubs, which would hide trio's own types.
$(VENV)/.done: requirements.lock
	@sh deploy/prerequisites.sh $(PYTHON)
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	rm -rf $(VENV)/lib/python3.*/site-packages/trio-stubs
	@touch $@

# The wheel itself, not the sources: what is tested is what is shipped.
$(VENV)/.installed: $(VENV)/.done $(SOURCES)
	rm -rf build/wheel
	$(BIN)/python -m build --no-isolation --wheel --outdir build/wheel > build.log 2>&1 || (cat build.log; exit 1)
	@rm -f build.log
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall build/wheel/*.whl
	@touch $@

# What OpenCTI takes of a bundle, apart from our own packages: its client as a whole wants older ones than we do.
build/opencti/.done: tests/interop/opencti/requirements.lock $(VENV)/.done
	rm -rf build/opencti
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --target build/opencti -r $<
	@touch $@

%/node_modules/.done: %/package-lock.json
	@sh deploy/prerequisites.sh $(PYTHON)
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
