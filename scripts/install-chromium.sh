#!/bin/sh
# Installs the browser that the page is tested with, where it is missing: Debian's package chromium.
set -eu
command -v chromium >/dev/null 2>&1 && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "weir: the tests need a browser (the command \"chromium\"), and there is no apt-get to install it with" >&2
  exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
echo "weir: installing the browser for the tests (apt-get install chromium)" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q >/dev/null
$as_root apt-get install -q -y --no-install-recommends chromium >/dev/null
