#!/bin/sh
# Packs the package from a built dist/, installs it in an empty folder as a user would, and runs it there under the machine's own Node (which
# may be older than the pinned one). Fails where a file is missing or should not be there, or a command does not work.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

fail() {
  echo "pack-check: $*" >&2
  exit 1
}

npm pack --ignore-scripts --silent --pack-destination "$place" >/dev/null || fail 'npm pack failed'
package=$(echo "$place"/sallyport-*.tgz)

tar --list --file "$package" | sort >"$place/files"
for file in LICENSE README.md CHANGELOG.md dist/sallyport dist/sallyport.js dist/box-init.js dist/THIRD-PARTY-LICENSES; do
  grep -qx "package/$file" "$place/files" || fail "$file is not in the package"
done
if grep -vE '^package/(package\.json|LICENSE|README\.md|CHANGELOG\.md|(dist|docs)/.*)$' "$place/files"; then
  fail 'these files should not be in the package'
fi

mkdir "$place/app"
cd "$place/app"
echo '{"private": true}' >package.json
npm install --prefer-offline --no-audit --no-fund --no-progress --loglevel=error "$package" >/dev/null || fail 'npm install failed'

version=$(npx --no-install sallyport --version) || fail 'npx sallyport --version failed'
wanted=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$root/package.json")
[ "$version" = "$wanted" ] || fail "npx sallyport --version says '$version', not '$wanted'"
npx --no-install sallyport --help >"$place/help" || fail 'npx sallyport --help failed'
grep -q 'run' "$place/help" || fail 'npx sallyport --help does not name the command run'
npx --no-install sallyport validate "$root/demo/policy.yaml" >/dev/null || fail 'npx sallyport validate failed'

# without the Node that comes with it: under the machine's, if that is new enough, else a message that says so
rm -r node_modules/node-linux-*
status=0
node_modules/.bin/sallyport --version >/dev/null 2>"$place/message" || status=$?
if [ "$(node --print 'process.versions.node.split(".")[0]')" -ge 24 ]; then
  [ "$status" -eq 0 ] || fail "does not run under $(node --version)"
else
  [ "$status" -eq 69 ] || fail "exit status $status, not 69, without a Node that can run it"
  grep -q 'needs Node 24' "$place/message" || fail 'says nothing of Node 24 where it is missing'
fi
echo "pack-check: sallyport $version works as an installed package ($(wc -l <"$place/files") files, $(wc -c <"$package") bytes)"
