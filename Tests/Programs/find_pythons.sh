#!/bin/sh
# find_pythons.sh [--all]: prints the path of a CPython that caduceus supports (3.11 to 3.13, with the GIL) and
# whose headers are there: python3 of the search path, else python3.13, 3.12, 3.11, else /usr/bin/python3.
# --all: every one of them and of pyenv's, one per line, each once, with its version before it.
set -eu
probe='
import os, platform, sys, sysconfig
good = platform.python_implementation() == "CPython" and (3, 11) <= sys.version_info[:2] <= (3, 13)
good = good and not sysconfig.get_config_var("Py_GIL_DISABLED") and platform.machine() == "x86_64"
if good and os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    print(platform.python_version(), os.path.realpath(sys.executable), sys.executable)
'
candidates() {
  for name in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do command -v "$name" || true; done
  if [ "${1:-}" = --all ]; then
    for path in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3; do
      if [ -x "$path" ]; then echo "$path"; fi
    done
  fi
}
# shellcheck disable=SC2046  # Paths of interpreters have no spaces.
found=$(for path in $(candidates "${1:-}"); do "$path" -c "$probe" 2>/dev/null || true; done)
if [ -z "$found" ]; then
  echo "no CPython 3.11, 3.12 or 3.13 with its headers (Debian: apt-get install python3 python3-dev)" >&2
  exit 1
fi
if [ "${1:-}" = --all ]; then
  echo "$found" | awk '!seen[$2]++ { print $1, $2 }'
else
  echo "$found" | awk 'NR == 1 { print $3 }'
fi
