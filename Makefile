# Everything from a fresh machine on. The two that matter: `make demo` and `make test`.
# Debian 12 or newer with a Rust toolchain and python3; the rest is installed, or named where
# there is no right to install. Networks and ONNX Runtime go into a per-user cache.

CACHE := $(or $(FACESR_CACHE_DIR),$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME)/facesr),$(HOME)/.cache/facesr)
VENV := $(CACHE)/venv
PYTHON := $(VENV)/bin/python
TEST_VENV := $(CACHE)/test-venv
PEERS_VENV := $(CACHE)/peers-venv
TRAIN_VENV := $(CACHE)/train-venv
TRAIN := $(TRAIN_VENV)/bin/python models/train
PLUGIN_DIR := target/release/plugin
export FACESR_CACHE_DIR := $(CACHE)

.DELETE_ON_ERROR:
.PHONY: help system setup models runtime openvino cuda metrics build kernels demo test test-build test-providers test-rust test-python lint bench peers bars-flow bars-temporal bars-faces bars-live bars-reuse bars-openvino profile train-face train-live train-restore train-check eval-models doctor clean

help:
	@echo "make demo    from nothing to an enhanced clip and a before/after picture in demo/"
	@echo "             PROVIDER=cuda (openvino, tensorrt) fetches and uses that provider, where the machine is for it"
	@echo "make test    the same set-up, then every test"
	@echo "make build   the plugin in $(PLUGIN_DIR) and the program target/release/facesr"
	@echo "make setup   system packages, ONNX Runtime and networks only"
	@echo "make bench   speed, side by side with a bare loop over the same network"
	@echo "make profile where the time of a frame goes, stage by stage; FLAMEGRAPH=1 records stacks with perf"
	@echo "make peers   speed, memory and picture, side by side with what one would take instead"
	@echo "make bars-flow  error and speed of optical flow, side by side with OpenCV's"
	@echo "make bars-temporal  steadying, side by side with the same network frame by frame"
	@echo "make bars-faces  faces found and followed, how they shake, steps, seams and nearness to the truth"
	@echo "make bars-reuse  outputs used again, side by side with an inference for every frame"
	@echo "make bars-live  live video under a load that comes and goes, and ten streams that share a network"
	@echo "make lint    formatting, clippy, layering, documentation"
	@echo "make metrics the network that measures perceptual distance (ST-LPIPS)"
	@echo "make train-face, train-live, train-restore  trains the networks of this project, and goes on where it was interrupted"
	@echo "make train-check  every step of training and export, on made-up pictures"
	@echo "make eval-models  the networks of this project, side by side with what one would take instead"
	@echo "make openvino  the optional OpenVINO provider: heavy networks in bfloat16 on x86-64 processors that multiply it"
	@echo "make cuda    ONNX Runtime for NVIDIA GPUs and what it needs, where there is a driver"
	@echo "make bars-openvino  the OpenVINO provider beside the processor's own"

system:
	@scripts/system-packages

