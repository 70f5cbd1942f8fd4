# caduceus: what `make help` says. Everything made is under .build; what is up to date is not made again.

.ONESHELL:
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build
SHELL := /bin/sh
.SHELLFLAGS := -euc
.PHONY: help deps build demo test mutants golden bench rates wild lint clean

SWIFT ?= swift
PREFIX ?= /usr/local
DESTDIR ?=
# More arguments for `swift test`, as in: make test TESTFLAGS='--filter CollectorsTests'; quote what the shell would read
TESTFLAGS ?=
# Which mutants, and whether those of live tests; see `mutants`.
MUTANTS ?=
LIVE ?= yes

# Debian's names of what building needs, what compiles test programs, and what fetches the Swift packages.
PACKAGES := libunwind-dev libelf-dev libdw-dev libbpf-dev zlib1g-dev pkg-config linux-libc-dev \
  gcc g++ python3 python3-dev python3-venv git ca-certificates
# And of what the tests use besides: other users and their rights, compilers of other languages, the sources of pprof.
TEST_PACKAGES := sudo libcap2-bin binutils gfortran golang-go golang-github-google-pprof-dev \
  $(if $(shell command -v rustc),,rustc)
# A browser without a window, for the flame graph's page.
TEST_PACKAGES += chromium chromium-driver
# What is looked for where Debian's packages are not known.
COMMANDS := pkg-config gcc g++ git python3
TEST_COMMANDS := sudo setcap chromedriver

PROGRAMS := Tests/Programs
BINARY := .build/release/caduceus
STAMPS := .build/stamps
READERS := .build/readers
PPROF := .build/pprof
# A CPython that has a sampling profiler of its own, to compare with; see fetch_newer_python.sh for what is where.
PYTHON315 := .build/python3.15
SOURCES := Package.swift $(shell find Kernel Sources)

help:
	@cat <<'END'
	make            build caduceus ($(BINARY)); installs missing Debian packages first
	make demo       build, then profile a small program with a C extension, show the result, write a flame graph
	make test       build, then run every test; the last line is "N passed, N failed"
	make mutants    make wrong edits, one at a time, in a copy of the sources, and see that a test notices each of them;
	                MUTANTS=WORD: only those whose names have it, LIVE=no: without live tests
	make golden     write Tests/Goldens anew: what the sampling profiler of CPython 3.15 prints
	make install    copy the program, its manual page and shell completions below PREFIX (PREFIX=$(PREFIX));
	                DESTDIR is honoured; make uninstall removes them again
	make dist       make a tarball that runs from any folder, and a Debian package, in .build/dist
	make test-dist  install both in bare Debian systems and profile there (root; makes the systems the first time)
	make deps       say which Debian packages are missing, and install only those
	make bench      print nanoseconds per sample, stage by stage, from recorded samples; what each format costs; and how
	                fast a flame graph of 100,000 nodes is in Chromium, where that is installed
	make rates      print how many samples a second of CPU time gives in 25 situations and every mode: minutes
	make wild       judge the stacks of fifty situations of real hosts by their own truth, in every way of sampling
	make lint       check the layout of the Swift sources
	make clean      remove everything that was made
	END

# What is missing is looked up each time, in milliseconds; the network is used only when something is missing.
deps:
	@if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	  missing=
	  for command in $(COMMANDS); do
	    command -v $$command >/dev/null || missing="$$missing $$command"
	  done
	  for library in libunwind-generic libelf libdw libbpf zlib; do
	    pkg-config --exists $$library 2>/dev/null || missing="$$missing $$library"
	  done
	  if [ -z "$$missing" ]; then exit 0; fi
	  echo "This is not Debian: please install what is missing here:$$missing" >&2
	  echo "On Debian it would be: apt-get install $(PACKAGES)" >&2
	  exit 1
	fi
	missing=
	for package in $(PACKAGES); do
	  state=$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null || true)
	  [ "$$state" = installed ] || missing="$$missing $$package"
	done
	if [ -z "$$missing" ]; then
	  if [ "$(MAKELEVEL)" = 0 ]; then echo "All Debian packages are there: $(PACKAGES)"; fi
	  exit 0
	fi
	echo "Missing Debian packages:$$missing"
	root=
	if [ "$$(id -u)" != 0 ]; then
	  if ! command -v sudo >/dev/null; then
	    echo "Installing them needs root. As root: apt-get install$$missing" >&2
	    exit 1
	  fi
	  echo "Installing them needs root, so sudo may ask for your password."
	  root=sudo
	fi
	$$root apt-get update -q
	$$root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing

$(STAMPS)/deps: Makefile
	@mkdir -p $(STAMPS)
	$(MAKE) --no-print-directory deps
	touch $@

