#!/bin/sh
# record.sh RECORDER PYTHON NAME "PROGRAM.py [ARGUMENT ...]" SAMPLES [EMBED]: records Tests/Captures/NAME.capture of one
# of Tests/Programs. The program runs in a mount namespace of its own and without our environment, so that nothing of
# this machine gets into the capture: the interpreter is /opt/python, the program's folder /opt/programs, what a virtual
# environment has installed /opt/site. EMBED: a program that holds the interpreter (build_embed.sh). Needs root.
set -eu
if [ $# -lt 5 ]; then
  echo "usage: record.sh RECORDER PYTHON NAME 'PROGRAM.py [ARGUMENT ...]' SAMPLES [EMBED]" >&2; exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
recorder=$(realpath "$1") python=$2 name=$3 program=$4 samples=$5 embed=${6:-}
prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
site=$("$python" -c 'import sys, sysconfig; print(sysconfig.get_path("platlib") if sys.prefix != sys.base_prefix else "")')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/programs" "$work/python"
sh "$here/../Programs/build_extension.sh" "$python" "$work/programs"
cp "$here"/../Programs/*.py "$work/programs"
if [ -n "$embed" ]; then cp "$embed" "$work/programs/embed"; fi
mkfifo "$work/go"
start='
  mount --bind "$1" /mnt && mount -t tmpfs none /opt && mkdir /opt/python /opt/programs /opt/site
  mount --bind "$2" /opt/python && mount --bind /mnt/programs /opt/programs && umount /mnt
  if [ -n "$5" ]; then mount --bind "$5" /opt/site; fi
  cd / && exec env -i LD_LIBRARY_PATH=/opt/python/lib PYTHONHOME=/opt/python PYTHONPATH=/opt/site OPENBLAS_NUM_THREADS=1 \
    PYTHONDONTWRITEBYTECODE=1 "$3" /opt/programs/$4'
host=/opt/python/bin/python3
if [ -n "$embed" ]; then host=/opt/programs/embed; fi
unshare -m sh -c "$start" sh "$work" "$prefix" "$host" "$program" "$site" <"$work/go" >"$work/out" &
exec 3>"$work/go"
until grep -q '^ready' "$work/out"; do sleep 0.1; done
pid=$(sed -n 's/^ready //p' "$work/out")
echo go >&3
sleep 0.3
"$recorder" "$pid" "$samples" "$here/../Captures/$name.capture"
exec 3>&-
wait
# The program's own word on what its stacks may be, one from the root to the leaf per line, and on its threads.
tail -n 1 "$work/out" | "$python" -c '
import json, sys
told = json.load(sys.stdin)
begin = sys.argv[1]
hops = told.get("callbacks_after", ())
frames = [name for frame in told.get("frames", ()) for name in ([frame, "sit_hop"] if frame in hops else [frame])]
with open(begin + sys.argv[2] + ".paths", "w") as paths:
    for path in told.get("paths") or [frames + ["sit_spin"]]: print(" ".join(path), file=paths)
if "threads" in told:
    with open(begin + sys.argv[3] + ".threads", "w") as threads:
        for thread in told["threads"]: print(thread["id"], thread["name"], file=threads)
' "$here/../Captures/" "${program%%.py*}" "$name"
