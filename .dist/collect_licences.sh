#!/bin/sh
# collect_licences.sh ARCHIVES SWIFT CHECKOUTS FOLDER: writes FOLDER/copyright, and below FOLDER/licences the terms of
# everything that is linked into the program: the archives in ARCHIVES, the runtime of the compiler SWIFT and the Swift
# packages in CHECKOUTS. Refuses when terms are not found.
set -eu
archives=$1 swift=$2 checkouts=$3 folder=$4

mkdir -p "$folder/licences"
owners=
for archive in "$archives"/*.a; do
  owner=$(dpkg-query -S "$(readlink -f "$archive")" | sed 's/:.*//' | head -n 1)
  case " $owners " in
    *" $owner "*) ;;
    *)
      owners="$owners $owner"
      install -m 644 "/usr/share/doc/$owner/copyright" "$folder/licences/$owner"
      ;;
  esac
done
toolchain=$(dirname "$(dirname "$(readlink -f "$swift")")")
install -m 644 "$toolchain/share/swift/LICENSE.txt" "$folder/licences/swift"
for checkout in "$checkouts"/*/; do
  install -m 644 "$checkout/LICENSE.txt" "$folder/licences/$(basename "$checkout")"
done

cat >"$folder/copyright" <<'END'
The program caduceus has these linked into it, and no other code but its own:

  Swift's runtime and standard library, and swift-argument-parser (Apache 2.0 with Runtime Library Exception)
  libunwind (MIT)
  libelf and libdw of elfutils (GPL version 2 or later, or LGPL version 3 or later)
  libbpf (LGPL version 2.1 or BSD 2-Clause)
  zlib (zlib), bzip2 (its own, like BSD), liblzma of XZ Utils (public domain), and libzstd (BSD 3-Clause) where
  libelf asks for it; swift-protobuf (Apache 2.0 with Runtime Library Exception)
  libstdc++ of GCC (GPL version 3 or later with the GCC Runtime Library Exception)

What each of them says about its copyright and its terms is in the folder `licences` beside this file. The files of
Debian's packages name the versions' sources. To use another version of a library, install its development files and
build caduceus from its source with `make`: that links it anew.

The eBPF program inside caduceus declares the licence "GPL" to the kernel, whose functions ask for that.
END
