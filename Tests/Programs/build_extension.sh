#!/bin/sh
# build_extension.sh PYTHON OUTDIR [SOURCE.c ...]: compiles C extension modules for one interpreter.
# Without a source: situations.c, accuracy.c, faults.c and wild.c. What is newer than its source and spin.h is left alone.
set -eu
if [ $# -lt 2 ]; then echo "usage: build_extension.sh PYTHON OUTDIR [SOURCE.c ...]" >&2; exit 2; fi
here=$(cd "$(dirname "$0")" && pwd)
python=$1
folder=$2
shift 2
[ $# -gt 0 ] || set -- "$here/situations.c" "$here/accuracy.c" "$here/faults.c" "$here/wild.c"
include=
mkdir -p "$folder"
for source in "$@"; do
  module=$folder/$(basename "$source" .c).so
  if [ -e "$module" ] && [ ! "$source" -nt "$module" ] && [ ! "$here/spin.h" -nt "$module" ]; then continue; fi
  : "${include:=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')}"
  if [ ! -e "$include/Python.h" ]; then
    echo "build_extension.sh: no $include/Python.h (Debian: apt-get install python3-dev)" >&2
    exit 1
  fi
  # Under another name first: tests of several processes may build at once.
  "${CC:-gcc}" -std=gnu11 -O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers \
    -fPIC -shared -pthread -I"$include" "$source" -o "$module.$$"
  mv "$module.$$" "$module"
done
