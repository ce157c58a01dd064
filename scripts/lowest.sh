#!/usr/bin/env bash
# Runs the unit tests with the lowest versions that pyproject.toml allows; Airflow and its providers stay as they are.
# Usage: scripts/lowest.sh PYTHON FOLDER [OPTION OF PYTEST]...
set -euo pipefail

python=$1
folder=$2
shift 2

mapfile -t lowest < <("$python" - <<'PYTHON'
import re
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
for needed in project["dependencies"] + project["optional-dependencies"]["sandbox"]:
    if not needed.startswith("apache-airflow"):
        print(re.sub(r">=([^,]+).*", r"==\1", needed))
PYTHON
)

echo "lowest: ${lowest[*]}"
rm -rf "$folder"
"$python" -m pip install --quiet --disable-pip-version-check --target "$folder" "${lowest[@]}"
PYTHONPATH="$folder:$PWD" "$python" -m pytest -p no:cacheprovider tests/unit "$@"
