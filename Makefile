# Everything here sets up .venv by itself, from requirements-dev.lock, and again when that file changes.
# `make demo` alone takes requirements-charts.lock.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
READY := .venv/.installed-$(firstword $(shell cksum < requirements-dev.lock))
# What the bot itself needs, half as large; whoever has the rest has this too.
LIGHT := .venv/.light-$(firstword $(shell cksum < requirements-charts.lock))
PORT := 8065
PYTEST := $(BIN)/python -m pytest
# Tests wait about a third of their time, so two cores take three of them at once.
WORKERS := -n $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 3 ? 3 : 4))) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test shuffled quick check coverage mutants bench soak audit lock upgrade \
	licences pictures reference

help:
	@echo "make demo    the bot, a simulated fleet and a local Slack on http://127.0.0.1:8065, or on PORT=9000"
	@echo "make test    check, and the whole test suite"
	@echo "make shuffled    the whole test suite in another order each time"
	@echo "make quick   check, and the tests that start no process and play no whole night or rollout"
	@echo "make check   style, types and import contracts"
	@echo "make coverage    the tests without the browser, and which lines of the bot they never reach"
	@echo "make mutants    change the domain and the outbox in small ways that no test notices"
	@echo "make bench   measure speed and memory against the bare thing"
	@echo "make soak    the long tests, and the suite with more examples and every database test on PostgreSQL"
	@echo "make audit   ask what weaknesses are known of the versions in the lock"
	@echo "make lock    write the three lock files from pyproject.toml; what is locked stays as it is"
	@echo "make upgrade    the same, with the newest of everything"
	@echo "make licences    write the list of licences from what the lock names"
	@echo "make pictures    take the pictures of the README anew"
	@echo "make reference    write the tables of docs/settings.md from the settings"

demo: $(or $(wildcard $(READY)),$(LIGHT))
	@$(BIN)/python -m bot demo --port $(PORT)

test: check
	$(PYTEST) $(WORKERS) -p no:randomly

shuffled: $(READY)
	$(PYTEST) $(WORKERS)

SLOW := tests/attacks tests/browser tests/demo/test_run.py tests/project/test_readme.py tests/services tests/system \
	tests/slack/home/test_tab.py tests/slack/outgoing/test_publisher.py tests/test_doctor.py tests/test_main.py \
	tests/test_metrics.py $(wildcard tests/slack/alerts/test_*.py tests/slack/fleet/test_*.py tests/slack/rollouts/test_*.py)

quick: check
	$(PYTEST) $(WORKERS) -p no:randomly $(SLOW:%=--ignore %) -m 'not bench and not soak and not postgres and not index and not promtool'

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: $(READY)
	$(PYTEST) $(WORKERS) --cov --cov-report=term-missing --ignore tests/browser -m 'not bench and not soak and not index'

# It changes the files of bot/ where they are and puts them back: with a clean working tree only.
mutants: $(READY)
	git diff --quiet -- bot
	rm -f .mutants.sqlite
	$(BIN)/cosmic-ray init .ci/mutants.toml .mutants.sqlite
	$(BIN)/cr-filter-operators .mutants.sqlite .ci/mutants.toml
	$(BIN)/cosmic-ray baseline .ci/mutants.toml
	$(BIN)/cosmic-ray exec .ci/mutants.toml .mutants.sqlite
	$(BIN)/cr-report --surviving-only --show-diff .mutants.sqlite

bench: $(READY)
	$(PYTEST) -m bench -s

soak: $(READY)
	$(PYTEST) -m soak -s --timeout 0
	HYPOTHESIS_PROFILE=explore $(PYTEST) $(WORKERS) --timeout 0 --all-on-both

audit: $(READY)
	@.ci/audit

licences: NAMES = $(shell grep -oE '^[a-zA-Z0-9_.-]+==' requirements-charts.lock | tr -d = | sort -u)
licences: $(READY)
	sed -i '/^|/d' docs/licences.md
	$(BIN)/uv tool run --quiet pip-licenses@5.5.5 --python $(BIN)/python --from=mixed --format=markdown --with-system \
		--no-version --with-urls --packages $(NAMES) >> docs/licences.md

reference: $(READY)
	$(BIN)/python -m tests.project.reference

pictures: $(READY)
	$(BIN)/python -m tests.browser.pictures

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes $(NEWEST) \
	--no-header --no-emit-index-url --no-emit-find-links --no-annotate --extra build pyproject.toml

lock: $(READY)
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra charts --output-file requirements-charts.lock
	$(LOCK) --extra charts --extra dev --output-file requirements-dev.lock

upgrade: NEWEST := --upgrade
upgrade: lock

$(READY): LOCKED = requirements-dev.lock
$(LIGHT): LOCKED = requirements-charts.lock
$(READY): requirements-dev.lock
$(LIGHT): requirements-charts.lock
$(READY) $(LIGHT):
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Meshbot needs Python 3.11 or newer: install it, or say where it is: make PYTHON=/path/to/python"; \
		exit 1; } >&2
	@$(BIN)/python -c pass 2>/dev/null || echo "Making the virtual environment .venv …"
	@$(BIN)/python -c pass 2>/dev/null || $(PYTHON) -m venv --clear .venv || { \
		echo "The virtual environment could not be made: on Debian and Ubuntu, apt-get install python3-venv first."; \
		exit 1; } >&2
	@echo "Installing what $(LOCKED) names into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $(LOCKED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --no-build-isolation -e .
	@rm -f .venv/.installed-* .venv/.light-*
	@touch $@
