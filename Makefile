# `make help` lists the words. Everything runs in .venv inside this checkout; nothing has to be installed by hand.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
# What a word is given further: make serve ARGS="--port 3001", make unit ARGS="-k envelope"
ARGS ?=
WORKERS ?= 2
FUZZ_SECONDS ?= 60
QUICK := not server and not live and not soak
SOURCES := src tests scripts $(wildcard bench)

.PHONY: help install runtime servers check format unit test live soak fuzz golden bench serve migrate docs lock vendor

help: ## list these words
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  %-14s %s\n", $$1, $$2}'

install: ## fill .venv with everything that work on the code needs
	@scripts/setup dev

runtime:
	@scripts/setup runtime

servers: install ## make the real mail and database servers of the tests available
	@scripts/setup-test-servers

check: install ## format, lint, types, imports, RFC citations, locks, options, words
	@.venv/bin/ruff format --check --quiet $(SOURCES)
	@.venv/bin/ruff check --quiet $(SOURCES)
	@$(PYTHON) -m mypy -p mailquay -p tests -p scripts $(if $(wildcard bench/*.py),-p bench)
	@.venv/bin/lint-imports --no-logo
	@$(PYTHON) scripts/check_rfcs.py
	@$(PYTHON) scripts/check_locks.py
	@$(PYTHON) scripts/check_settings.py
	@$(PYTHON) scripts/quirks_docs.py --check
	@$(PYTHON) scripts/check_words.py

format: install ## rewrite the code in the house's format
	@.venv/bin/ruff check --quiet --fix-only $(SOURCES)
	@.venv/bin/ruff format $(SOURCES)

unit: install ## the tests that need no server, in under two minutes
	@$(PYTEST) -q -n $(WORKERS) -m "$(QUICK)" $(ARGS)

test: check servers ## check, then all tests but the long ones, also against real servers: what CI runs
	@$(PYTEST) -q -n $(WORKERS) --dist loadfile -m "not live and not soak" $(ARGS)

live: servers ## the long matrices against real servers
	@$(PYTEST) -q -n $(WORKERS) --dist loadfile -m live $(ARGS)

soak: servers ## kills and races for a long time
	@$(PYTEST) -q -m soak -o faulthandler_timeout=0 $(ARGS)

fuzz: install ## property tests with many more examples
	@MAILQUAY_FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTEST) -q -n $(WORKERS) -m hypothesis --hypothesis-profile fuzz $(ARGS)

golden: install ## rewrite the golden files; review the difference
	@$(PYTEST) -q -m golden --rewrite-golden $(ARGS)

bench: servers ## measure speed and memory
	@$(PYTHON) -m bench $(ARGS)

serve: runtime ## start the server: make serve ARGS="--port 3001 --sandbox"
	@exec .venv/bin/mailquay serve $(ARGS)

migrate: runtime ## bring the database to the newest schema
	@.venv/bin/mailquay migrate $(ARGS)

docs: install ## write the generated documentation anew
	@$(PYTHON) scripts/settings_docs.py
	@$(PYTHON) scripts/quirks_docs.py

lock: install ## rewrite the lock files from pyproject.toml (newer versions: ARGS=--upgrade)
	@$(PYTHON) scripts/lock.py $(ARGS)

vendor: install ## copy the JavaScript that we bring along from npm, as scripts/node locks it
	@$(PYTHON) scripts/vendor.py
