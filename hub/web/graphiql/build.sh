#!/bin/sh
# Builds ./bundle anew from package-lock.json. Needs Node 20 or later and npm; the packages are installed into a
# temporary folder, so that the working tree stays clean. `git diff --stat` afterwards says what changed: nothing,
# if nothing but the date did.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

cd "$here"
cp -R .npmrc package.json package-lock.json build.mjs index.html src notices "$work"
cd "$work"
npm ci --ignore-scripts --no-audit --no-fund
node build.mjs
rm -rf "$here/bundle"
cp -R bundle "$here/bundle"
du -sh "$here/bundle"
