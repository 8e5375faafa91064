# The product's commands. Each sets up what it needs (npm packages; Debian packages where we are root) and then runs under
# the Node that package-lock.json pins, whatever Node the machine has.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:

# programs started by a recipe find the pinned Node as `node`
PINNED := PATH="$(CURDIR)/node_modules/.bin:$$PATH"
NODE := $(PINNED) node
VITEST := $(NODE) node_modules/vitest/vitest.mjs run
ESLINT := $(NODE) node_modules/eslint/bin/eslint.js
PRETTIER := $(NODE) node_modules/prettier/bin/prettier.cjs --log-level warn
TSC := $(NODE) node_modules/typescript/bin/tsc
KNIP := $(NODE) node_modules/knip/bin/knip.js --no-progress --no-config-hints

# what the tests drive: real servers, real clients
DEBIAN_FOR_TESTS := nftables iptables iproute2 util-linux nginx-light libnginx-mod-stream dnsmasq bind9-dnsutils curl python3
DEBIAN_FOR_BENCH := $(DEBIAN_FOR_TESTS) haproxy squid-openssl wrk

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: install ## A real command behind the firewall: what it may do, what it may not, and what arrived
	@tools/require-packet-filter.sh
	@$(NODE) demo/main.ts

.PHONY: test
test: lint debian-for-tests pack-check ## Everything: lint, the package, unit, conformance and integration tests
	@echo 'test: unit, conformance, integration …'
	@$(VITEST)

.PHONY: test-unit
test-unit: install ## Unit and conformance tests, in seconds; ONLY=path for some
	@$(VITEST) --project unit $(ONLY)

.PHONY: test-integration
test-integration: install debian-for-tests ## Real clients against real servers; ONLY=path for some
	@$(VITEST) --project integration $(ONLY)

.PHONY: lint
lint: install ## Types, typed lint, formatting, dead code
	@echo 'lint: types …'
	@$(TSC) --project .
	@echo 'lint: rules …'
	@$(ESLINT) --max-warnings 0 .
	@echo 'lint: formatting ("make fmt" repairs it) …'
	@$(PRETTIER) --check .
	@echo 'lint: dead code …'
	@$(KNIP)

.PHONY: fmt
fmt: install ## Formats the sources, and repairs what lint can
	@$(ESLINT) --fix . || true
	@$(PRETTIER) --write .

.PHONY: bench
bench: install ## Sallyport beside Envoy, HAProxy and Squid (root); ARGS="--help" for its options
	@tools/install-debian.sh $(DEBIAN_FOR_BENCH) || echo 'bench: what needs these packages is skipped'
	@$(NODE) test/bench/main.ts $(ARGS)

.PHONY: build
build: install ## The bundle in dist/
	@$(NODE) tools/build.ts

.PHONY: pack-check
pack-check: build ## Builds the package, installs it elsewhere and runs it
	@echo 'pack-check: npm pack, install, run …'
	@tools/pack-check.sh

.PHONY: clean
clean: ## Removes what was built or installed
	@rm -rf dist dist.new coverage node_modules

.PHONY: install
install:
	@tools/install.sh

# what cannot be installed is a skip of the tests that need it; not in CI
.PHONY: debian-for-tests
debian-for-tests:
	@tools/install-debian.sh $(DEBIAN_FOR_TESTS) || { test "$$CI" != true && echo 'test: what needs these packages is skipped'; }
