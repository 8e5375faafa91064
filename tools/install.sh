#!/bin/sh
# Makes node_modules what package-lock.json says, under whatever Node and npm the machine has, and does nothing where it
# already is. Everything afterwards runs under the pinned Node in node_modules/.bin. No package's install script is run:
# what we depend on ships its binaries in the registry, under the lock file's checksums.
set -eu
cd "$(dirname "$0")/.."

node=node_modules/.bin/node
stamp=node_modules/.installed

pinned_node_runs() {
  "$node" --version >/dev/null 2>&1
}

if cmp -s package-lock.json "$stamp" && pinned_node_runs; then
  exit 0
fi

if ! command -v npm >/dev/null 2>&1; then
  echo 'install: npm was not found. Install Node 20 or later with npm (Debian: apt-get install nodejs npm), then try again.' >&2
  exit 1
fi

echo 'install: packages of package-lock.json (npm ci) …'
if ! npm ci --ignore-scripts --no-audit --no-fund --no-progress --loglevel=error; then
  echo 'install: npm ci failed; its message is above. If it could not reach the registry, see "npm ping".' >&2
  exit 1
fi

# two optional packages, one an architecture, bring the same command: npm 10 drops it with the one that does not fit
for binary in node_modules/node-linux-*/bin/node; do
  if "$binary" --version >/dev/null 2>&1; then
    ln -sf "../${binary#node_modules/}" "$node"
  fi
done

if ! pinned_node_runs; then
  echo "install: $node does not run on this machine ($(uname -s) $(uname -m))." >&2
  echo 'install: it comes from an optional package for Linux on x64 or arm64 with glibc. Check that npm is not told to' >&2
  echo 'install: omit optional packages (npm config get omit), remove node_modules and try again.' >&2
  exit 1
fi

cp package-lock.json "$stamp"
echo "install: done, Node $("$node" --version)"