$(STAMPS)/test-deps: Makefile
	@mkdir -p $(STAMPS)
	$(MAKE) --no-print-directory deps PACKAGES='$(PACKAGES) $(TEST_PACKAGES)' COMMANDS='$(COMMANDS) $(TEST_COMMANDS)'
	touch $@

# Refuses early, with what to do, where SwiftPM would only complain about its tools version.
define require_swift
if ! command -v $(SWIFT) >/dev/null; then
  echo "There is no '$(SWIFT)' in the search path. caduceus is built with Swift 6.3: https://www.swift.org/install/linux/" >&2
  if [ "$$(id -u)" = 0 ]; then echo "(Under sudo the search path is another one; make asks for root itself where it must.)" >&2; fi
  exit 1
fi
version=$$($(SWIFT) --version 2>&1) || { echo "'$(SWIFT) --version' fails: $$version" >&2; exit 1; }
number=$$(echo "$$version" | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
if [ "$$(printf '%s\n' 6.3 "$$number" | sort -V | head -n 1)" != 6.3 ]; then
  echo "Swift 6.3 or later is needed; '$(SWIFT)' is $${number:-of an unknown version}: https://www.swift.org/install/linux/" >&2
  exit 1
fi
endef

build: $(STAMPS)/build

# A program that was removed is built again, whatever the stamp says.
ifeq ($(wildcard $(BINARY)),)
.PHONY: $(STAMPS)/build
endif

# With Swift's own libraries inside, and the C libraries too: the program runs where neither is installed.
$(STAMPS)/build: $(STAMPS)/deps $(SOURCES) .dist/static_libraries.sh
	@$(require_swift)
	static=$$(.dist/static_libraries.sh .build/static)
	# The compiler's code depends on where its memory lies, so that is the same each time where it can be.
	same=$$(if setarch -R true 2>/dev/null; then echo setarch -R; fi)
	$$same $(SWIFT) build -c release --static-swift-stdlib $$static --product caduceus
	touch $@

# Linked like the program: other arguments would build most of both anew each time.
bench: $(STAMPS)/deps
	@$(require_swift)
	static=$$(.dist/static_libraries.sh .build/static)
	$(SWIFT) build -c release --static-swift-stdlib $$static --product Benchmarks
	.build/release/Benchmarks

# 1000 are right.
# Seconds of CPU time for each situation and mode.
SECONDS ?= 1

wild: build $(READERS)/installed
	@status=0
	for python in $$($(PROGRAMS)/find_pythons.sh --all | cut -d' ' -f2) $(READERS)/bin/python; do
	  version=$$("$$python" -c 'import platform; print(platform.python_version())')
	  $(PROGRAMS)/build_extension.sh "$$python" .build/extensions/$$version
	  echo "== $$python, CPython $$version"
	  "$$python" -B $(PROGRAMS)/wild_table.py --binary $(BINARY) --extension .build/extensions/$$version \
	    --seconds $(SECONDS) --modes run,attach,run-nobpf,attach-nobpf || status=1
	done
	exit $$status

rates: build
	@python3 $(PROGRAMS)/rates.py $(BINARY)

# install, uninstall, dist, test-dist
include .dist/dist.mk

demo: build
	@python=$$($(PROGRAMS)/find_pythons.sh)
	extension=$(CURDIR)/.build/demo/$$("$$python" -c 'import platform; print(platform.python_version())')
	stacks=$(CURDIR)/.build/demo/stacks.txt
	graph=$(CURDIR)/.build/demo/fit.html
	$(PROGRAMS)/build_extension.sh "$$python" "$$extension" $(PROGRAMS)/demo/curvefit.c
	root=
	if [ "$$(id -u)" != 0 ]; then
	  if ! command -v sudo >/dev/null; then
	    echo "caduceus loads an eBPF program and opens perf events; that needs root, and there is no sudo." >&2
	    exit 1
	  fi
	  echo "caduceus loads an eBPF program and opens perf events; that needs root, so sudo may ask for your"
	  echo "password. The demo program itself runs as you."
	  root=sudo
	fi
	profile() {
	  $$root env "PYTHONPATH=$$extension" PYTHONDONTWRITEBYTECODE=1 $(BINARY) run "$$@" \
	    -- "$$python" $(PROGRAMS)/demo/fit.py
	}
	echo
	echo "== 1. Where the time goes: caduceus run -l 12 -- python3 $(PROGRAMS)/demo/fit.py"
	echo
	profile -l 12
	echo
	echo "== 2. How it got there: caduceus run -o stacks.txt -o fit.html -- python3 $(PROGRAMS)/demo/fit.py"
	echo
	rm -f "$$stacks" "$$graph"
	profile -o "$$stacks" -o "$$graph"
	echo
	"$$python" $(PROGRAMS)/demo/show_stacks.py "$$stacks" 5
	echo "How to read them: the first frame is where the program began, each frame below was called by the one above,"
	echo "and the last one was running when the sample was taken. 'file:function:line' is Python, 'symbol (module)' is"
	echo "native code, and both are one stack: read down to see which Python line led into which C function."
	echo
	echo "The flame graph of the same run is one file, to be opened in a browser: $$graph"

$(READERS)/installed: $(STAMPS)/deps $(PROGRAMS)/readers-requirements.txt $(PROGRAMS)/numpy-requirements.txt
	@python=$$($(PROGRAMS)/find_pythons.sh)
	echo "Making a Python environment for the tests in $(READERS)"
	rm -rf $(READERS)
	"$$python" -m venv $(READERS)
	$(READERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -r $(PROGRAMS)/readers-requirements.txt -r $(PROGRAMS)/numpy-requirements.txt
	touch $@

golden:
	@$(PROGRAMS)/fetch_newer_python.sh 3.15 $(PYTHON315)
	rm -f Tests/Goldens/*.txt
	$(PYTHON315)/python -B $(PROGRAMS)/cpython_sampling.py Tests/Goldens/cases.json Tests/Goldens

# SwiftPM links the plugin's tool anew in each build of tests, and everything behind it; the stamp spares that.
ifeq ($(wildcard .build/debug/*.xctest),)
.PHONY: $(STAMPS)/tests
endif

$(STAMPS)/tests: $(STAMPS)/build $(SOURCES) $(shell find Tests -name '*.swift' -o -name '*.[ch]' -o -type d)
	@$(require_swift)
	rm -f $@ .build/test-summary.txt
	if ! $(SWIFT) build --build-tests; then
	  echo "The tests did not build; none was run." >&2
	  exit 1
	fi
	touch $@

# The order of things: build the tests, run them, count what the testing library itself recorded. The status is not
# zero when a test failed, did not end or was never run, when the test process crashed or left early, or when
# anything did not build; then there is no count.
test: build $(STAMPS)/test-deps $(STAMPS)/tests $(READERS)/installed
	@$(require_swift)
	$(PROGRAMS)/find_pythons.sh --all | while read -r version python; do
	  $(PROGRAMS)/build_extension.sh "$$python" .build/extensions/$$version
	done
	# Without it the tests that compare with it say that they are skipped; where CI is, they fail.
	$(PROGRAMS)/fetch_newer_python.sh 3.15 $(PYTHON315) || true
	if [ -e $(PYTHON315)/installed ]; then export CADUCEUS_PYTHON315=$(CURDIR)/$(PYTHON315)/python; fi
	$(PROGRAMS)/build_pprof.sh $(PPROF) || true
	if [ -e $(PPROF) ]; then export CADUCEUS_PPROF=$(CURDIR)/$(PPROF); fi
	export SWIFT_BACKTRACE=enable=no
	export CADUCEUS_BINARY=$(CURDIR)/$(BINARY)
	export CADUCEUS_EXTENSIONS=$(CURDIR)/.build/extensions
	export CADUCEUS_READERS_PYTHON=$(CURDIR)/$(READERS)/bin/python
	export CADUCEUS_NUMPY_PYTHON=$(CURDIR)/$(READERS)/bin/python
	rm -f .build/test-events-*.jsonl .build/test-summary.txt
	# Live tests count interrupts and CPU time: they have a pass of their own, in which nothing else runs.
	passes=
	for pass in others live; do
	  case $$pass in
	    others) skipped='^LiveTests[.]' ;;
	    live) skipped='^(?!LiveTests[.])' ;;
	  esac
	  status=0
	  $(PROGRAMS)/keep_settings.sh $(SWIFT) test --skip-build --disable-xctest \
	    --event-stream-output-path .build/test-events-$$pass.jsonl --skip "$$skipped" $(TESTFLAGS) || status=$$?
	  passes="$$passes .build/test-events-$$pass.jsonl $$status"
	done
	python3 $(PROGRAMS)/count_tests.py .build/test-summary.txt $$passes

# Small wrong edits, one after the other, in a copy of the tree: whether a test notices each of them. MUTANTS=WORD: those
# whose names have it; LIVE=no: without those that only live tests notice; LIVE=only: those alone.
mutants: build $(STAMPS)/test-deps $(READERS)/installed
	@$(require_swift)
	export SWIFT='$(SWIFT)'
	$(PROGRAMS)/keep_settings.sh Tests/Mutants/mutants.py --live '$(LIVE)' '$(MUTANTS)'

lint:
	@$(require_swift)
	$(SWIFT) format lint --strict --recursive Package.swift Kernel Sources Tests
	echo "The layout of the Swift sources is right."

clean:
	@rm -rf .build