# The environment that fetches and converts; made anew when its requirements change.
$(VENV)/ready: models/requirements.txt
	@mkdir -p $(CACHE)
	python3 -m venv --clear $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(TEST_VENV)/ready: models/requirements.txt tests/python/requirements.txt
	@mkdir -p $(CACHE)
	python3 -m venv --clear $(TEST_VENV)
	$(TEST_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement models/requirements.txt --requirement tests/python/requirements.txt
	@touch $@

$(PEERS_VENV)/ready: scripts/peers-requirements.txt scripts/peers-alone.txt
	@mkdir -p $(CACHE)
	python3 -m venv --clear $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	$(PEERS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--requirement scripts/peers-alone.txt
	@touch $@

# PyTorch and its company, 6 GB: for training and judging networks only.
$(TRAIN_VENV)/ready: models/train/requirements.txt
	@mkdir -p $(CACHE)
	python3 -m venv --clear $(TRAIN_VENV)
	$(TRAIN_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

setup: system models

models: system
	@$(MAKE) --no-print-directory $(VENV)/ready
	@$(PYTHON) models/fetch.py

runtime: system
	@$(MAKE) --no-print-directory $(VENV)/ready
	@$(PYTHON) models/fetch.py --only runtime

# auto takes it from then on.
openvino: system
	@scripts/provider check openvino
	@$(MAKE) --no-print-directory $(VENV)/ready
	@scripts/provider fetch openvino "$(CACHE)"

# 2.9 GB on disk; auto takes it from then on.
cuda: system
	@scripts/provider check cuda
	@$(MAKE) --no-print-directory $(VENV)/ready
	@scripts/provider fetch cuda "$(CACHE)"

metrics: system
	@$(MAKE) --no-print-directory $(VENV)/ready
	@$(PYTHON) models/fetch.py --only stlpips-alex

build: system
	cargo build --release --locked
	@mkdir -p $(PLUGIN_DIR)
	@cp -u target/release/libgstfacesr.so $(PLUGIN_DIR)/

demo:
	@scripts/provider check "$(PROVIDER)"
	@$(MAKE) --no-print-directory setup build
	@scripts/provider fetch "$(PROVIDER)" "$(CACHE)"
	@scripts/demo "$(CACHE)" "$(PLUGIN_DIR)" $(PROVIDER)

test: setup test-rust test-python

# Tests beside the plugin and the program of the same build: `build` would make those again, since what tests depend on
# changes the features of what they share. cargo leaves a library that tests depend on among these.
test-build: system
	cargo test --release --locked --no-run --lib --bins --tests
	@mkdir -p $(PLUGIN_DIR)
	@cp target/release/deps/libgstfacesr.so $(PLUGIN_DIR)/

# OpenVINO as a plugin beside a runtime of its own, and as a runtime built for it, the CUDA provider, which tests run with a stand-in
# for NVIDIA's libraries (256 MB to fetch, 313 on disk), and what compiles kernels: what `auto` takes on this machine stays as it is.
test-providers: system
	@$(MAKE) --no-print-directory $(VENV)/ready
	@case $$(uname -m) in x86_64) $(PYTHON) models/fetch.py --cache "$(CACHE)/providers" --only runtime openvino openvino-runtime cuda-runtime nvrtc ptxas ;; esac

# What runs on GPUs between the runtime's own kernels, compiled anew. It lies in the source tree, so only who changes it needs this.
kernels: system
	@$(MAKE) --no-print-directory $(VENV)/ready
	@$(PYTHON) models/fetch.py --cache "$(CACHE)/providers" --only nvrtc ptxas
	$(PYTHON) scripts/kernels.py "$(CACHE)/providers/nvrtc" "$(CACHE)/providers/ptxas"

test-rust: setup metrics test-providers test-build
	@# Examples are compiled by `make lint`, and built by what runs them.
	FACESR_PLUGIN_DIR="$(CURDIR)/$(PLUGIN_DIR)" cargo test --release --locked --no-fail-fast --lib --bins --tests

test-python: setup test-providers test-build
	@$(MAKE) --no-print-directory $(TEST_VENV)/ready
	FACESR_PLUGIN_DIR="$(CURDIR)/$(PLUGIN_DIR)" $(TEST_VENV)/bin/python -m unittest discover --start-directory tests/python

lint: system
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- --deny warnings
	cargo clippy --release --locked --no-default-features --all-targets -- --deny warnings
	@# What needs a newer GStreamer than there is can be looked at, though not linked.
	SYSTEM_DEPS_GSTREAMER_ANALYTICS_1_0_NO_PKG_CONFIG=1 SYSTEM_DEPS_GSTREAMER_ANALYTICS_1_0_LIB=gstanalytics-1.0 \
		cargo clippy --release --locked --features v1_24 -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --release --locked --no-deps

bench: setup build
	cargo bench --locked --bench stages --bench overhead

# PROFILE=... is more for the script: --write puts the table into docs/performance.md.
profile: setup
	cargo build --release --locked --example profile
	@mkdir -p build
	python3 scripts/profile.py --cache "$(CACHE)" $(if $(FLAMEGRAPH),--flamegraph build/profile.stacks) $(PROFILE)

# Beside what one would take instead; CLIP=... takes another truth than the fetched clip, NOISE=... adds some.
peers: setup build
	@$(MAKE) --no-print-directory $(PEERS_VENV)/ready
	$(PEERS_VENV)/bin/python scripts/peers.py --cache "$(CACHE)" $(if $(CLIP),--clip "$(CLIP)") $(if $(NOISE),--noise $(NOISE))

# Beside OpenCV's with the same settings. MEDIA=... is where the pairs and clips lie.
bars-flow: system
	@$(MAKE) --no-print-directory $(PEERS_VENV)/ready
	cargo build --release --locked --no-default-features --example flow
	$(PEERS_VENV)/bin/python scripts/bars_flow.py $(if $(MEDIA),--media "$(MEDIA)")

# Beside the same network frame by frame; MEDIA=... is where the pairs and clips lie.
bars-temporal: setup build
	@$(MAKE) --no-print-directory $(PEERS_VENV)/ready
	cargo build --release --locked --no-default-features --example temporal
	GST_PLUGIN_PATH="$(CURDIR)/$(PLUGIN_DIR)" $(PEERS_VENV)/bin/python scripts/bars_temporal.py \
		$(if $(MEDIA),--media "$(MEDIA)") $(BARS)

# Outputs used again, beside the same network on every frame.
bars-reuse: setup build
	@$(MAKE) --no-print-directory $(PEERS_VENV)/ready
	cargo build --release --locked --no-default-features --example reuse
	cargo build --release --locked --example reuse_element
	$(PEERS_VENV)/bin/python scripts/bars_reuse.py $(if $(MEDIA),--media "$(MEDIA)") $(BARS)

# Bare sessions and the element, in turn; PRECISION=bf16 asks for less than fp32 where the processor has it.
bars-openvino: setup test-providers build
	@$(MAKE) --no-print-directory $(TEST_VENV)/ready
	cargo build --release --locked --example providers
	$(TEST_VENV)/bin/python scripts/bars_openvino.py \
		--cache "$(CACHE)" $(if $(CLIP),--clip "$(CLIP)") $(if $(PRECISION),--precision $(PRECISION)) $(BARS)

# MEDIA=... is where the stills, clips and pairs lie. The last table takes minutes a clip on a processor.
bars-faces: setup metrics
	@$(PYTHON) models/fetch.py --only centerface
	cargo build --release --locked --example faces
	target/release/examples/faces all $(if $(MEDIA),"$(MEDIA)")

# In real time: nothing else should run beside it.
bars-live: setup
	cargo build --release --locked --example live
	target/release/examples/live

# FACES=... is where the aligned faces lie, MEDIA=... where videos and stills do, WORK=... where checkpoints go.
TRAIN_DATA = $(if $(FACES),--data "$(FACES)")
TRAIN_WORK = $(if $(WORK),--work "$(WORK)")

train-face: setup
	@$(MAKE) --no-print-directory $(TRAIN_VENV)/ready
	$(TRAIN)/train_face.py --cache "$(CACHE)" $(TRAIN_DATA) $(TRAIN_WORK)

train-live: system
	@$(MAKE) --no-print-directory $(TRAIN_VENV)/ready
	$(TRAIN)/train_live.py $(if $(MEDIA),--media "$(MEDIA)") $(TRAIN_DATA) $(TRAIN_WORK)

train-restore: system
	@$(MAKE) --no-print-directory $(TRAIN_VENV)/ready
	$(TRAIN)/landscapes.py "$(CACHE)/landscapes"
	$(TRAIN)/train_restore.py --cache "$(CACHE)" $(if $(MEDIA),--media "$(MEDIA)") $(TRAIN_DATA) $(TRAIN_WORK)

train-check: system
	@$(MAKE) --no-print-directory $(TRAIN_VENV)/ready
	$(TRAIN)/check.py

# The other networks take most of the time, once: what they make of the faces is kept in the work folder.
eval-models: setup metrics
	@$(MAKE) --no-print-directory $(TRAIN_VENV)/ready
	$(TRAIN)/evaluate_face.py --cache "$(CACHE)" $(TRAIN_DATA) $(TRAIN_WORK)
	$(TRAIN)/evaluate_live.py --cache "$(CACHE)" $(if $(MEDIA),--media "$(MEDIA)")
	$(TRAIN)/evaluate_restore.py --cache "$(CACHE)" $(if $(MEDIA),--media "$(MEDIA)")

doctor: build
	target/release/facesr doctor

clean:
	cargo clean
	rm -rf demo build
