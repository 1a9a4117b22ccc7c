# One obvious way to do each task. `make demo` and `make test` work from a clean clone.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
RUNTIME ?= cpu
ONLINE := .venv/.online-$(RUNTIME)
OFFLINE := .venv/.offline

.PHONY: demo test quick check clean install

install: $(ONLINE)

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(ONLINE): $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing the online part into .venv: a minute or two, the first time only."
	@$(PIP) --editable '.[$(RUNTIME),broker]'
	@touch $@

$(OFFLINE): $(ONLINE)
	@echo "Installing what training and the tests need into .venv: some minutes, the first time only."
	@$(PIP) --editable '.[$(RUNTIME),broker,training,test]'
	@touch $@

# make demo            the stream that ships with Downtick
# make demo FILE=...   your own JSONL or CSV with time, text and optionally ticker
demo: $(ONLINE)
	$(BIN)/downtick demo $(if $(FILE),--file '$(FILE)')

test: $(OFFLINE)
	$(BIN)/python -m pytest $(ARGS)

quick: $(OFFLINE)
	$(BIN)/python -m pytest -m 'not slow and not kafka' $(ARGS)

check: $(OFFLINE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --package bench

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
