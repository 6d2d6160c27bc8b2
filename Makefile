# Everything runs in virtual environments of this directory; nothing else is needed than make and Python >= 3.11.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
STAGE ?= local
T ?=
FEED ?=
LIMIT ?=
ONCE ?=
LONG ?=
HUAWEI_ENDPOINT ?=
HUAWEI_ACCESS_KEY ?=
HUAWEI_SECRET_KEY ?=
ALIBABA_ENDPOINT ?=
ALIBABA_ACCESS_KEY ?=
ALIBABA_SECRET_KEY ?=
SEED ?=
SEEDS ?=
BOUNDED ?=
WITHOUT ?=
INPUTS ?=
QUEUE ?=
DRY ?=
ALL ?=
RUNTIME ?=
ARCH ?=
UPGRADE ?=
export SEED SEEDS BOUNDED WITHOUT INPUTS QUEUE DRY ALL STAGE RUNTIME ARCH
export FEED LIMIT ONCE VENDORS LONG HUAWEI_ENDPOINT HUAWEI_ACCESS_KEY HUAWEI_SECRET_KEY
export ALIBABA_ENDPOINT ALIBABA_ACCESS_KEY ALIBABA_SECRET_KEY

BIN := .venv/bin
PIP := install --quiet --disable-pip-version-check
SDK := $(if $(wildcard requirements-sdk.txt),.venv-sdk/.ready) .venv-sdk-volcengine/.ready

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo
	@echo "  make run takes FEED=path.csv[.gz] LIMIT=n ONCE=1, VENDORS=all (one report at every CDN), and HUAWEI_ENDPOINT, HUAWEI_ACCESS_KEY, HUAWEI_SECRET_KEY"
	@echo "  or the same with ALIBABA_ (for the exports that are archived)"
	@echo "  for a server of your own. T=path names the tests of unit, contract, app, e2e and fault-test."
	@echo "  make bench takes FEED=path, and LONG=1 to go up to a million URLs"
	@echo "  make fault takes SEEDS=n or SEED=n, VENDORS=all, and BOUNDED=1 for the form that make test runs; make fuzz takes INPUTS=n"
	@echo "  make package, preflight, deploy and audit take RUNTIME=python3.11|python3.12|python3.13 and ARCH=x86_64|arm64,"
	@echo "  and SERVE_CONSOLE=no and ROW_CONDITIONS=no, which leave the console and the policies' conditions on rows out"
	@echo "  make redrive takes STAGE, QUEUE=reports|submit, LIMIT=n, DRY=1, ALL=1; AWS_ENDPOINT_URL where it is a local AWS"

# --- use ---------------------------------------------------------------------------------------------------

.PHONY: run
run: .venv/.ready .venv-aws/.ready ## Show the whole pipeline on a local AWS, fed by a sample or by FEED
	@$(BIN)/python -m dev.run

.PHONY: tour
tour: .venv/.ready .venv-aws/.ready ## Show caps, approvals, unban, pause, drift and renewal on a local AWS
	@$(BIN)/python -m dev.tour

.PHONY: local
local: .venv/.ready .venv-aws/.ready ## Keep a local AWS up, ready to use, until Ctrl-C; .local/access.json says how to reach it
	@STAGE=$(STAGE) $(BIN)/python -m dev.local

.PHONY: cli
cli: .venv/.ready ## Put the command line edgeban into .venv/bin
	@$(BIN)/python -m pip $(PIP) --no-deps --editable .
	@echo "$(BIN)/edgeban --help"

.PHONY: cli-docs
cli-docs: .venv/.ready ## Write docs/cli.md from the commands
	@$(BIN)/python -m dev.cli_document

.PHONY: package
package: .venv/.ready ## Package the app for STAGE as it goes to AWS; print where
	@$(BIN)/python -m dev.package $(STAGE)

.PHONY: packages
packages: .venv/.ready ## Make the package of every RUNTIME and ARCH twice; check that they are byte-equal and hold the right wheels
	@PACKAGES=all $(BIN)/python -m pytest tests/app/test_package.py

.PHONY: redrive
redrive: .venv/.ready ## Move dead letters of STAGE back to the queue they came from; DRY=1 shows them
	@$(BIN)/python -m dev.redrive

.PHONY: erase
erase: .venv/.ready ## Erase the personal data of SUBJECT, a reporter, from STAGE; DRY=1 counts the rows
	@$(BIN)/python -m dev.erase

.PHONY: take-over
take-over: .venv/.ready ## Take over the bans that a vendor already has; takes STAGE, ACCOUNT, DAYS, REASON
	@$(BIN)/python -m dev.take_over

.PHONY: bench
bench: .venv/.ready .venv-aws/.ready ## Measure everything beside a naive implementation; write docs/figures.md
	@$(BIN)/python -m bench

.PHONY: preflight
preflight: .venv/.ready ## Name everything that a deployment of STAGE lacks
	@$(BIN)/python -m dev.preflight $(STAGE)

