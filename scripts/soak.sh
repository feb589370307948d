#!/bin/sh
# The long trials, which npm test has only short slices of. Each ends with a line that says what came of it.
# Named ones run alone, and what begins with "--" is for each of them: npm run soak -- kills crowd --seed=7
set -eu
cd "$(dirname "$0")/.."
all="mutation wrong-nars old-clients full-disk big kills crowd faults distance random-faults dashboards"
mutation() {
  echo "mutation: changes the policy's code in every way Stryker knows, and wants a test to notice each (at most 20 minutes)"
  timeout 1200 node_modules/.bin/stryker run stryker.config.json
}
names=
# Of the arguments only the options stay.
for argument in "$@"; do
  shift
  case $argument in
    --*) set -- "$@" "$argument" ;;
    *)
      case " $all " in
        *" $argument "*) names="$names $argument" ;;
        *)
          echo "soak: there is no trial \"$argument\": there are $all" >&2
          exit 2
          ;;
      esac
      ;;
  esac
done
status=0
for name in ${names:-$all}; do
  case $name in
    mutation) mutation || status=1 ;;
    *) node test/soak/run.ts "$name" "$@" || status=1 ;;
  esac
done
exit "$status"
