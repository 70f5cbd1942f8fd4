#!/bin/sh
# make_tarball.sh TREE FOLDER: makes the tarball in FOLDER of what `make install PREFIX=` put into TREE. It holds one
# folder, runs from anywhere, and is the same for the same tree (SOURCE_DATE_EPOCH).
set -eu
tree=$1 folder=$2

# A program that needs more than the C library would not run on a bare system.
needed=$(objdump -p "$tree/bin/caduceus" | awk '$1 == "NEEDED" { print $2 }')
for library in $needed; do
  case $library in
    # What the C library itself depends on is where it is.
    libc.so.6 | libm.so.6 | libgcc_s.so.1 | ld-linux-x86-64.so.2) ;;
    *)
      echo "The program needs $library: see what .dist/static_libraries.sh says." >&2
      exit 1
      ;;
  esac
done

name=caduceus-$("$tree/bin/caduceus" --version)-x86_64-linux
install -m 644 README.md "$tree/README.md"
chmod -R u=rwX,go=rX "$tree"
tar --create --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
  --directory "$tree" --transform "s,^\.,$name," . | gzip -9n >"$folder/$name.tar.gz"
