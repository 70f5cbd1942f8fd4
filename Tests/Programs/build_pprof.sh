#!/bin/sh
# build_pprof.sh FILE: builds Google's pprof from the sources that Debian has (golang-github-google-pprof-dev), as FILE.
set -eu
if [ $# -ne 1 ]; then echo "usage: build_pprof.sh FILE" >&2; exit 2; fi
if [ -e "$1" ]; then exit 0; fi
sources=/usr/share/gocode
if ! command -v go >/dev/null || [ ! -e "$sources/src/github.com/google/pprof/pprof.go" ]; then
  echo "build_pprof.sh: needs golang-go and golang-github-google-pprof-dev" >&2
  exit 1
fi
mkdir -p "$(dirname "$1")"
output=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$sources/src/github.com/google/pprof"
# From the packaged sources alone: without modules, which would be fetched.
GO111MODULE=off GOPATH=$sources GOFLAGS='' GOCACHE=$output.cache go build -trimpath -o "$output.$$" .
mv "$output.$$" "$output"
rm -rf "$output.cache"
