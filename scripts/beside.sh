#!/usr/bin/env bash
# Installs the wheel beside releases of Airflow, says what that changes of theirs, and runs the demo there.
# Usage: scripts/beside.sh PYTHON FOLDER [VERSION DAY]...
#   DAY                  Airflow's own packages are the newest of that day; the wheel's are today's, as pip takes them
#   AIRFLOW_CONSTRAINTS  a file or URL of constraints that decide both, in place of the day
set -euo pipefail

python=$1
folder=$(realpath --canonicalize-missing "$2")
shift 2
(($#)) || set -- 3.1.8 2026-03-12 3.2.2 2026-06-01 3.3.2 2026-10-01
extras=celery,common-sql,http,pandas,postgres,standard

# What is installed stays, as with pip, unless a bound of ours forbids it.
install() { "$python" -m uv pip install --quiet --python "$folder/$1/bin/python" "${@:2}"; }

frozen() { "$python" -m uv pip freeze --quiet --python "$folder/$1/bin/python" | sort; }

compare() {
    local here=$folder/$1 gone
    gone=$(comm -23 "$here/before" "$here/after")
    echo "beside Airflow $1, of $(wc -l <"$here/before") packages changed:" ${gone:-none}
    echo "  new:" $(comm -13 "$here/before" "$here/after" | grep -v '^airflow-mailchimp-export')
    [[ -z $gone ]]
}

rm -rf "$folder"
"$python" -m build --wheel --outdir "$folder/dist" . >/dev/null
wheel=$(echo "$folder"/dist/*.whl)
code=0
while (($#)); do
    version=$1 its=(--exclude-newer "$2") ours=()
    shift 2
    if [[ ${AIRFLOW_CONSTRAINTS:-} ]]; then
        its=(--constraint "$AIRFLOW_CONSTRAINTS") ours=("${its[@]}")
    fi
    "$python" -m uv venv --quiet --python "$python" "$folder/$version"
    install "$version" "${its[@]}" "apache-airflow[$extras]==$version"
    frozen "$version" >"$folder/$version/before"
    install "$version" "${ours[@]}" "$wheel"
    frozen "$version" >"$folder/$version/after"
    compare "$version" || code=1
    install "$version" "${ours[@]}" "$wheel[sandbox]"
    bash scripts/installed.sh "$folder/$version/bin/python" "$folder/$version/demo" || code=1
done
exit "$code"
