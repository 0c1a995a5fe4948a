#!/bin/sh
# Install what a lock lists, and nothing else:
#
#     TORCH=auto requirements/install.sh PYTHON LOCK
#
# A lock is complete, so pip looks for no dependency beside it; every file must have a hash that
# the lock knows, and must be a wheel, so nothing is built and no code of a package runs.
#
# For Linux torch comes in two builds, of one release:
#
#     TORCH=cpu    for the CPU, on an index of PyTorch's own that pip must know, for example by
#                  PIP_EXTRA_INDEX_URL
#     TORCH=cuda   for NVIDIA's GPUs, with the libraries of CUDA, which need 4 GB more
#     TORCH=auto   what is there already; else for the GPU where there is one; else for the CPU
#                  where pip finds it, and the other one where not
set -eu
python=$1
lock=$2
folder=$(dirname "$0")

pip() {
    "$python" -m pip --disable-pip-version-check "$@"
}

install() {
    pip install --progress-bar on --require-hashes --only-binary :all: --no-deps -r "$1"
}

there=$(pip show torch 2>/dev/null | sed -n 's/^Version: //p')
build=${TORCH:-auto}
if [ "$build" = auto ]; then
    case $there in
        *+cpu) build=cpu ;;
        ?*) build=cuda ;;
        *) if nvidia-smi -L >/dev/null 2>&1; then build=cuda; fi ;;
    esac
fi

case $build in
    cpu)
        if ! install "$folder/torch-cpu.txt"; then
            echo "TORCH=cpu: pip's indexes have no CPU build of torch for this Python. Put PyTorch's" >&2
            echo "index of CPU builds (its page \"Get Started\" shows it) into PIP_EXTRA_INDEX_URL," >&2
            echo "or take TORCH=cuda, which needs 4 GB more." >&2
            exit 1
        fi
        ;;
    cuda)
        # pip takes 2.13.0+cpu for 2.13.0.
        case $there in *+cpu) pip uninstall --yes torch ;; esac
        ;;
    auto)
        install "$folder/torch-cpu.txt" \
            || echo "pip's indexes have no CPU build of torch for this Python: taking the one for CUDA."
        ;;
    *)
        echo "TORCH=$build: there are cpu, cuda and auto" >&2
        exit 2
        ;;
esac
install "$lock"
if pip show torch | grep -q '^Requires:.*cuda'; then
    install "$folder/cuda.lock"
fi
