# Everything this project does, by name. `make` alone lists it.
PYTHON ?= python3
PORT ?= $(or $(MONEDERO_PORT),8000)
DATABASE_URL ?= $(or $(MONEDERO_DATABASE_URL),sqlite:///monedero.db)
NODE_MODULES := tools/postman/node_modules

.DEFAULT_GOAL := help
.PHONY: help run env extras test check lint bench postman lock examples collection dashboard clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

run: .venv/run.stamp ## create .venv, migrate, serve on 127.0.0.1; PORT=9000 for another port
	@.venv/bin/monedero migrate --database-url '$(DATABASE_URL)'
	@exec .venv/bin/monedero serve --port '$(PORT)' --database-url '$(DATABASE_URL)'

env: .venv/run.stamp ## create .venv from the lock; .venv/bin/monedero is the program

extras: .venv/run.stamp ## add to .venv what MONEDERO_TRACE_URL and MONEDERO_SENTRY_DSN need
	@$(PYTHON) tools/install.py requirements/extras.lock

test: .venv/test.stamp ## the whole suite
	.venv/bin/pytest $(PYTEST_ARGS)

lint: .venv/test.stamp ## style, types, import contracts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

check: lint ## lint, types, import contracts, tests with branch coverage
	.venv/bin/pytest --cov --cov-report=term:skip-covered --cov-report=xml $(PYTEST_ARGS)

bench: .venv/test.stamp ## every figure beside its yardstick, under ten minutes (needs wrk and pgbench)
	.venv/bin/python -m benchmarks

postman: .venv/test.stamp $(NODE_MODULES) ## run the Postman collection against a live server (needs node)
	.venv/bin/python -m tools.postman.run

examples: .venv/test.stamp ## ask a service for the answers in src/monedero/api/more_examples.json anew
	.venv/bin/python -m tools.examples

collection: .venv/test.stamp ## write docs/monedero.postman_collection.json anew
	.venv/bin/python -m tools.postman.collection

dashboard: .venv/test.stamp ## write the Grafana dashboard in deploy/monitoring anew
	.venv/bin/python -m tools.dashboard

lock: ## resolve the lock files anew (needs uv)
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes \
	  --no-header --upgrade --output-file requirements/run.lock
	uv pip compile pyproject.toml --group build --group test --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-header --upgrade --constraint requirements/run.lock --output-file requirements/test.lock
	uv pip compile pyproject.toml --group build --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-header --upgrade --constraint requirements/test.lock --output-file requirements/extras.lock

clean: ## remove what the targets made, but no data
	rm -rf .venv build dist .coverage coverage.xml .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis $(NODE_MODULES)

.venv/run.stamp: requirements/run.lock pyproject.toml tools/install.py
	@$(PYTHON) tools/install.py requirements/run.lock
	@touch $@

.venv/test.stamp: requirements/test.lock .venv/run.stamp
	@$(PYTHON) tools/install.py requirements/test.lock
	@touch $@

$(NODE_MODULES): tools/postman/package-lock.json
	cd tools/postman && npm ci --no-audit --no-fund
	@touch $@
