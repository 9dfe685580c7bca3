#!/bin/sh
# Publishes the Pacific day before RERATE_NOW (an RFC 3339 time; without it the clock's). Its requests lie in two UTC days,
# of the three up to now: the files of all three are given, and what is of another day is left outside. A day whose files
# are late fails, or is published open, and is whole when this runs again.
set -eu
cd "$(dirname "$0")"
PATH="$PWD/bin:$PATH"
export RERATE_CONFIG="${RERATE_CONFIG:-$PWD/rerate.toml}"
now=$(date -u -d "${RERATE_NOW:-now}" +%F)
before=$(date -u -d "$now - 1 day" +%F)
first=$(date -u -d "$now - 2 days" +%F)
exec rerate replay --date yesterday "logs/*$first*" "logs/*$before*" "logs/*$now*"
