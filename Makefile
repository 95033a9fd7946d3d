# Everything a developer types. `make` alone lists the targets; CONTRIBUTING.md explains the layout.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON := .venv/bin/python
JOBS ?= $(shell nproc)
SANITIZERS := asan-ubsan tsan
TORCH_SANITIZED := data nn train fuzz
# A change of any of these, a new one included, makes CMake configure again.
CMAKE_FILES := CMakeLists.txt CMakePresets.json $(wildcard cmake/* src/*.txt src/*/CMakeLists.txt \
               tests/*.txt tests/*/CMakeLists.txt bench/*.txt bench/*/CMakeLists.txt examples/CMakeLists.txt)

.PHONY: help setup build programs wheel test check format lint sanitize sanitize-torch demo bench docs study clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing: Debian packages, .venv, Python packages
	@scripts/setup.sh

build/%/configured.stamp: $(CMAKE_FILES) requirements.txt | setup
	cmake --preset $*
	@touch $@

build: build/release/configured.stamp ## build everything, tests and benchmarks included, optimized
	cmake --build --preset release -j $(JOBS)

# The targets FOLDER/all are Ninja's: all that the CMakeLists.txt files of a folder and below it declare.
programs: build/release/configured.stamp ## build the two programs alone, no tests and no benchmarks
	cmake --build --preset release -j $(JOBS) --target taut taut-torch

wheel: build/release/configured.stamp ## dist/taut-*.whl: the Python package with its programs and the libraries they need
	cmake --build --preset release -j $(JOBS) --target wheel
	@$(PYTHON) scripts/make_wheel.py --build build/release --out dist

test: build/release/configured.stamp ## build the libraries, programs and tests, then run all tests (ctest and pytest)
	cmake --build --preset release -j $(JOBS) --target src/all tests/all
	@$(PYTHON) scripts/run_tests.py --jobs $(JOBS) ctest:release pytest

check: lint sanitize ## format, lint, clang-tidy; tests under the sanitizers

lint: build/tidy/configured.stamp ## format, lint and clang-tidy alone
	@$(PYTHON) scripts/lint.py --jobs $(JOBS)

sanitize: $(SANITIZERS:%=build/%/configured.stamp) ## the LibTorch-free areas' tests under address, UB and thread sanitizers
	@for preset in $(SANITIZERS); do cmake --build --preset $$preset -j $(JOBS) || exit 1; done
	@$(PYTHON) scripts/run_tests.py --jobs $(JOBS) $(SANITIZERS:%=ctest:%)

# LibTorch and Arrow are not instrumented: their vectors must not be checked, nor what they keep to the end.
sanitize-torch: export ASAN_OPTIONS := detect_leaks=0:detect_container_overflow=0
sanitize-torch: build/asan-torch/configured.stamp ## tests of data, nn, train and of all fuzz targets under the address sanitizer (long)
	cmake --build --preset asan-torch -j $(JOBS) --target $(TORCH_SANITIZED:%=tests/%/all)
	@for area in $(TORCH_SANITIZED); do \
	  ctest --test-dir build/asan-torch/tests/$$area --output-on-failure --no-tests=error -j $(JOBS) || exit 1; done

format: setup ## rewrite all C++ and Python files in the project's format
	@$(PYTHON) scripts/lint.py --fix

demo: | setup ## train full and small tables on real data, make build/demo/report.html
	@started=$$(date +%s); $(MAKE) --no-print-directory programs && $(PYTHON) scripts/demo.py --started $$started

bench: build/release/configured.stamp ## measure against the peers: make bench AREA=embedding|train|sparsity|parallel|all
	cmake --build --preset release -j $(JOBS) --target src/all bench/all
	@scripts/setup.sh --bench
	@$(PYTHON) bench/peers/run.py $(AREA)

docs: | setup ## the documentation as a site, links checked: build/docs/site
	@$(PYTHON) scripts/make_docs.py

study: programs ## reproduce the quality tables of docs/: make study AREA=embedding DATA=DIR
	@$(PYTHON) bench/studies/run.py --area "$(AREA)" --data "$(DATA)"

clean: ## remove build/
	rm -rf build
