#!/bin/sh
# The real Nix client that the end-to-end tests run: Debian's package nix-bin.
set -eu
exec sh "$(dirname "$0")/install-program.sh" nix nix-bin "a Nix client"
