#!/bin/sh
# in_root.sh ROOT COMMAND [ARGUMENTS...]: runs COMMAND as root inside the system below ROOT, in mount and process
# namespaces of its own: when it ends, however it ends, nothing that it mounted or started remains.
set -eu
root=$1
shift
exec unshare --mount --propagation private --pid --fork --kill-child sh -euc '
  root=$1
  shift
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
' in_root "$root" "$@"
