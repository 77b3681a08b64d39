# The two commands that matter: `make run` and `make test`. Both set up a virtual environment in .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test faults gpu check bench clean

run: $(STAMP)
	$(BIN)/udaseg-runtime --stream rain_sequence $(ARGS)

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

faults: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m faults --timeout 580 $(ARGS)

gpu: $(STAMP)
	$(BIN)/python -m pytest -m cuda --timeout 580
	$(BIN)/udaseg-runtime bench inference --device cuda --sizes 512x1024,1024x2048 \
		--models segformer_b0,segformer_b1,segformer_b2,segformer_b3,segformer_b4,segformer_b5
	$(BIN)/udaseg-runtime bench adaptation --device cuda
	$(BIN)/udaseg-runtime bench latency --device cuda

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/udaseg-runtime bench $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)
