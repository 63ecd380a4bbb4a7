# What continuous integration runs, for everybody to run: `make tools test` on a fresh machine with Rust and a C compiler.

# How many rollouts `make judge-table` plays in each world.
RUNS ?= 1000

# For how long it plays at the most.
MINUTES ?= 20

# How many flips and kills `make fleet` makes.
FLEET_FLIPS ?= 1000
FLEET_KILLS ?= 50

# How many replicas `make fleet` simulates, for how many seconds it looks at them at rest, and for how many it pauses etcd.
FLEET_SIMULATED ?= 50
FLEET_REST ?= 30
FLEET_PAUSE ?= 60

# How many chaos experiments `make chaos-table` plays of each kind.
CHAOS_RUNS ?= 1000

# How often `make judge-live` plays each.
LIVE_RUNS ?= 20

# How long `make soak` pushes mixed traffic.
SOAK_SECONDS ?= 300

# For how long `make console-load` looks at a browser with 1,000 services; 10 is what is promised.
CONSOLE_MINUTES ?= 2

# How many upgrades in place `make soak` does under load.
UPGRADES ?= 500

# How long `make fuzz` looks for inputs that break a parser or the proxy, all targets together, and how many targets at once.
FUZZ_SECONDS ?= 120
FUZZ_THREADS ?= $(shell nproc)

# Where `.ci/tools deploy` puts its programs.
DEPLOY = $${CARGO_TARGET_DIR:-target}/deploy/bin

export CARGO_TERM_COLOR ?= auto

# What a test says tells where it failed; frames of the harness would push that out of a log that is cut. `make test RUST_BACKTRACE=1`
# has them all the same.
export RUST_BACKTRACE = 0

# Clippy's driver as the compiler of our own packages: one compilation says what the lints find, and makes the tests.
# `make lint doc` would check all dependencies before it compiles them, which takes minutes on a fresh machine. Follow it by `test`.
ONCE = RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/.ci/rustc CLIPPY_ARGS=-Dwarnings cargo --config .ci/cargo.toml

# Most tests wait for something most of the time; with more of them at once the few that work keep others waiting too long.
THREADS ?= $(shell expr 4 '*' $$(nproc))

.PHONY: judge-table judge-live chaos-table test needs tools fmt lint doc soak fuzz testssl flagd-oracle experiments-oracle bench bench-flip bench-growth bench-experiments bench-ofrep bench-guard bench-peers bench-idle golden peers pgo console-load screenshots fleet deb tarball packaging deploy-check openapi-check

# Benches are checked and linted, but not linked and not run. Rollouts are judged on what is measured, so fewer of them run at
# once, and those that judge by the clock come last: beside too many others both versions are late by more than what is to be found.
test: needs fmt
	$(ONCE) test --no-run --all-targets
	RUSTDOC=$(CURDIR)/.ci/rustdoc $(ONCE) test --doc
	RUST_TEST_THREADS=$(THREADS) $(ONCE) test --lib --bins --test alloc --test tidy --bench guard
	RUST_TEST_THREADS=$(THREADS) $(ONCE) test --test it -- --skip rollout::
	RUST_TEST_THREADS=$$(expr 2 '*' $$(nproc)) $(ONCE) test --test it rollout:: -- --skip judge_live_
	RUST_TEST_THREADS=$$(nproc) $(ONCE) test --test it judge_live_

# Says what of `make tools` is missing. Nothing is installed.
needs:
	@.ci/tools check

# Installs programs that the tests talk to the proxy with, only those that are missing: promtool, curl, h2load, gRPC and
# others, by the system's packages; Python packages into the folder of the build.
tools:
	@.ci/tools

fmt:
	cargo fmt --check

# Lints and documentation by themselves, for a change that needs no test.
lint:
	cargo clippy --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

# Mixed traffic for SOAK_SECONDS, and everything at once for as long: nothing hangs, memory comes back and stays flat.
# UPGRADES in place under load: nothing fails. The tests are named `soak_...` and are short unless these say otherwise.
soak:
	SOAK_SECONDS=$(SOAK_SECONDS) UPGRADES=$(UPGRADES) $(ONCE) test --test it soak_ -- --nocapture --test-threads=1

