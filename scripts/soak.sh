#!/bin/sh
# The long trials, which npm test has only short slices of. Each ends with a line that says what came of it.
# Named ones run alone: npm run soak -- mutation
set -eu
cd "$(dirname "$0")/.."
mutation() {
  echo "mutation: changes the policy's code in every way Stryker knows, and wants a test to notice each (at most 20 minutes)"
  timeout 1200 node_modules/.bin/stryker run stryker.config.json
}
[ $# -gt 0 ] || set -- mutation
for trial in "$@"; do
  case $trial in
    mutation) "$trial" ;;
    *)
      echo "soak: there is no trial \"$trial\": there is mutation" >&2
      exit 2
      ;;
  esac
done
