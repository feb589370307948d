#!/bin/sh
# Gets the real Prometheus that the dashboards' test asks, where there is none: Debian's package, only unpacked, since its
# installation would start a daemon. It lands below node_modules/.cache.
set -eu
cd "$(dirname "$0")/.."
command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1 && exit 0
folder=node_modules/.cache/prometheus
[ -x "$folder/usr/bin/prometheus" ] && [ -x "$folder/usr/bin/promtool" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
  echo "weir: the tests of the dashboards need prometheus and promtool, and there is no apt-get to get them with" >&2
  exit 1
fi
echo "weir: getting Prometheus for the tests (apt-get download prometheus)" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# As root, apt downloads as a user of its own, who has to get into the folder.
chmod 755 "$work"
fetch() (cd "$work" && apt-get download -q prometheus) >/dev/null 2>&1
if ! fetch; then
  as_root=
  [ "$(id -u)" = 0 ] || as_root=sudo
  $as_root apt-get update -q >/dev/null
  fetch || {
    echo "weir: the tests of the dashboards need prometheus and promtool, and apt-get cannot download them" >&2
    exit 1
  }
fi
dpkg-deb --extract "$work"/prometheus_*.deb "$work/unpacked"
mkdir -p "$folder/usr/bin"
# The second one last: where both are, both are whole.
for program in prometheus promtool; do
  mv "$work/unpacked/usr/bin/$program" "$folder/usr/bin/$program.new"
  mv "$folder/usr/bin/$program.new" "$folder/usr/bin/$program"
done
