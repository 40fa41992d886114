# Two commands do everything: `make reproduce` runs the whole story, `make test` checks the code.
# Both create .venv and install pinned versions first; a machine needs only Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
WORLD ?= quick
# Further lock files to install, such as requirements-hf.lock: tests that need what they hold then run.
EXTRA_LOCKS ?=
# Options of `jupyter lab`, such as LAB=--no-browser.
LAB ?=
# Options of `make accelerator`, such as ACCELERATOR=--smoke.
ACCELERATOR ?=

# Where this is set, each of the many processes that start would compile every module again: 7 s each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: accelerator reproduce test test-long check pytest numbers benchmark docs notebook lock clean

reproduce: .venv/installed
	$(BIN)/datawall reproduce --world $(WORLD)

test: .venv/installed  # types are checked on one core meanwhile
	$(MAKE) --jobs 2 check pytest

# Most of the tests' time goes into compiling, which a process does on one core.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Marks of the tests to run, such as MARKED="not benchmark" for the long ones too.
MARKED ?=
pytest: .venv/installed
	$(BIN)/pytest $(PARALLEL) $(if $(MARKED),-m "$(MARKED)")

test-long: .venv/installed  # whole worlds, killed sweeps, clusters, notebooks
	$(BIN)/pytest $(PARALLEL) -m long

numbers: .venv/installed  # every check of a published number, and a table of them
	$(BIN)/pytest -m published $$(grep -rl --include='test_*.py' check_number tests)

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: .venv/installed  # the PyTorch peer is timed where torch is installed: pip install torch
	$(BIN)/pytest tests/benchmarks -m benchmark --benchmark-enable -s

# Without .venv, any Python that holds jax, flax, optax and safetensors will do.
accelerator:  # checks and measures training on the GPU or TPU of this machine
	PYTHONPATH=. $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m models.accelerator $(ACCELERATOR)

docs: .venv/docs  # the pages, into site/; reading them asks nothing of a network
	$(BIN)/mkdocs build --strict

notebook: .venv/notebook  # JupyterLab on copies of the notebooks, in which changes are kept
	mkdir -p notebooks
	for one in experiments/notebooks/*.ipynb; do \
	    test -e notebooks/$${one##*/} || cp $$one notebooks; done
	$(BIN)/jupyter-lab notebooks $(LAB)

.venv/notebook .venv/docs: .venv/%: requirements-%.lock .venv/installed
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --requirement $<
	touch $@

# The stamp is made last, so an interrupted installation starts again. Modules are compiled when first
# imported: most never are. The lock names everything there is, so nothing is resolved, and two halves
# are installed at once; a further one may leave to each platform what its torch needs. A recent pip
# goes first: that of Python 3.11 takes over half a second to find each pinned version.
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"datawall needs Python 3.11 or newer; $(PYTHON) is {v.major}.{v.minor}. Name another one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	grep '^pip==' requirements.lock | $(BIN)/python -m pip install --quiet --no-compile --requirement /dev/stdin
	seq 0 1 | xargs -n 1 -P 2 sh -c 'awk "NR % 2 == $$0" requirements.lock | $(BIN)/python -m pip install --quiet --no-compile --no-deps --requirement /dev/stdin'
	$(if $(EXTRA_LOCKS),$(BIN)/python -m pip install --quiet --no-compile $(foreach lock,$(EXTRA_LOCKS),--requirement $(lock)))
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --editable .
	touch $@

COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links
lock:  # those of the notebooks and the pages hold what is not in the other
	$(COMPILE) --extra test -o requirements.lock
	for extra in notebook docs; do \
	    $(COMPILE) --quiet --extra $$extra -c requirements.lock | grep -vxFf requirements.lock \
	        > requirements-$$extra.lock; done

clean:
	rm -rf .venv build site *.egg-info .mypy_cache .ruff_cache
