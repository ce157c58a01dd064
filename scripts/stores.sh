#!/usr/bin/env bash
# Runs the tests with real object stores, in an environment of their own with the servers in it.
# Usage: scripts/stores.sh PYTHON FOLDER [--only-install | OPTION OF PYTEST...]
set -euo pipefail

python=$1
folder=$2
shift 2
azurite=3.37.0

command -v npm >/dev/null || {
    echo "stores: npm is needed for Azurite; on Debian: apt-get install npm" >&2
    exit 1
}

wanted=$(cat constraints-stores.txt scripts/stores.sh)
if [ "$wanted" != "$(cat "$folder/.installed" 2>/dev/null)" ]; then
    echo "stores: installing the stores' packages and servers, about 370 packages; this takes some minutes"
    rm -rf "$folder"
    "$python" -m venv "$folder"
    if command -v uv >/dev/null; then
        install=(uv pip install --quiet --python "$folder/bin/python")
    else
        install=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check)
    fi
    "${install[@]}" --constraint constraints-stores.txt --editable '.[stores]'
    npm install --silent --no-audit --no-fund --prefix "$folder/azurite" "azurite@$azurite"
    printf '%s\n' "$wanted" >"$folder/.installed"
fi

[[ ${1:-} != --only-install ]] || exit 0

# What those packages warn of is not ours to mend. The topology of many machines runs here with an object store.
MAILCHIMP_STORES=all "$folder/bin/python" -m pytest -p no:cacheprovider -W default \
    tests/integration/stores tests/integration/machines "$@"
