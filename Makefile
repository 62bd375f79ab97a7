# `make help` lists the words. Everything runs in .venv inside this checkout; nothing has to be installed by hand.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
ARGS ?=

.PHONY: help
help: ## list these words
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

.PHONY: runtime
runtime:
	@scripts/setup runtime

.PHONY: install
install: ## fill .venv with everything that work on the code needs
	@scripts/setup dev

.PHONY: serve
serve: runtime ## start the server (options: make serve ARGS="--port 3001")
	@exec .venv/bin/mailquay serve $(ARGS)

.PHONY: lock
lock: install ## rewrite the lock files from pyproject.toml (newer versions: ARGS=--upgrade)
	@$(PYTHON) scripts/lock.py $(ARGS)
