# Two commands are all that is needed: `make run` and `make test`.

# Models, runtimes, keys and records stay beside the sources unless told otherwise.
export POINTSMAN_DATA_DIR ?= $(CURDIR)/.pointsman
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
POINTSMAN := $(TARGET)/debug/pointsman
SDK := $(TARGET)/sdk

.PHONY: run build parts test check rust sdk compatibility soak load help

run: parts ## Build, fetch the default model and ONNX Runtime, start the gateway
	$(POINTSMAN) serve $(ARGS)

build:
	cargo build --locked --bin pointsman

# Fetched once, checked against pinned checksums; a second time nothing is done.
parts: build
	$(POINTSMAN) runtime install
	$(POINTSMAN) models pull

test: check rust sdk compatibility ## Install what tests need and run all of them

check: ## Formatting and lints
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

rust: parts ## Unit tests and black-box tests
	cargo test --locked

sdk: parts $(SDK)/python/.installed ## The real OpenAI SDK against the gateway
	PYTHONPATH=$(SDK)/python python3 tests/sdk/run.py $(POINTSMAN)

compatibility: parts $(if $(CI)$(shell command -v npm),$(SDK)/node/.installed) ## compatcanary against the gateway
	python3 tests/sdk/compatibility.py $(POINTSMAN) $(SDK)/node

soak: parts ## Half an hour of local answers, two of three given up in the middle; SOAK_MINUTES shortens it
	cargo test --locked --test it -- --ignored --nocapture half_an_hour

load: ## Requests per second and added latency, against the bare upstream and a minimal proxy
	benches/load/run

$(SDK)/python/.installed: tests/sdk/requirements.txt
	rm -rf $(@D)
	python3 -m pip install --quiet --disable-pip-version-check --target $(@D) --requirement $<
	touch $@

$(SDK)/node/.installed: tests/sdk/package.json tests/sdk/package-lock.json
	mkdir -p $(@D)
	cp $^ $(@D)
	cd $(@D) && npm ci --silent --no-audit --no-fund
	touch $@

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'
