# `make demo` starts a server to try; `make test` checks everything; `make test-clients` tries real mail programs on a demo and
# exchanges mail with Postfix; `make bench` measures; `make setup` installs what building needs. All work on a fresh Debian
# machine with Rust.

# Outside the checkout, so that RocksDB is compiled once for every checkout on this machine.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/stoa/target

BUILD_PACKAGES := build-essential libclang-dev
# The tests use real clients, and look at the system calls of the daemon.
TEST_PACKAGES := curl python3 strace
# Mail programs, a terminal and a display for them. With Thunderbird's libraries about 500 MB of disk.
CLIENT_PACKAGES := curl isync libnet-ssleay-perl libsasl2-modules msmtp mutt neomutt postfix python3 python3-venv swaks thunderbird tmux xvfb
# The test starts a Postfix of its own; the machine's, if there was none, is not to take mail because of that.
POSTFIX_RESTS := echo postfix postfix/main_mailer_type select No configuration | debconf-set-selections
CLIENT_PYTHON := $(CARGO_TARGET_DIR)/clients-python
PACKAGES = $(BUILD_PACKAGES)

# Such as  make demo DEMO="--port-base auto"
DEMO ?=

# Such as  make bench BENCH="--only reads --mailboxes 10000"
BENCH ?=
# How long its server may take to start.
BENCH_SECONDS := 120
PROFILE := debug

.PHONY: demo test test-clients bench setup

demo: setup
	cargo run -- demo $(DEMO)

test: PACKAGES = $(BUILD_PACKAGES) $(TEST_PACKAGES)
test: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace

# Measures a fresh server of the release profile. It is kept below TMPDIR, which should be on a disk: memory syncs for free.
bench: PROFILE := release
bench: setup
	cargo build --release
	@dir=$$(mktemp -d) || exit 1; stoa="$(CARGO_TARGET_DIR)/release/stoa"; \
	"$$stoa" demo --dir "$$dir/data" --port-base auto --ready-file "$$dir/ready.json" > "$$dir/log" 2>&1 & \
	demo=$$!; trap 'kill $$demo 2>/dev/null; wait $$demo; rm -rf "$$dir"' EXIT; trap 'exit 1' INT TERM; \
	waited=0; while [ ! -e "$$dir/ready.json" ]; do \
		kill -0 $$demo 2>/dev/null && [ $$waited -lt $(BENCH_SECONDS) ] || { cat "$$dir/log"; exit 1; }; \
		sleep 1; waited=$$((waited + 1)); \
	done; \
	"$$stoa" bench --ready-file "$$dir/ready.json" $(BENCH)

# Such as  make test-clients CLIENTS="mutt.py mbsync.py"
CLIENTS ?=

test-clients: PACKAGES = $(BUILD_PACKAGES) $(CLIENT_PACKAGES)
# One of the packages would ask a question.
test-clients: export DEBIAN_FRONTEND = noninteractive
test-clients: setup
	@[ -x $(CLIENT_PYTHON)/bin/pip ] || { echo "Making a Python environment in $(CLIENT_PYTHON)"; python3 -m venv $(CLIENT_PYTHON); }
	$(CLIENT_PYTHON)/bin/pip install --quiet --disable-pip-version-check --requirement tests/clients/requirements.txt
	cargo build
	cargo build --package stoa-world --example world
	$(CLIENT_PYTHON)/bin/python tests/clients/run $(CARGO_TARGET_DIR)/debug/stoa $(CLIENTS)

# Says what it will cost before it costs it. Disk is what all tests need; the demo alone takes less.
setup:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it with rustup, then run make again."; exit 1; }
	@[ -d "$(CARGO_TARGET_DIR)/$(PROFILE)/build" ] || { \
		echo "The first build compiles RocksDB: about 15 minutes on two cores, up to 3.5 GB in $(CARGO_TARGET_DIR)."; \
		echo "Later builds take seconds. Another place: make demo CARGO_TARGET_DIR=DIR"; }
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		install="apt-get update && apt-get install -y --no-install-recommends $$(echo $$missing)"; \
		case " $$missing " in *[[:space:]]postfix[[:space:]]*) install="$(POSTFIX_RESTS) && $$install";; esac; \
		echo "This needs these Debian packages: $$(echo $$missing)"; \
		if [ "$$(id -u)" = 0 ]; then echo "Running  $$install"; sh -c "$$install"; \
		elif sudo -n true 2>/dev/null; then echo "Running  sudo sh -c '$$install'"; sudo sh -c "$$install"; \
		else echo "Not root: please run  sudo sh -c '$$install'  and then make again."; exit 1; fi; \
	fi
