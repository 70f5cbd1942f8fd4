#!/bin/sh
# fetch_newer_python.sh VERSION FOLDER: puts Debian's CPython of that version (such as 3.15) below FOLDER, from newer
# suites than the system's own. The system is left alone: the packages are only unpacked, apt has its configuration,
# its lists and its cache in FOLDER, and the mirror is that of the system's own sources. Needs no root. Done once:
# FOLDER/installed names the suite. FOLDER/root is the unpacked root (for root, `chroot FOLDER/root
# /usr/bin/pythonVERSION` works); FOLDER/python runs the interpreter on the system's own files, through the loader
# and the libraries that were unpacked with it.
set -eu
if [ $# -ne 2 ]; then echo "usage: fetch_newer_python.sh VERSION FOLDER" >&2; exit 2; fi
version=$1
folder=$2
if [ -e "$folder/installed" ] && [ -x "$folder/python" ]; then exit 0; fi

fail() {
  echo "fetch_newer_python.sh: no CPython $version: $*" >&2
  exit 1
}

command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "apt-get and dpkg are needed"
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# shellcheck disable=SC2016  # apt-get expands these.
mirror=$(apt-get indextargets --no-release-info --format '$(RELEASE) $(SITE)' |
  awk -v release="$codename" '$1 == release && /debian/ { print $2; exit }')
[ -n "$mirror" ] || fail "the system's apt sources have no mirror of Debian"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || fail "$keys is missing (package debian-archive-keyring)"

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
apt=$folder/apt
rm -rf "$apt" "$folder/root" "$folder/python" "$folder/installed"
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
# No package counts as installed, so that everything the interpreter needs is fetched, glibc included. The hooks that
# are cleared would clean the system's own cache.
: >"$apt/status"
cat >"$apt/apt.conf" <<END_OF_CONFIGURATION
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/suite.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END_OF_CONFIGURATION

# Whether the suite has the interpreter with everything it needs; its packages are fetched then.
fetch() {
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$1" "$keys" \
    >"$apt/suite.sources"
  apt-get -c "$apt/apt.conf" -q -q update >>"$apt/log" 2>&1 || return 1
  apt-get -c "$apt/apt.conf" -q -q -y --no-install-recommends --download-only install "python$version" \
    >>"$apt/log" 2>&1
}

echo "Fetching CPython $version from Debian into $folder"
for suite in forky sid ""; do
  if [ -z "$suite" ]; then
    tail -n 5 "$apt/log" >&2
    fail "neither forky nor sid has it, or the mirror cannot be reached"
  fi
  if fetch "$suite"; then break; fi
done

mkdir "$folder/root"
for package in "$apt"/cache/archives/*.deb; do dpkg -x "$package" "$folder/root"; done
for name in bin lib lib64 sbin; do
  [ -e "$folder/root/$name" ] || ln -s "usr/$name" "$folder/root/$name"
done
mkdir -p "$folder/root/tmp" "$folder/root/proc" "$folder/root/dev"

cat >"$folder/python" <<END_OF_PROGRAM
#!/bin/sh
# Runs CPython $version of the unpacked root beside this file.
root=\$(dirname "\$0")/root
libraries=\$root/usr/lib/$(uname -m)-linux-gnu
for loader in "\$libraries"/ld-linux*.so.*; do break; done
PYTHONHOME=\$root/usr exec "\$loader" --library-path "\$libraries" "\$root/usr/bin/python$version" "\$@"
END_OF_PROGRAM
chmod 755 "$folder/python"
"$folder/python" -c 'import sys, ctypes, curses, zlib' || fail "the unpacked interpreter does not run"
rm -rf "$apt"
echo "$suite" >"$folder/installed"