# Random inputs for FUZZ_SECONDS of all targets together, a target on each core; a failure prints its seed, and FUZZ_SEED=...
# repeats it. `make test` runs each target briefly.
fuzz:
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(ONCE) test --test it fuzz:: -- --nocapture --test-threads=$(FUZZ_THREADS)

# 10,000 random files in flagd's format and contexts beside flagd's official evaluators, of either version of `fractional`;
# FLAGD_SEED and FLAGD_CASES repeat what a failure prints. The suite plays 1,000 with the newer one.
flagd-oracle: tools
	@.ci/tools flagd
	FLAGD_V2=$${CARGO_TARGET_DIR:-target}/flagd-v2/bin/python SCRIPT_SECONDS=600 $(ONCE) test --test it flagd_oracle_ -- --nocapture

# 1,000 random results of experiments beside those of gbstats, GrowthBook's statistics: both kinds of interval, absolute and
# relative, of conversions, means, ratios and means with a covariate. EXPERIMENTS_SEED repeats what it prints.
experiments-oracle:
	@.ci/tools gbstats
	cargo build
	$${CARGO_TARGET_DIR:-target}/gbstats/bin/python -B tests/clients/experiment_oracle.py \
		$${CARGO_TARGET_DIR:-target}/debug/pointsman 1000 $${EXPERIMENTS_SEED:-$$(date +%s)}

# Everything that the OpenAPI document allows, asked of a running proxy by schemathesis: no answer is a fault of the server, or is not
# in the document. And a client that openapi-python-client makes of it, used. SEED repeats what it prints. Minutes.
openapi-check:
	@.ci/tools openapi
	cargo build
	$${CARGO_TARGET_DIR:-target}/openapi/bin/python -B tests/clients/openapi_check.py \
		$${CARGO_TARGET_DIR:-target}/debug/pointsman $${EXAMPLES:-50}

# A fleet for long: FLEET_FLIPS flips of three replicas under load, and its leader killed FLEET_KILLS times in the middle of a
# rollout, some twenty-five seconds each; what replicas cost at rest and by a flip; etcd paused under traffic. The suite makes little
# of each.
fleet: tools
	FLEET_FLIPS=$(FLEET_FLIPS) FLEET_KILLS=$(FLEET_KILLS) FLEET_SIMULATED=$(FLEET_SIMULATED) FLEET_REST=$(FLEET_REST) \
	FLEET_PAUSE=$(FLEET_PAUSE) FLEET_COST_FLIPS=50 $(ONCE) test --test it fleet:: -- --nocapture --test-threads=1

# What the console costs: the longest task and the memory of a browser with 1,000 services that change twice a second, for
# CONSOLE_MINUTES; the proxy's CPU and memory, and the p99 of its users, with 100 open consoles. BINARY=... measures another
# binary than that of the tests.
console-load: tools
	CONSOLE_MINUTES=$(CONSOLE_MINUTES) $(ONCE) test --test it console_load_ -- --nocapture --test-threads=1

# Every room of the console in light and dark, on a desktop and a phone, as pictures in target/console; those that the
# documents show into docs/console.
screenshots: tools
	SCREENSHOTS=1 $(ONCE) test --test it console_pictures_ -- --nocapture --test-threads=1

# A scanner of TLS against our listener, most of a minute.
testssl: tools
	TESTSSL=1 $(ONCE) test --test it testssl_ -- --nocapture

# Plays RUNS rollouts in each of some 80 worlds, on all cores and for MINUTES at the longest: how many healthy ones are turned
# back, with bursts and without, and how soon bad ones. The suite plays one of each.
judge-table:
	RUNS=$(RUNS) MINUTES=$(MINUTES) cargo test --release --lib -- --nocapture judge_table::equal_versions_stay

# The same by the clock, with processes that fail, are slow or pause: LIVE_RUNS each, about twenty-five minutes on a machine that has
# nothing else to do.
judge-live:
	LIVE_RUNS=$(LIVE_RUNS) cargo test --test it judge_live_ -- --nocapture --test-threads=1

