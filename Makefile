# Everything a developer types. `make` alone lists the targets; CONTRIBUTING.md explains the layout.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON := .venv/bin/python
JOBS ?= $(shell nproc)
SANITIZERS := asan-ubsan tsan
# A change of any of these, a new one included, makes CMake configure again.
CMAKE_FILES := CMakeLists.txt CMakePresets.json $(wildcard cmake/* src/*.txt src/*/CMakeLists.txt \
               tests/*.txt tests/*/CMakeLists.txt bench/*.txt bench/*/CMakeLists.txt examples/CMakeLists.txt)

.PHONY: help setup build test check format lint sanitize demo bench study clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing: Debian packages, .venv, Python packages
	@scripts/setup.sh

build/%/configured.stamp: $(CMAKE_FILES) requirements.txt | setup
	cmake --preset $*
	@touch $@

build: build/release/configured.stamp ## build everything, optimized
	cmake --build --preset release -j $(JOBS)

test: build ## build, then run all tests (ctest and pytest)
	@$(PYTHON) scripts/run_tests.py --jobs $(JOBS) ctest:release pytest

check: lint sanitize ## format, lint, clang-tidy; tests under the sanitizers

lint: build/asan-ubsan/configured.stamp ## format, lint and clang-tidy alone
	@$(PYTHON) scripts/lint.py --jobs $(JOBS)

sanitize: $(SANITIZERS:%=build/%/configured.stamp) ## the LibTorch-free areas' tests under address, UB and thread sanitizers
	@for preset in $(SANITIZERS); do cmake --build --preset $$preset -j $(JOBS) || exit 1; done
	@$(PYTHON) scripts/run_tests.py --jobs $(JOBS) $(SANITIZERS:%=ctest:%)

format: setup ## rewrite all C++ and Python files in the project's format
	@$(PYTHON) scripts/lint.py --fix

demo: build ## train full and small tables on real data, make build/demo/report.html
	@$(PYTHON) scripts/demo.py

bench: build ## measure against the peers: make bench AREA=train|sparsity|parallel|all
	@scripts/setup.sh --bench
	@$(PYTHON) bench/peers/run.py $(AREA)

study: build ## reproduce the quality tables of docs/: make study AREA=embedding DATA=DIR
	@$(PYTHON) bench/studies/run.py --area "$(AREA)" --data "$(DATA)"

clean: ## remove build/
	rm -rf build
