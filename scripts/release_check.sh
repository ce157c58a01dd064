#!/usr/bin/env bash
# Builds what a release brings, looks at it, tests the sdist in a folder of its own, and exports with the wheel.
# Usage: scripts/release_check.sh PYTHON FOLDER [OPTION OF PYTEST]...
set -euo pipefail

bin=$(cd "$(dirname "$1")" && pwd)
python=$bin/$(basename "$1")
folder=$(realpath --canonicalize-missing "$2")
shift 2
(($#)) || set -- -n 2 --dist loadgroup -m "not (service or ui or slow)"

say() { echo "release-check: $*"; }

# A release has the pages; without npm, set it to something else to look at all the rest.
export MAILCHIMP_EXPORT_PAGES=${MAILCHIMP_EXPORT_PAGES-required}

say "building in $folder"
rm -rf "$folder"
"$python" -m build --outdir "$folder/dist" . >/dev/null
"$python" -m twine check --strict "$folder"/dist/*
"$bin/check-wheel-contents" "$folder"/dist/*.whl
"$python" -m scripts.released "$folder/dist"

say "installing the wheel, and running the demo with it"
"$python" -m uv venv --quiet --python "$python" "$folder/installed"
wheel=$(echo "$folder"/dist/*.whl)
"$python" -m uv pip install --quiet --python "$folder/installed/bin/python" --constraint constraints.txt "$wheel[sandbox]"
bash scripts/installed.sh "$folder/installed/bin/python" "$folder/demo"
(
    cd "$folder/demo"
    export AIRFLOW_HOME=$PWD/.demo/airflow AIRFLOW__CORE__DAGS_FOLDER=$PWD/dags AIRFLOW__CORE__LOAD_EXAMPLES=False
    "$folder/installed/bin/airflow" dags list-import-errors --local >errors.log 2>&1 || {
        cat errors.log >&2
        exit 1
    }
)

say "checking and testing the sdist"
mkdir "$folder/sdist"
tar --extract --file "$folder"/dist/*.tar.gz --directory "$folder/sdist" --strip-components 1
cd "$folder/sdist"
"$bin/ruff" check --quiet
"$bin/lint-imports" >/dev/null
"$bin/mypy" --no-error-summary
"$python" -m pytest -p no:cacheprovider "$@"
say "all is as it should be"