.PHONY: deploy
deploy: .venv/.ready ## Deploy STAGE to AWS, after the preflight; ALARM_MAIL, HOLD_MAIL, ARCHIVE_LOCK_DAYS, TRACING, DEPLOY_BUCKET
	@$(BIN)/python -m dev.deploy $(STAGE)

.PHONY: audit
audit: .venv/.ready .venv-audit/.ready ## Check the packaged template of STAGE by cfn-lint, cloudsplaining and checkov
	@$(BIN)/python -m dev.audit $(STAGE)

# --- checks --------------------------------------------------------------------------------------------------

.PHONY: test
test: lint types unit contract app console-test e2e fault-test ## Run everything that CI runs
	@echo "make test: all passed"; cat .local/console-test-skipped 2>/dev/null || true

.PHONY: lint
lint: .venv/.ready ## Style, formatting and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

.PHONY: types
types: .venv/.ready ## Types, strictly
	@$(BIN)/mypy

# A directory without tests yet (pytest's exit status 5) is not a failure.
define pytest
	@echo "== $(1)"
	@$(BIN)/python -m pytest $(2) $(or $(T),tests/$(1)) || { status=$$?; [ $$status -eq 5 ] && [ -z "$(T)" ] || exit $$status; }
endef

.PHONY: unit
unit: .venv/.ready ## Tests of one module at a time
	$(call pytest,unit,-n 2)

.PHONY: contract
contract: .venv/.ready .venv-aws/.ready $(SDK) ## Tests of calls to others: vendors against their simulators, also by their own SDKs
	$(call pytest,contract,-n 2)

.PHONY: app
app: .venv/.ready .venv-aws/.ready ## Tests of the app's routes, functions and packaged template
	$(call pytest,app,-n 2)

.PHONY: console-test
console-test: .venv/.ready .venv-console/.ready ## Tests of the console in a real Chromium; skipped if there is none
	@echo "== console"
	@$(BIN)/python -m dev.console_test $(T)

.PHONY: console-shots
console-shots: .venv/.ready .venv-console/.ready ## Take the pictures of docs/console.md anew
	@SCREENSHOTS=1 $(BIN)/python -m dev.console_test tests/console/test_screenshots.py

.PHONY: e2e
e2e: .venv/.ready .venv-aws/.ready ## Tests of the deployed stack on the local AWS
	$(call pytest,e2e)

.PHONY: fault-test
fault-test: .venv/.ready .venv-aws/.ready .venv-fault/.ready ## Tests in which things break, in their bounded form
	$(call pytest,fault)

.PHONY: fault
fault: .venv/.ready .venv-aws/.ready .venv-fault/.ready ## The same for long: 24,000 reports a seed, SEEDS=20 of them or SEED=n
	@$(BIN)/python -m dev.fault.storm

.PHONY: fault-virtual
fault-virtual: .venv/.ready ## The same with every vendor, in one process and in virtual time: SEEDS=5 of them or SEED=n
	@$(BIN)/python -m dev.fault.virtual

.PHONY: fuzz
fuzz: .venv/.ready ## A million hostile inputs to every reader of what strangers send
	@$(BIN)/python -m dev.fault.fuzz

# --- environments ------------------------------------------------------------------------------------------

define environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "installing $(2) into $(1) (up to a minute)"
	@$(PYTHON) -m venv $(1)
	@for file in $(2); do $(1)/bin/python -m pip $(PIP) -r $$file || exit 1; done
	@touch $(1)/.ready
endef

.venv/.ready: requirements.txt requirements-dev.txt
	$(call environment,.venv,$^)

.venv-lock/.ready: requirements-lock.txt
	$(call environment,.venv-lock,requirements-lock.txt)

.PHONY: lock
lock: .venv-lock/.ready ## Lock requirements.txt, with hashes, from requirements.in; UPGRADE=1 takes newer versions
	@.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		$(if $(UPGRADE),--upgrade) -o requirements.txt requirements.in

.venv-aws/.ready: requirements-aws.txt
	$(call environment,.venv-aws,requirements-aws.txt)

.venv-sdk/.ready: requirements-sdk.txt
	$(call environment,.venv-sdk,requirements-sdk.txt)

.venv-sdk-volcengine/.ready: requirements-sdk-volcengine.txt
	$(call environment,.venv-sdk-volcengine,requirements-sdk-volcengine.txt)

.venv-fault/.ready: requirements-fault.txt
	$(call environment,.venv-fault,requirements-fault.txt)

.venv-console/.ready: requirements-console.txt
	$(call environment,.venv-console,requirements-console.txt)

.venv-audit/.ready: requirements-audit.txt
	$(call environment,.venv-audit,requirements-audit.txt)

.PHONY: clean
clean: ## Remove the environments, packages and caches
	rm -rf .venv .venv-aws .venv-console .venv-sdk .venv-sdk-volcengine .venv-audit .venv-fault .venv-lock .local .chalice/deployments .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