# Plays CHAOS_RUNS chaos experiments of each kind: how many are called broken of those that do nothing, and how soon the broken ones
# end. A minute for a thousand; the suite plays some of each.
chaos-table:
	CHAOS_RUNS=$(CHAOS_RUNS) CHAOS_SECONDS=600 cargo test --release --lib -- --nocapture chaos_run::tests::chaos_table

bench:
	cargo bench --bench compile --bench decide --bench proxy --bench slots

# Counts the instructions of a request and of a decision in the build that is shipped, and fails when they exceed their
# budget (benches/guard/budget.toml) by more than 3 %. `make test` does it with the build of the tests.
bench-guard: tools
	cargo bench --bench guard

# How long a flip takes to be answered, and what a hundred a second take from the traffic.
bench-flip:
	@.ci/tools bench
	cargo bench --bench flip

# How the cost of a request grows with services, rules, versions, endpoints, connections and workers.
bench-growth:
	@.ci/tools bench
	cargo bench --bench growth

# How often experiments with equal arms are found to differ by both kinds of interval, how many users a real difference takes, and
# whether wrong ratios of users are found: 2,000 simulated experiments each, a minute.
bench-experiments:
	cargo bench --bench experiments

# 5,000 clients that wait for changes of flags, and 20,000 evaluations a second beside traffic: latency, memory, threads, and how
# soon all clients know of a change. A minute and a half; the variables are in benches/ofrep/main.rs.
bench-ofrep:
	cargo bench --bench ofrep

# Pointsman beside nginx, HAProxy, Caddy and Envoy, which are installed if they are missing: CPU, throughput, latency, changes
# of weights, memory. Half an hour on a machine where nothing else runs; prints tables in Markdown.
bench-peers:
	@.ci/tools bench
	PATH="$$PATH:/usr/sbin" cargo bench --bench peers

# The binary with profile-guided optimization and a layout by BOLT, target/pgo/pointsman; see docs/performance.md.
pgo:
	@.ci/pgo

# Memory of an idle connection, beside the other proxies that are installed here: a part of it.
bench-idle:
	PATH="$$PATH:/usr/sbin" cargo bench --bench peers -- idle

# Measures what other proxies that are installed here (nginx, haproxy, envoy) answer to the cases of docs/conformance.md.
peers:
	PEERS=1 UPDATE_GOLDEN=1 cargo test --test it -- --test-threads=1 http_ conformance

# Packages, in target/packaging, of the binary that is optimized as a whole: a .deb, and a tarball whose binary tells what it is
# made of (cargo-auditable) beside a list of it (CycloneDX). BINARY=... packs one that is there already.
deb: packaging
	@.ci/tools packages
	deploy/package deb

tarball: packaging
	@.ci/tools packages
	deploy/package tarball

packaging:
	@.ci/tools packages
	$(if $(BINARY),,cargo auditable build --locked --profile dist --bin pointsman)
	deploy/package files $(or $(BINARY),$${CARGO_TARGET_DIR:-target}/dist/pointsman)

# Validates what is for other programs: the Dockerfile, the files of Compose, Kubernetes and Prometheus, and the unit of systemd.
deploy-check:
	@.ci/tools deploy
	$(DEPLOY)/hadolint Dockerfile
	$(DEPLOY)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose/compose.yaml
	promtool check rules deploy/prometheus/rules.yml
	for each in base fleet; do \
		kubectl kustomize deploy/kubernetes/$$each >target/$$each.yaml && \
		$(DEPLOY)/kubernetes-validate --strict target/$$each.yaml || exit 1; done
	cargo build
	mkdir -p target/helm/tokens && openssl rand -hex 32 >target/helm/tokens/operate
	$(DEPLOY)/python -B tests/clients/helm_chart.py deploy/helm/pointsman target/helm
	for each in one fleet; do \
		$(DEPLOY)/kubernetes-validate --strict target/helm/$$each.yaml && \
		POD_NAME=edge-pointsman-0 STATE_DIRECTORY=target/helm $${CARGO_TARGET_DIR:-target}/debug/pointsman check --config target/helm/$$each.toml || exit 1; done
	systemd-analyze security --offline=true --no-pager --threshold=16 deploy/pointsman.service

# Writes the expected outputs of the golden tests anew; read the difference before it is committed.
golden:
	UPDATE_GOLDEN=1 cargo test
