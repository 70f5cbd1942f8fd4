#!/bin/sh
# build_embed.sh PYTHON PROGRAM: compiles embed.c into a program that holds this interpreter's library.
set -eu
if [ $# -ne 2 ]; then echo "usage: build_embed.sh PYTHON PROGRAM" >&2; exit 2; fi
here=$(cd "$(dirname "$0")" && pwd)
program=$2
if [ -e "$program" ] && [ ! "$here/embed.c" -nt "$program" ]; then exit 0; fi
mkdir -p "$(dirname "$program")"
eval "$("$1" - <<'END'
import shlex
import sysconfig

value = sysconfig.get_config_var
print("include=" + shlex.quote(sysconfig.get_path("include")))
print("folders=" + shlex.quote(value("LIBDIR") + " " + value("LIBPL")))
print("libraries=" + shlex.quote("-lpython%s %s %s" % (value("LDVERSION"), value("LIBS"), value("SYSLIBS"))))
END
)"
set --
for folder in $folders; do set -- "$@" "-L$folder" "-Wl,-rpath,$folder"; done
# shellcheck disable=SC2086  # $libraries is a list.
"${CC:-gcc}" -std=gnu11 -O2 -g -Wall -Wextra -I"$include" "$here/embed.c" -o "$program.$$" -rdynamic \
  "$@" $libraries
mv "$program.$$" "$program"
