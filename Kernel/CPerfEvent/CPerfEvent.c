#define _GNU_SOURCE
#include "CPerfEvent.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ax bx cx dx si di bp sp ip, r8 to r15 (arch/x86/include/uapi/asm/perf_regs.h). */
#define REGISTER_MASK 0xff01ffull

static int open_event(struct perf_event_attr *attr, pid_t tid, int cpu) {
  attr->size = sizeof *attr;
  long descriptor = syscall(SYS_perf_event_open, attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
  return descriptor < 0 ? -errno : (int)descriptor;
}

/* What all cpu-clock events have in common. */
static void set_clock(struct perf_event_attr *attr, uint64_t period, unsigned flags) {
  attr->config = PERF_COUNT_SW_CPU_CLOCK;
  attr->sample_period = period;
  attr->disabled = 1;
  attr->read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING | PERF_FORMAT_LOST;
  attr->inherit = (flags & CADUCEUS_EVENT_INHERIT) != 0;
  attr->inherit_thread = attr->inherit;
  attr->enable_on_exec = (flags & CADUCEUS_EVENT_ENABLE_ON_EXEC) != 0;
}

int caduceus_open_clock_event(pid_t tid, int cpu, uint64_t period, unsigned flags) {
  struct perf_event_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.type = PERF_TYPE_SOFTWARE;
  set_clock(&attr, period, flags);
  return open_event(&attr, tid, cpu);
}

static void set_common(struct perf_event_attr *attr) {
  attr->type = PERF_TYPE_SOFTWARE;
  attr->sample_id_all = 1;
  attr->use_clockid = 1;
  attr->clockid = CLOCK_MONOTONIC;
  attr->read_format = PERF_FORMAT_ID | PERF_FORMAT_LOST;
  attr->sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU;
}

int caduceus_open_output_event(int cpu, uint32_t stack_bytes, uint32_t wakeup_bytes) {
  struct perf_event_attr attr;
  memset(&attr, 0, sizeof attr);
  set_common(&attr);
  attr.config = PERF_COUNT_SW_BPF_OUTPUT;
  attr.sample_period = 1;
  attr.sample_type |= PERF_SAMPLE_RAW;
  if (stack_bytes) {
    attr.sample_type |= PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER;
    attr.exclude_callchain_user = 1;
    attr.sample_regs_user = REGISTER_MASK;
    attr.sample_stack_user = stack_bytes;
  }
  attr.watermark = 1;
  attr.wakeup_watermark = wakeup_bytes;
  return open_event(&attr, -1, cpu);
}

int caduceus_open_sample_event(pid_t tid, int cpu, uint64_t period, uint32_t stack_bytes, unsigned flags) {
  struct perf_event_attr attr;
  memset(&attr, 0, sizeof attr);
  set_common(&attr);
  set_clock(&attr, period, flags);
  attr.sample_type |= PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER;
  attr.exclude_callchain_user = 1;
  attr.sample_regs_user = REGISTER_MASK;
  attr.sample_stack_user = stack_bytes;
  attr.wakeup_events = 1;
  if (flags & CADUCEUS_EVENT_USER_ONLY) {
    attr.exclude_kernel = 1;
    attr.exclude_hv = 1;
    attr.exclude_callchain_kernel = 1;
  }
  return open_event(&attr, tid, cpu);
}

int caduceus_open_switch_event(pid_t tid, unsigned flags) {
  struct perf_event_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.type = PERF_TYPE_SOFTWARE;
  attr.sample_id_all = 1;
  attr.use_clockid = 1;
  attr.clockid = CLOCK_MONOTONIC;
  attr.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME;
  attr.context_switch = 1;
  attr.write_backward = 1;
  attr.watermark = 1;
  attr.wakeup_watermark = 1u << 31;
  if (flags & CADUCEUS_EVENT_USER_ONLY) {
    attr.config = PERF_COUNT_SW_DUMMY;
    attr.exclude_kernel = 1;
    attr.exclude_hv = 1;
  } else {
    attr.config = PERF_COUNT_SW_CONTEXT_SWITCHES;
    attr.sample_period = 1;
    attr.sample_type |= PERF_SAMPLE_REGS_USER;
    attr.sample_regs_user = REGISTER_MASK;
  }
  return open_event(&attr, tid, -1);
}

static int open_sideband(pid_t tid, int cpu) {
  struct perf_event_attr attr;
  memset(&attr, 0, sizeof attr);
  set_common(&attr);
  attr.config = PERF_COUNT_SW_DUMMY;
  attr.mmap = 1;
  attr.mmap2 = 1;
  attr.comm = 1;
  attr.comm_exec = 1;
  attr.task = 1;
  attr.watermark = 1;
  attr.wakeup_watermark = 1 << 16;
  if (tid >= 0) {
    attr.inherit = 1;
    attr.inherit_thread = 1;
    attr.exclude_kernel = 1;
    attr.exclude_hv = 1;
  }
  return open_event(&attr, tid, cpu);
}

int caduceus_open_sideband_event(int cpu) { return open_sideband(-1, cpu); }

int caduceus_open_thread_sideband_event(pid_t tid, int cpu) { return open_sideband(tid, cpu); }

static int control(int event, unsigned long request, unsigned long argument) {
  return ioctl(event, request, argument) < 0 ? -errno : 0;
}

int caduceus_event_set_program(int event, int program) {
  return control(event, PERF_EVENT_IOC_SET_BPF, (unsigned long)program);
}
int caduceus_event_set_output(int event, int ring) {
  return control(event, PERF_EVENT_IOC_SET_OUTPUT, (unsigned long)ring);
}
int caduceus_event_enable(int event) { return control(event, PERF_EVENT_IOC_ENABLE, 0); }
int caduceus_event_disable(int event) { return control(event, PERF_EVENT_IOC_DISABLE, 0); }

uint64_t caduceus_event_id(int event) {
  uint64_t id = 0;
  return ioctl(event, PERF_EVENT_IOC_ID, &id) < 0 ? 0 : id;
}

static int read_words(int event, uint64_t *words, size_t count) {
  ssize_t size = (ssize_t)(count * sizeof *words);
  return read(event, words, (size_t)size) == size ? 0 : errno ? -errno : -EIO;
}

int caduceus_read_clock_event(int event, struct caduceus_event_count *count) {
  uint64_t words[4];
  memset(count, 0, sizeof *count);
  int failure = read_words(event, words, 4);
  if (failure) return failure;
  count->value = words[0];
  count->time_enabled = words[1];
  count->time_running = words[2];
  count->lost = words[3];
  return 0;
}

int caduceus_read_output_event(int event, struct caduceus_event_count *count) {
  uint64_t words[3];
  memset(count, 0, sizeof *count);
  int failure = read_words(event, words, 3);
  if (failure) return failure;
  count->value = words[0];
  count->lost = words[2];
  return 0;
}
