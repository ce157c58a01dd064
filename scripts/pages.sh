#!/usr/bin/env bash
# Builds the pages of Airflow's UI where npm is there. Never fails: exports work without them, and the pages then say so.
# Usage: scripts/pages.sh [STAMP], a file that is touched once they are built.
set -uo pipefail
stamp=${1:-}
cd "$(dirname "${BASH_SOURCE[0]}")/../web" || exit 0

without() {
    echo "pages: $*; the exports work without the pages, which say so themselves" >&2
    exit 0
}

command -v npm >/dev/null || without "not built, for there is no npm"
node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null ||
    without "not built, for Node.js is older than 18"

echo "pages: npm installs what builds them, about 210 packages the first time"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ npm ci --no-audit --no-fund && npm run build; } >"$log" 2>&1 </dev/null || {
    tail -n 20 "$log" >&2
    without "the build failed, as said above"
}
[[ -z $stamp ]] || touch "$stamp"
echo "pages: built"
