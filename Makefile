# Two commands for a fresh machine: `make demo` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-all test-slow test-buildah-new rootless lint bench bench-rootless bench-matrix bench-push clean

BIN := .venv/bin

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

setup: ## install what is missing: system tools by apt-get, Python ones into .venv
	@scripts/setup

demo: setup ## build recipes/keras.toml and let the image prove that it works
	@$(BIN)/avabuild recipe recipes/keras.toml

lint: setup ## ruff, mypy --strict and import-linter
	@$(BIN)/ruff check core plugins tests scripts
	@$(BIN)/ruff format --check core plugins tests scripts
	@$(BIN)/mypy
	@$(BIN)/mypy scripts/bench
	@$(BIN)/lint-imports

test: lint ## lint, then the suite, real builds included, a file at a time on each of two processors
	@scripts/setup --tests
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-fast: setup ## the tests that need neither network nor buildah
	@$(BIN)/pytest -m "not network and not build and not slow" --numprocesses 2

test-all: setup ## the suite with both kinds of users also where one is enough to find most, and other examples each time
	@scripts/setup --tests
	@AVABUILD_TEST_ALL=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-slow: setup ## the tests that take many minutes: Caffe compiled for every Debian
	@scripts/setup --tests
	@$(BIN)/pytest -m slow

test-buildah-new: ## real builds with the buildah of Debian 13, in a root of it, as root; TESTS="tests/builds/test_steps.py"
	@scripts/test-buildah-new $(TESTS)

rootless: setup ## build the situations of docs/rootless.md as users made for it, and write its table
	@scripts/setup --tests
	@AVABUILD_WRITE_TABLE=1 $(BIN)/pytest -m slow tests/builds/test_situations.py -p no:randomly

bench: setup ## measure avabuild against Containerfiles; BENCH="--help" for its options
	@PYTHONPATH=scripts $(BIN)/python -m bench $(BENCH)

bench-rootless: setup ## measure builds of users without root, as root; BENCH="--help" for its options
	@PYTHONPATH=scripts $(BIN)/python -m bench.rootless $(BENCH)

bench-matrix: setup ## measure a catalogue of seven recipes; BENCH="--help" for its options
	@PYTHONPATH=scripts $(BIN)/python -m bench.matrix $(BENCH)

bench-push: setup ## measure building and pushing; BENCH="--help" for its options
	@scripts/setup --tests
	@PYTHONPATH=scripts $(BIN)/python -m bench.push $(BENCH)

clean: ## remove .venv and the tools' caches; images and the build cache stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
