#!/bin/sh
# Sallyport needs nft or iptables. Installs nftables where neither is and we are root; else names the command.
set -eu
PATH=$PATH:/usr/sbin:/sbin
if command -v nft >/dev/null 2>&1 || command -v iptables-restore >/dev/null 2>&1; then
  exit 0
fi
exec "$(dirname "$0")/install-debian.sh" nftables
