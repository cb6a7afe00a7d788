PYTHON ?= python3
PORT ?= 0
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
AUDIT := $(VENV)/audit
AUDIT_INSTALLED := $(AUDIT)/.installed

.DEFAULT_GOAL := help
.PHONY: help install lint test bench gpu-check docs texts audit sbom demo clean-demo clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED) ## Make .venv with everything that development and the demo need

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

lint: $(INSTALLED) ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## Run every check and every test
	$(BIN)/pytest --numprocesses auto

bench: $(INSTALLED) ## Measure speed and memory beside a plain pipeline (five to fifteen minutes)
	$(BIN)/photomaker bench
	$(BIN)/python -m storage.benchmark
	$(BIN)/python -m bot.tools.benchmark

gpu-check: $(INSTALLED) ## Measure speed, memory plans and half precision on a CUDA card (three to ten minutes)
	$(BIN)/python scripts/gpu_check

docs: $(INSTALLED) ## Make the pages and screenshots of docs/ that come from the code
	$(BIN)/photomaker-bot commands > docs/commands.md
	$(BIN)/python -m scripts.screenshots docs/screenshots

texts: $(INSTALLED) ## Bring the translations in bot/i18n/translations in step with the code
	$(BIN)/python -m scripts.translations

# In an environment of their own: their packages are no part of what is audited and listed.
$(AUDIT_INSTALLED):
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --disable-pip-version-check 'pip-audit>=2.10,<3' 'cyclonedx-bom>=7.5,<8'
	touch $@

audit: $(AUDIT_INSTALLED) ## Look up the pinned packages among known vulnerabilities (needs the network)
	mkdir -p build
	rm -f build/audit.txt
	@$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt --output build/audit.txt; \
	status=$$?; \
	if [ $$status -eq 0 ]; then echo "No known vulnerabilities in the packages of constraints.txt."; \
	elif [ -s build/audit.txt ]; then cat build/audit.txt; echo "Some pinned packages have known vulnerabilities."; \
	else echo "Nothing was audited: https://pypi.org did not answer for every package. Try again with the network."; fi; \
	exit $$status

sbom: $(INSTALLED) $(AUDIT_INSTALLED) ## Write the list of all installed packages, build/sbom.json (CycloneDX)
	mkdir -p build
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file build/sbom.json $(BIN)/python

demo: $(INSTALLED) ## Try the bot in the browser (PORT=8123 chooses the port)
	$(BIN)/photomaker-bot demo --port $(PORT)

clean-demo: ## Forget what the demo stored
	rm -rf data/demo

clean: ## Remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info
