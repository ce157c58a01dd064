#!/usr/bin/env bash
# Runs what depends on Airflow's release or on Python's, each release in an environment of its own.
# Usage: scripts/matrix.sh PYTHON FOLDER [--only-install | --installed] [RELEASE]...
#   RELEASE       a version of Airflow, with packages of the day of its release; or
#                   oldest   the oldest that is run
#                   lowest   the same, and of all else the lowest versions that pyproject.toml allows
#                   newest   the newest that was run, which may be a pre-release
#                   today    the newest there is, pre-releases included, with whatever is the newest today
#                 after a colon a Python for it, a version or a path, such as 3.3.2:3.13
#   --installed   in environments that are there
#   MATRIX_PARTS  what is run: shell, contract, deferral, demo and pages; unless given, all
set -euo pipefail

python=$1
folder=$(realpath --canonicalize-missing "$2")
shift 2
install=yes run=yes
case ${1:-} in
    --only-install) run= && shift ;;
    --installed) install= && shift ;;
esac
(($#)) || set -- lowest oldest 3.2.2 3.3.2:3.13 newest
read -ra parts <<<"${MATRIX_PARTS:-shell contract deferral demo pages}"
export PYTHONPATH=$PWD UV_PYTHON_DOWNLOADS=never

oldest=3.1.8
newest=3.4.0b2
# Whatever came out later, these environments do not have it: tomorrow's packages change nothing.
moment=2026-11-26T00:00:00Z

# Airflow's own packages are the newest of the day of its release; what the package adds is of the moment above.
day_of() {
    case $1 in
        3.1.8) echo 2026-03-12 ;;
        3.2.2) echo 2026-06-01 ;;
        3.3.2) echo 2026-10-01 ;;
        *) echo "$moment" ;;
    esac
}

# What Airflow itself warns of is another in each release; what the package does wrong stays an error.
warnings=$'filterwarnings=ignore\nerror:::airflow_mailchimp_export'

uv() { "$folder/uv/bin/uv" "$@"; }

get_uv() {
    [[ -x $folder/uv/bin/uv ]] && return
    "$python" -m venv "$folder/uv"
    "$folder/uv/bin/pip" install --quiet --disable-pip-version-check --constraint constraints.txt uv
}

put() { uv pip install --quiet --prerelease if-necessary-or-explicit --python "$1/bin/python" "${@:2}"; }

newest_today() {
    echo apache-airflow | uv pip compile --quiet --no-header --prerelease allow --no-deps - | sed -n 's/^apache-airflow==//p'
}

with_extras="apache-airflow[celery,common-sql,http,pandas,standard]"

install_lowest() {
    put "$1" --exclude-newer "$(day_of "$oldest")" --resolution lowest-direct \
        --requirements pyproject.toml --extra celery --extra sandbox &&
        uv pip freeze --quiet --python "$1/bin/python" >"$1/lowest.txt" &&
        put "$1" --exclude-newer "$moment" --constraint "$1/lowest.txt" --editable '.[celery,test]'
}

install_today() {
    local release
    release=$(newest_today) && put "$1" "$with_extras==$release" --editable '.[celery,test]'
}

# Airflow 3.1 and 3.2 carry no data frame of pandas 3 from task to task, as docs/export.md says.
pandas_of() { case $1 in 3.[12].*) echo "pandas<3" ;; *) echo pandas ;; esac; }

install_release() {
    put "$1" --exclude-newer "$(day_of "$2")" "$with_extras==$2" "$(pandas_of "$2")" &&
        put "$1" --exclude-newer "$moment" "apache-airflow==$2" --editable '.[celery,test]'
}

# pyenv's own names answer only for versions that are switched on.
interpreter_of() {
    local found
    found=$(pyenv latest "$1" 2>/dev/null) && echo "$(pyenv root)/versions/$found/bin/python" || echo "$1"
}

prepare() {
    uv venv --quiet --clear --python "$3" "$1" || return 1
    case $2 in
        lowest) install_lowest "$1" ;;
        today) install_today "$1" ;;
        *) install_release "$1" "$2" ;;
    esac
}

run_pytest() { timeout 2400 "$1/bin/python" -m pytest -p no:cacheprovider -p no:anyio -o "$warnings" -q "${@:2}"; }

run_part() {
    local here=$2
    case $1 in
        shell) run_pytest "$here" tests/airflow ;;
        contract) run_pytest "$here" tests/contract ;;
        deferral) run_pytest "$here" tests/integration/test_scheduler.py -k refreshed_segments_start_the_export ;;
        demo) PYTHONPATH='' bash scripts/installed.sh "$here/bin/python" "$here/demo" ;;
        pages) run_pytest "$here" tests/ui ;;
        *) echo "matrix: there is no part $1" >&2 && return 2 ;;
    esac
}

# Each part is run, whatever came of those before it.
run_parts() {
    local code=0 part
    for part in "${parts[@]}"; do
        run_part "$part" "$1" && continue
        echo "matrix: $2: $part failed"
        code=1
    done
    return "$code"
}

versions() {
    "$1/bin/python" - <<'PYTHON'
import platform
from importlib.metadata import version

print(f"Airflow {version('apache-airflow')}, Python {platform.python_version()}")
PYTHON
}

[[ -z $install ]] || get_uv
summary=() code=0
for asked; do
    begun=$SECONDS release=${asked%%:*} interpreter=$python here=$folder/${asked//[:\/]/-}
    [[ $asked != *:* ]] || interpreter=$(interpreter_of "${asked#*:}")
    case $release in oldest) release=$oldest ;; newest) release=$newest ;; esac
    if [[ $install ]] && ! prepare "$here" "$release" "$interpreter"; then
        summary+=("$asked: could not be installed") code=1
        continue
    fi
    name="$asked, which is $(versions "$here")"
    echo "matrix: $name, ready after $((SECONDS - begun)) s"
    [[ $run ]] || continue
    came=passed
    run_parts "$here" "$name" || came=FAILED code=1
    summary+=("$name: $came after $((SECONDS - begun)) s")
done
((${#summary[@]} == 0)) || printf 'matrix: %s\n' "${summary[@]}"
exit "$code"
