#!/bin/sh
# Runs page_test.js where a browser and its driver are; elsewhere (exit 77) says how to get them.
#   browser_test.sh <build/browser> [ramp-report [page.html ..]]
set -eu
here=$(CDPATH= cd -P -- "$(dirname -- "$0")" && pwd)
modules=$1/node_modules
report=${2:-}
[ $# -lt 2 ] || shift
shift
browser=
for name in chromium chromium-browser google-chrome; do
  [ -n "$browser" ] || browser=$(command -v $name || :)
done
if ! command -v node >/dev/null || [ -z "$browser" ] || [ ! -d "$modules/playwright-core" ] || [ ! -d "$modules/axe-core" ]; then
  echo "skipped: no node, chromium or playwright-core here. ./run setup --browser installs them."
  exit 77
fi
NODE_PATH=$modules exec node "$here/page_test.js" "$browser" "$report" "$@"
