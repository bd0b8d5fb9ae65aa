#!/bin/sh
# Install torch into a virtual environment, and never the multi-gigabyte CUDA build where no GPU can use it.
#
#   tools/install_torch.sh VENV/bin/python
#
# TORCH_INDEX (environment): the package index to take torch from; PyTorch's install page shows the address of
# its CPU index under "CPU". Unset: pip's own configuration decides, after the check below. The check asks the
# index which builds of this release it has, and downloads nothing.
set -eu

python=$1
version=2.13.0

if "$python" -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null; then
    exit 0
fi

if [ -n "${TORCH_INDEX:-}" ]; then
    echo "Installing torch $version from TORCH_INDEX"
    exec "$python" -m pip install --index-url "$TORCH_INDEX" "torch==$version"
fi

# On Linux the unlabelled build is the CUDA one; a CPU build says so (2.13.0+cpu), and pip prefers it if offered.
if [ "$(uname -s)" = Linux ] && ! nvidia-smi >/dev/null 2>&1; then
    if ! builds=$("$python" -m pip index versions torch 2>&1); then
        echo "error: pip cannot list the builds of torch: $(echo "$builds" | tail -n 1)" >&2
        exit 2
    fi
    case $builds in
        *"$version+cpu"*) ;;
        *)
            echo "error: no CUDA here, and pip would download the CUDA build of torch: set TORCH_INDEX to the" \
                "CPU index URL that PyTorch's install page shows, e.g. make test TORCH_INDEX=<url>" >&2
            exit 2
            ;;
    esac
fi

echo "Installing torch $version"
exec "$python" -m pip install "torch==$version"
