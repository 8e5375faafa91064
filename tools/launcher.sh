#!/bin/sh
# Starts the command line under the Node that this version was tested with. A shell's exec keeps pid, streams, terminal,
# signals and exit status exactly as they are, which a Node that starts another cannot; so a kill of what the user
# started is a kill of the firewall, and nothing is left behind.
self=$(readlink -f -- "$0")
dist=${self%/*}
package=${dist%/*}

# in our own node_modules (nested, or a checkout), or beside us (hoisted)
for modules in "$package/node_modules" "${package%/*}"; do
  for node in "$modules"/node-linux-*/bin/node; do
    [ -x "$node" ] && exec "$node" "$dist/sallyport.js" "$@"
  done
done

major=$(node --print 'process.versions.node.split(".")[0]' 2>/dev/null)
if [ "${major:-0}" -lt 24 ]; then
  echo 'sallyport: needs Node 24 or later; the one that comes with the package was not found.' >&2
  echo 'sallyport: install it again without omitting optional packages, or put Node 24 first in PATH.' >&2
  exit 69
fi
exec node "$dist/sallyport.js" "$@"
