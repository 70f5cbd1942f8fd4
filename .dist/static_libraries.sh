#!/bin/sh
# static_libraries.sh FOLDER: makes FOLDER, with which the linker takes the C libraries as archives (lib*.a), and prints
# the arguments of `swift build` that use it. Prints nothing where an archive is missing: then the program needs the
# shared libraries.
#
# With the C libraries inside, the program runs on a system that has none of them, from any folder, and with file
# capabilities (for which the dynamic loader ignores every path relative to the program).
set -eu
folder=$1
libraries="libdw libelf libbpf zlib libunwind-generic"

rm -rf "$folder"
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

flags=$(pkg-config --libs --static $libraries)
for flag in $flags; do
  case $flag in
    -l*)
      archive=$(gcc -print-file-name="lib${flag#-l}.a")
      if [ ! -e "$archive" ]; then
        echo "There is no lib${flag#-l}.a: the program is going to need shared libraries." >&2
        exit 0
      fi
      ln -sf "$archive" "$folder"
      ;;
  esac
done
# Not in any pkg-config file: what libunwind-generic is called inside Sources/CLibunwind, and the C++ runtime.
for name in unwind-x86_64 stdc++; do
  archive=$(gcc -print-file-name="lib$name.a")
  if [ ! -e "$archive" ]; then
    echo "There is no lib$name.a: the program is going to need shared libraries." >&2
    exit 0
  fi
  ln -sf "$archive" "$folder"
done

for library in $libraries; do
  cat >"$folder/$library.pc" <<END
Name: $library
Description: $library, to be linked statically
Version: $(pkg-config --modversion "$library")
Cflags: $(pkg-config --cflags "$library")
Libs: -L$folder $(pkg-config --libs --static "$library" | sed 's/-L[^ ]*//g')
END
done

# Debian compiles libunwind's archives without -fPIC, so the program has a fixed address; its libraries, stack and heap
# have none. Position independent or not, what links is tried, not assumed.
echo 'int unw_backtrace(void **, int); int main(void) { void *frames[4]; return unw_backtrace(frames, 4) < 0; }' \
  >"$folder/probe.c"
if gcc -pie -fPIE -o "$folder/probe" "$folder/probe.c" -L"$folder" -lunwind -llzma 2>/dev/null; then
  address=
else
  address="-Xlinker -no-pie"
fi
echo "--pkg-config-path $folder --disable-local-rpath $address"
