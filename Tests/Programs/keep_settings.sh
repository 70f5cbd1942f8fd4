#!/bin/sh
# keep_settings.sh COMMAND [ARGUMENT...]: runs a command and gives the kernel's settings that tests change back their
# values, however the command ends. Tests do so themselves; one that is killed cannot.
set -u
settings="kernel/perf_event_paranoid kernel/perf_event_mlock_kb kernel/perf_event_max_sample_rate kernel/kptr_restrict
  kernel/yama/ptrace_scope"
before=$(for name in $settings; do
  value=$(cat "/proc/sys/$name" 2>/dev/null) && echo "$name $value"
done)
# Signals reach the command, too; this shell waits for its end.
trap : INT TERM HUP
"$@"
status=$?
echo "$before" | while read -r name value; do
  if [ -n "$name" ] && [ "$(cat "/proc/sys/$name")" != "$value" ]; then
    echo "A test has left $name = $(cat "/proc/sys/$name"); it is $value again." >&2
    echo "$value" >"/proc/sys/$name" || true
  fi
done
exit $status
