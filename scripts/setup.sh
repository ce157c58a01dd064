#!/usr/bin/env bash
# Makes the virtual environment that everything else runs in.
# Usage: scripts/setup.sh PYTHON VENV [EXTRAS]
set -euo pipefail

python=$1
venv=$2
extras=${3:-dev}

fail() {
    echo "setup: $*" >&2
    exit 1
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "Python 3.11 or newer is needed, but '$python' is $("$python" --version 2>&1 || true)." \
        "Name another one with 'make setup PYTHON=/path/to/python3.11'."

if command -v uv >/dev/null; then
    echo "setup: uv makes $venv with $("$python" --version)"
    [ -x "$venv/bin/python" ] || uv venv --quiet --python "$python" "$venv"
    install=(uv pip install --quiet --python "$venv/bin/python")
else
    echo "setup: pip makes $venv with $("$python" --version)"
    [ -x "$venv/bin/pip" ] || "$python" -m venv "$venv" ||
        fail "no virtual environment could be made; on Debian: apt-get install python3-venv."
    install=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
fi

echo "setup: installing the package with [$extras], about 160 packages the first time; this takes a minute or two"
started=$SECONDS
"${install[@]}" --constraint constraints.txt --editable ".[$extras]"
echo "setup: done in $((SECONDS - started)) s"
