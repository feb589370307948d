#!/bin/sh
# The browser that the page is tested with: Debian's package chromium.
set -eu
exec sh "$(dirname "$0")/install-program.sh" chromium chromium "a browser"
