#!/bin/sh
# `make gpu` on a machine without a network: what it lacks is in wheels/, and goes into a folder of its own.
# Another Python, the one that holds PyTorch: PYTHON=python3.12 ./gpu.sh
set -e
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}
"$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target wheels/site wheels/*.whl
PYTHONPATH=$PWD/wheels/site${PYTHONPATH:+:$PYTHONPATH} make gpu PYTHON="$PYTHON"
