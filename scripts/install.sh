#!/bin/sh
# Installs the npm packages when they are missing, older than the lock, or without a Node that runs.
# Install scripts stay off, but for the one that puts the right Node into node_modules/.bin.
set -eu
cd "$(dirname "$0")/.."
installed=node_modules/.package-lock.json
if [ -f "$installed" ] && [ ! package-lock.json -nt "$installed" ] &&
  node_modules/.bin/node -e 'process.exit(parseInt(process.versions.node) < 24 ? 1 : 0)' 2>/dev/null; then
  exit 0
fi
echo "weir: installing npm packages (once)" >&2
npm ci --ignore-scripts --include=dev --no-audit --no-fund --loglevel=error >&2
npm rebuild node --loglevel=error >&2
node_modules/.bin/tap build >/dev/null
