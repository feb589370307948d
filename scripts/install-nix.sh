#!/bin/sh
# Installs the real Nix client that the end-to-end tests run, where it is missing: Debian's package nix-bin.
set -eu
command -v nix >/dev/null 2>&1 && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "weir: the tests need a Nix client (the command \"nix\"), and there is no apt-get to install nix-bin with" >&2
  exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
echo "weir: installing the Nix client for the tests (apt-get install nix-bin)" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q >/dev/null
$as_root apt-get install -q -y --no-install-recommends nix-bin >/dev/null
