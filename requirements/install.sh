#!/bin/sh
# Install what a lock lists, and nothing else:
#
#     requirements/install.sh PYTHON LOCK
#
# A lock is complete, so pip looks for no dependency beside it; every file must have a hash that
# the lock knows, and must be a wheel, so nothing is built and no code of a package runs.
set -eu
python=$1
lock=$2
folder=$(dirname "$0")

install() {
    "$python" -m pip --disable-pip-version-check install --progress-bar on \
        --require-hashes --only-binary :all: --no-deps -r "$1"
}

# For Linux torch comes in two builds. Where pip finds the one for the CPU, it is taken;
# else the one that is everywhere, with the libraries of CUDA, which need 4 GB more.
install "$folder/torch-cpu.txt" \
    || echo "pip's indexes have no CPU build of torch for this Python: taking the one for CUDA."
install "$lock"
if "$python" -m pip --disable-pip-version-check show torch | grep -q '^Requires:.*cuda'; then
    install "$folder/cuda.lock"
fi
