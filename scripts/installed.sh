#!/usr/bin/env bash
# Runs the demo with the package as an interpreter has it installed, in a folder without the package's source.
# Usage: scripts/installed.sh PYTHON FOLDER
set -euo pipefail

python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
folder=$2

rm -rf "$folder"
mkdir -p "$folder"
cp -r dags samples scripts "$folder"
cd "$folder"
PYTHONPATH='' PYTHONDONTWRITEBYTECODE=1 "$python" -m scripts.demo >demo.log 2>&1 || {
    cat demo.log >&2
    exit 1
}
grep -m 1 '^Export ' demo.log
