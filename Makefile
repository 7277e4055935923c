# What people and the CI type. Each target says what it does: `make help`.

CARGO ?= cargo
# The lock file is part of the source: nothing here changes it.
LOCKED := --locked
# How often `make crash` kills something.
ROUNDS ?= 2000

# In order, also under `make -j`.
.NOTPARALLEL:
.PHONY: help demo test check fmt clippy doc bench fuzz crash deps

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: deps ## start a COBOL and a Java backend behind Tollgate, and walk through it
	deploy/demo/demo.sh

# All that plain `cargo test` runs. The examples in the documentation go first: there are few, and the last lines that are
# printed should be about the many.
test: deps ## run every test
	$(CARGO) test $(LOCKED) --doc
	$(CARGO) test $(LOCKED) --no-fail-fast --lib --bins --tests

# The tests come last, so that the output ends with what the test runner says.
check: deps fmt clippy doc test ## what the CI runs: format, lints, documentation, tests

fmt:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy $(LOCKED) --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --no-deps --document-private-items

bench: ## measure against HAProxy and nginx, the masking and the store, about ten minutes; writes target/bench/*.md
	$(CARGO) bench $(LOCKED) --bench policy
	$(CARGO) bench $(LOCKED) --bench gateway
	$(CARGO) bench $(LOCKED) --bench masking
	$(CARGO) bench $(LOCKED) --bench store

fuzz: ## fuzz each parser for a minute, with libFuzzer; `tests/fuzz/fuzz.sh TARGET -runs=N` for one
	tests/fuzz/fuzz.sh

crash: ## kill the gateway and its backend 2000 times, about ten minutes; `ROUNDS=N` for as many
	TOLLGATE_CRASH_ROUNDS=$(ROUNDS) $(CARGO) test $(LOCKED) --test suite crashes::s1_8 -- --nocapture

deps: ## install the programs that the tests start, from Debian's packages
	@deploy/packages.sh
