# Needs make and Python 3.11 or newer; everything else goes into .venv. `make` lists the targets.

PYTHON ?= python3
JOBS   ?= auto
DATA   ?= ../shared/data/hrplanes
ARGS   ?=
SATELLITES ?= 1

VENV    := .venv
BIN     := $(VENV)/bin
MEMBERS := core edge-agent ground-manager operators mission sedna-api
STAMP   := $(VENV)/.installed
PYTEST  := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format verify pretrain teacher bench-labels bench-learning bench-link bench-delta bench-selection bench-forgetting bench-onboard bench-kodan fault-test bench-operator chaos fuzz conformance control-plane control-plane-down kind-up kind-down test-cluster images sbom clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install the six packages and the tools into it

$(STAMP): constraints.txt pyproject.toml $(MEMBERS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "orbitloop needs Python 3.11 or newer; name one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python cannot create environments here; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	  -c constraints.txt $(MEMBERS:%=-e %) -e '.[dev]'
	@touch $@

demo: $(STAMP) ## Run a whole mission on this machine; ARGS="..." goes to it
	$(BIN)/orbitloop demo $(ARGS)

test: $(STAMP) ## Run every test that needs no cluster; ARGS="..." goes to pytest
	$(PYTEST) -n $(JOBS) --dist loadscope $(ARGS)

check: $(STAMP) ## Format, lint, types, import contracts, unit tests but the slow: a minute
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -q -n $(JOBS) -m "not slow" tests/unit

format: $(STAMP) ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

verify: $(STAMP) ## Generated files, bundled data and links are what they claim to be
	$(BIN)/python -m orbitloop_mission.generate --check
	$(PYTEST) -q -m verify tests/unit

pretrain: $(STAMP) ## Train the base detector on a public set; DATA=folder, ARGS="..."
	$(BIN)/orbitloop pretrain --data $(DATA) $(ARGS)

teacher: $(STAMP) ## Train the larger detector that labels on the ground; DATA=folder, ARGS="..."
	$(BIN)/orbitloop teacher --data $(DATA) $(ARGS)

bench-labels: $(STAMP) ## What labels without hands are worth, beside ground truth; ARGS="..."
	$(BIN)/python -m bench.labels $(ARGS)

bench-learning: $(STAMP) ## How much a delta learns, beside its peers; ARGS="..."
	$(BIN)/python -m bench.learning $(ARGS)

bench-link: $(STAMP) ## What the space link carries, beside its peers; ARGS="..."
	$(BIN)/python -m bench.link $(ARGS)

bench-delta: $(STAMP) ## What an update of how many bytes is worth, beside its peers; ARGS="..."
	$(BIN)/python -m bench.delta $(ARGS)

bench-selection: $(STAMP) ## Which samples teach most for a tenth of the bytes; ARGS="..."
	$(BIN)/python -m bench.selection $(ARGS)

bench-forgetting: $(STAMP) ## What is forgotten of old ground over five rounds, by what is done against it; ARGS="..."
	$(BIN)/python -m bench.forgetting $(ARGS)

bench-onboard: $(STAMP) ## How fast the eye on board is, beside its peers; ARGS="..."
	$(BIN)/python -m bench.onboard $(ARGS)

fault-test: $(STAMP) ## A thousand bit flips, cuts and kills: is a wrong model ever served? ARGS="..."
	$(BIN)/python -m bench.faults $(ARGS)

bench-kodan: $(STAMP) ## What a pass is worth that an application was fitted for, beside its peers; ARGS="..."
	$(BIN)/python -m bench.kodan $(ARGS)

bench-operator: $(STAMP) ## What a thousand jobs take of the Global Manager; ARGS="..."
	$(BIN)/python -m bench.operator $(ARGS)

chaos: $(STAMP) ## A thousand seeded faults on live processes; ARGS="..."
	$(BIN)/python -m bench.chaos $(ARGS)

fuzz: $(STAMP) ## Fuzz every parser of what crosses space, a minute each; ARGS="..." goes to libFuzzer
	@for name in $$($(BIN)/python -m tests.fuzz.parsers); do \
	  echo "--- $$name"; $(BIN)/python -m tests.fuzz.coverage_guided $$name -max_total_time=60 $(ARGS) || exit 1; done

conformance: $(STAMP) ## Ask an implementation of Sedna's kinds what it keeps: ours, or ARGS="--conformance-kubeconfig FILE"
	$(PYTEST) tests/conformance $(ARGS)

control-plane: $(STAMP) ## Start a real kube-apiserver and etcd here, built if need be; ARGS="..."
	@$(BIN)/python -m hack.control_plane up $(ARGS)

control-plane-down: $(STAMP) ## Stop them
	@$(BIN)/python -m hack.control_plane down

CONSTELLATION := $(BIN)/python -m hack.kind $(if $(OFFLINE),--offline)

kind-up: $(STAMP) ## A ground and SATELLITES=1 in kind, behind a space link; OFFLINE=1, KUBEEDGE=1, ARGS="..."
	@$(CONSTELLATION) up --satellites $(SATELLITES) $(if $(NODE_IMAGE),--node-image $(NODE_IMAGE)) $(if $(KUBEEDGE),--kubeedge) $(ARGS)

kind-down: $(STAMP) ## Take it away
	@$(CONSTELLATION) down

test-cluster: $(STAMP) ## The images and the whole loop, in a cluster as kind-up OFFLINE=1 makes it; a quarter of an hour
	$(PYTEST) -x tests/cluster $(ARGS)

images: $(STAMP) ## Build the images that changed, and weigh them; OFFLINE=1: no registry, ARGS="edge ..."
	@$(BIN)/python -m hack.images build $(if $(OFFLINE),--offline) $(ARGS)

sbom: $(STAMP) ## List what is in each image, as CycloneDX, in build/sbom
	@$(BIN)/python -m hack.images sbom $(ARGS)

clean: ## Remove everything that can be made again, .venv included
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name '*.egg-info' -prune -exec rm -rf {} +
	rm -rf $(MEMBERS:%=%/build)
