# `make demo` starts a server to try; `make test` checks everything; `make setup` installs what building needs.
# All work on a fresh Debian machine with Rust.

# Outside the checkout, so that RocksDB is compiled once for every checkout on this machine.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/stoa/target

BUILD_PACKAGES := build-essential libclang-dev
# The tests use real clients, and look at the system calls of the daemon.
TEST_PACKAGES := curl python3 strace
PACKAGES = $(BUILD_PACKAGES)

# Such as  make demo DEMO="--port-base auto"
DEMO ?=

.PHONY: demo test setup

demo: setup
	cargo run -- demo $(DEMO)

test: PACKAGES = $(BUILD_PACKAGES) $(TEST_PACKAGES)
test: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace

# Says what it will cost before it costs it. Disk is what all tests need; the demo alone takes less.
setup:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it with rustup, then run make again."; exit 1; }
	@[ -d "$(CARGO_TARGET_DIR)/debug/build" ] || { \
		echo "The first build compiles RocksDB: about 15 minutes on two cores, up to 3.5 GB in $(CARGO_TARGET_DIR)."; \
		echo "Later builds take seconds. Another place: make demo CARGO_TARGET_DIR=DIR"; }
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		install="apt-get install -y --no-install-recommends $$(echo $$missing)"; \
		echo "This needs these Debian packages: $$(echo $$missing)"; \
		if [ "$$(id -u)" = 0 ]; then echo "Running  apt-get update && $$install"; apt-get update && $$install; \
		elif sudo -n true 2>/dev/null; then echo "Running  sudo apt-get update && sudo $$install"; sudo apt-get update && sudo $$install; \
		else echo "Not root: please run  sudo apt-get update && sudo $$install  and then make again."; exit 1; fi; \
	fi
