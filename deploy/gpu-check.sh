#!/bin/sh
# Checks local models on an NVIDIA GPU: builds with `cuda`, runs the tests of local models there, and prints what speculation gains
# at several gammas on a pair that people run. Without a GPU it says so and stops.
#
#   TARGET, DRAFT   folders of safetensors or Hugging Face repositories with one vocabulary
#                   [default: Qwen/Qwen2.5-7B-Instruct and Qwen/Qwen2.5-0.5B-Instruct]
#   HF_TOKEN        credential for repositories that need one
set -eu
cd "$(dirname "$0")/.."

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
    echo "no NVIDIA GPU here: nothing was checked"
    exit 0
fi
command -v nvcc >/dev/null || { echo "missing: nvcc; install the CUDA toolkit" >&2; exit 1; }
nvidia-smi -L

TARGET="${TARGET:-Qwen/Qwen2.5-7B-Instruct}"
DRAFT="${DRAFT:-Qwen/Qwen2.5-0.5B-Instruct}"
export POINTSMAN_DATA_DIR="${POINTSMAN_DATA_DIR:-$PWD/.pointsman}"

cargo build --release --locked --features cuda
target/release/pointsman models pull
cargo test --release --locked --features cuda --lib -- mistralrs isolated

# A line of a model's weights: a folder, or a repository with its credential.
weights() {
    if [ -e "$1" ]; then
        echo "path: '$(cd "$1" && pwd)'"
        return
    fi
    echo "hugging_face: '$1'"
    [ -z "${HF_TOKEN:-}" ] || echo "      token: '\${HF_TOKEN}'"
}

config="$(mktemp)"
trap 'rm -f "$config"' EXIT
cat >"$config" <<YAML
schema_version: 1
models:
  - name: target
    local:
      device: cuda
      $(weights "$TARGET")
  - name: draft
    local:
      device: cuda
      $(weights "$DRAFT")
YAML
target/release/pointsman models speed target --draft draft --gamma 1,2,4,8 --config "$config"
target/release/pointsman models speed target --draft lookup --gamma 2,4,8 --config "$config"
