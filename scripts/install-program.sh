#!/bin/sh
# Installs a program that the tests run, where it is missing, from Debian: install-program.sh PROGRAM PACKAGE "WHAT IT IS"
set -eu
program=$1 package=$2 what=$3
command -v "$program" >/dev/null 2>&1 && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "weir: the tests need $what (the command \"$program\"), and there is no apt-get to install $package with" >&2
  exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
echo "weir: installing $what for the tests (apt-get install $package)" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q >/dev/null
$as_root apt-get install -q -y --no-install-recommends "$package" >/dev/null
