#!/bin/sh
# install-debian.sh NAME…: installs the named Debian packages that are missing, and does nothing where none is.
# Without root, without apt-get or without the network it says the one command to run and exits with 1.
set -eu

missing=''
for name in "$@"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$name" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $name"
done
[ -n "$missing" ] || exit 0

by_hand="apt-get install --no-install-recommends$missing"
if ! command -v apt-get >/dev/null 2>&1; then
  echo "install-debian: this is not a Debian machine; install what it calls these:$missing" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "install-debian: missing:$missing. As root: $by_hand" >&2
  exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# no daemon that a package brings may start by itself: only the tests start servers
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$log" "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

apt() {
  apt-get --quiet --yes -o DPkg::Lock::Timeout=120 "$@" >"$log" 2>&1 </dev/null
}

echo "install-debian:$missing …"
# shellcheck disable=SC2086 # a list of names
if ! { apt update && apt install --no-install-recommends $missing; }; then
  tail -n 20 "$log" >&2
  echo "install-debian: could not install$missing. By hand: apt-get update && $by_hand" >&2
  exit 1
fi
