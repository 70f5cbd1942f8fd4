#define _GNU_SOURCE
#include "CChainReader.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* More than any kernel is built for. */
#define MOST_CPUS 8192

static int set_affinity(pid_t thread, int first, int last) {
  cpu_set_t *set = CPU_ALLOC(MOST_CPUS);
  if (!set) return -ENOMEM;
  size_t size = CPU_ALLOC_SIZE(MOST_CPUS);
  CPU_ZERO_S(size, set);
  for (int cpu = first; cpu <= last; cpu++) CPU_SET_S(cpu, size, set);
  int result = sched_setaffinity(thread, size, set) < 0 ? -errno : 0;
  CPU_FREE(set);
  return result;
}

int caduceus_pin_to_cpu(pid_t thread, int cpu) { return set_affinity(thread, cpu, cpu); }

int caduceus_unpin(pid_t thread) { return set_affinity(thread, 0, MOST_CPUS - 1); }

int caduceus_become_realtime(void) {
  struct sched_param parameters = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};
  return sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters) < 0 ? -errno : 0;
}

/* struct sched_attr of sched_setattr(2), which glibc has since 2.41 only. */
struct scheduling {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

int caduceus_become_normal(pid_t thread) {
  /* In nanoseconds; 100 us is the least that the kernel takes. SCHED_FLAG_RESET_ON_FORK stays: without CAP_SYS_NICE it
   * cannot be taken back. */
  struct scheduling wanted = {.size = sizeof wanted, .policy = SCHED_OTHER, .flags = 1, .runtime = 100000};
  struct scheduling now;
  memset(&now, 0, sizeof now);
  if (!syscall(SYS_sched_getattr, thread, &now, sizeof now, 0)) wanted.nice = now.nice;
  if (syscall(SYS_sched_setattr, thread, &wanted, 0) < 0) return -errno;
  memset(&now, 0, sizeof now);
  return !syscall(SYS_sched_getattr, thread, &now, sizeof now, 0) && now.runtime == wanted.runtime;
}

pid_t caduceus_thread_id(void) { return (pid_t)syscall(SYS_gettid); }

uint64_t caduceus_thread_cpu_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int caduceus_open_notice(void) {
  int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}
