# What people and the CI type. Each target says what it does: `make help`.

CARGO ?= cargo
# The lock file is part of the source: nothing here changes it.
LOCKED := --locked
# The one version of cargo-deny whose answer counts.
DENY := 0.20.2
DENY_INSTALL := $(CARGO) install cargo-deny $(LOCKED) --version $(DENY)
# How often `make crash` kills something.
ROUNDS ?= 2000

# In order, also under `make -j`.
.NOTPARALLEL:
.PHONY: help demo test check fmt clippy doc deny deny-install bench fuzz crash deps

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
check: deps fmt clippy doc deny test ## what the CI runs: format, lints, documentation, dependencies, tests

fmt:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy $(LOCKED) --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --no-deps --document-private-items

# With the network only if a crate of the lock files is not on this machine yet.
deny: ## check licences, sources, versions and banned crates of all that is built in
	@$(CARGO) deny --version 2>/dev/null | grep -qx 'cargo-deny $(DENY)' || { echo 'make deny: needs cargo-deny $(DENY), about four minutes once:  $(DENY_INSTALL)' >&2; exit 1; }
	$(CARGO) deny $(LOCKED) --config .cargo/deny.toml check bans licenses sources
	$(CARGO) deny $(LOCKED) --config .cargo/deny.toml --manifest-path tests/fuzz/Cargo.toml check bans licenses sources

deny-install:
	@$(CARGO) deny --version 2>/dev/null | grep -qx 'cargo-deny $(DENY)' || $(DENY_INSTALL)

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
