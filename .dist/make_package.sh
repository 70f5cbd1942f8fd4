#!/bin/sh
# make_package.sh TREE FOLDER MAINTAINER ARCHIVES: makes the Debian package in FOLDER of what `make install PREFIX=/usr`
# put into TREE. Depends is what dpkg-shlibdeps finds in the program; the archives in ARCHIVES are named as linked in.
# The same tree gives the same package (SOURCE_DATE_EPOCH).
set -eu
tree=$1 folder=$2 maintainer=$3 archives=$4
version=$("$tree/usr/bin/caduceus" --version)
architecture=$(dpkg --print-architecture)

gzip -9n "$tree"/usr/share/man/man1/caduceus.1
install -D -m 644 README.md "$tree/usr/share/doc/caduceus/README.md"
install -m 644 CHANGELOG.md "$tree/usr/share/doc/caduceus/changelog"
gzip -9n "$tree/usr/share/doc/caduceus/changelog"
chmod -R u=rwX,go=rX "$tree"

# dpkg-shlibdeps reads the name of the package from a source tree, and wants the program inside.
source=$folder/source
program=debian/caduceus/usr/bin/caduceus
install -D "$tree/usr/bin/caduceus" "$source/$program"
mkdir "$source/debian/caduceus/DEBIAN"
printf 'Source: caduceus\n\nPackage: caduceus\nArchitecture: any\n' >"$source/debian/control"
depends=$(cd "$source" && dpkg-shlibdeps -O "$program" | sed -n 's/^shlibs:Depends=//p')
rm -r "$source"
[ -n "$depends" ]

built_using=$(for archive in "$archives"/*.a; do
  # Of a name in several packages' lists the file's own package is meant.
  owner=$(dpkg-query -S "$(readlink -f "$archive")" | head -n 1 | sed 's/: .*//')
  dpkg-query -W -f '${source:Package} (= ${source:Version})\n' "$owner"
done | LC_ALL=C sort -u | paste -s -d , | sed 's/,/, /g')

mkdir "$tree/DEBIAN"
(cd "$tree" && find usr -type f | LC_ALL=C sort | xargs md5sum) >"$tree/DEBIAN/md5sums"
size=$(find "$tree/usr" -type f -printf '%k\n' | awk '{ sum += $1 } END { print sum }')
cat >"$tree/DEBIAN/control" <<END
Package: caduceus
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $size
Depends: $depends
Static-Built-Using: $built_using
Section: devel
Priority: optional
Description: sampling profiler for CPython programs with native extensions
 Shows which Python line led into which native function, in one stack, and
 says what it did not see. Samples running programs, or programs from their
 first instruction, with an eBPF program in the kernel; the profiled program is
 not stopped, changed or preloaded with anything.
 .
 It needs Linux 6.1 or later, and root or the capabilities that its manual page
 names.
END
chmod 644 "$tree/DEBIAN/control" "$tree/DEBIAN/md5sums"
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
# One thread: how xz splits its input between several depends on the machine.
DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group -Zxz --build "$tree" \
  "$folder/caduceus_${version}_$architecture.deb" >/dev/null
