#!/bin/sh
# make_root.sh SUITE FILE: makes FILE, a tar archive of the smallest Debian system of SUITE that has Python and apt,
# from the mirror that this system's own apt uses. Needs root.
set -eu
suite=$1 file=$2

# Fields that apt does not know before its first update are empty.
mirrors=$(apt-get indextargets --format '$(CREATED_BY)|$(RELEASE)|$(ORIGIN)|$(COMPONENT)|$(REPO_URI)' |
  awk -F '|' -v codename="$(. /etc/os-release && echo "$VERSION_CODENAME")" \
    '$1 == "Packages" && $2 == codename && ($3 == "Debian" || $3 == "") && $4 == "main" { print $5 }' | sort -u)
if [ -z "$mirrors" ]; then
  echo "apt's configuration names no mirror of Debian for this release." >&2
  exit 1
fi

mkdir -p "$(dirname "$file")"
work=$(mktemp -d "$file.XXXXXX")
trap 'rm -rf "$work"' EXIT
for mirror in $mirrors; do
  # Whatever debootstrap mounts ends with its namespace.
  if unshare --mount debootstrap --variant=minbase --force-check-gpg --include=python3 \
    "$suite" "$work/root" "$mirror" >"$work/log" 2>&1; then
    rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/*
    tar --create --numeric-owner --one-file-system --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' \
      --directory "$work/root" --file "$work/tar" .
    mv "$work/tar" "$file"
    exit 0
  fi
done
echo "debootstrap could not make a system of $suite:" >&2
tail -n 20 "$work/log" >&2
exit 1
