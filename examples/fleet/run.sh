#!/bin/sh
# run.sh URL [REPORT.html]: 20 stations at a back office for half a minute. Exit code 0: it was fast enough, and every
# kilowatt hour that the meters have counted is on a bill.
set -eu
profile="$(dirname "$0")/town.toml"
chargy-agent fleet 20 --backend "$1" --profile "$profile" --html "${2:-report.html}" --max-p99-ms 10000 --quiet
