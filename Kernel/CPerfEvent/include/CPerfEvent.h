/*
 * perf_event_open(2) and the ring buffer's ABI. The attributes are filled here because they are bit fields and
 * macros, which Swift does not import. Each open function returns a descriptor or -errno.
 */
#ifndef CPERFEVENT_H
#define CPERFEVENT_H

#include <linux/perf_event.h>
#include <stdint.h>
#include <sys/types.h>

/* Registers in a sample, in the order of their bits: ax bx cx dx si di bp sp ip r8 ... r15. */
#define CADUCEUS_REGISTER_COUNT 17

enum caduceus_event_flags {
  CADUCEUS_EVENT_INHERIT = 1,        /* threads created later are sampled, too */
  CADUCEUS_EVENT_ENABLE_ON_EXEC = 2,
  CADUCEUS_EVENT_USER_ONLY = 4,      /* nothing of the kernel: what an ordinary user may have */
};

/* A cpu-clock event, disabled: of one thread (cpu = -1), or of everything on one CPU (tid = -1).
 * `period`: nanoseconds of CPU time between interrupts; 0: only counts. */
int caduceus_open_clock_event(pid_t tid, int cpu, uint64_t period, unsigned flags);

/* The event of one CPU through which the eBPF program writes. `stack_bytes`: of the user stack copy, a multiple
 * of 8 up to 65528; 0: neither stack nor registers nor call chain. `wakeup_bytes`: of new data until a poll wakes. */
int caduceus_open_output_event(int cpu, uint32_t stack_bytes, uint32_t wakeup_bytes);

/* An event of one CPU that only carries mappings, program names, forks and exits. */
int caduceus_open_sideband_event(int cpu);

/* The cpu-clock event of one thread on one CPU, disabled, that writes its samples itself: registers, `stack_bytes` of
 * the user stack (a multiple of 8 up to 65528), kernel call chain. Each sample wakes the ring's reader. */
int caduceus_open_sample_event(pid_t tid, int cpu, uint64_t period, uint32_t stack_bytes, unsigned flags);

/* An event of one thread that writes each of its switches, enabled. To be mapped read-only: the newest records lie at
 * the head, the oldest are overwritten. Without the kernel's part the registers are missing. */
int caduceus_open_switch_event(pid_t tid, unsigned flags);

/* As caduceus_open_sideband_event, for one thread on one CPU and the threads that it creates. */
int caduceus_open_thread_sideband_event(pid_t tid, int cpu);

int caduceus_event_set_program(int event, int program);
int caduceus_event_set_output(int event, int ring);
int caduceus_event_enable(int event);
int caduceus_event_disable(int event);
/* The event's id as it stands in records; 0 on failure. */
uint64_t caduceus_event_id(int event);

struct caduceus_event_count {
  uint64_t value;
  uint64_t time_enabled;
  uint64_t time_running;
  uint64_t lost; /* records without room */
};
/* 0 or -errno; a field that the kernel does not report is 0. */
int caduceus_read_clock_event(int event, struct caduceus_event_count *count); /* sample events, too */
int caduceus_read_output_event(int event, struct caduceus_event_count *count);

/* Bytes ever written to the ring; acquire. */
static inline uint64_t caduceus_ring_head(const void *control) {
  return __atomic_load_n(&((const struct perf_event_mmap_page *)control)->data_head, __ATOMIC_ACQUIRE);
}
/* Gives the room up to `tail` back; release. */
static inline void caduceus_ring_set_tail(void *control, uint64_t tail) {
  __atomic_store_n(&((struct perf_event_mmap_page *)control)->data_tail, tail, __ATOMIC_RELEASE);
}
/* Where a ring of our own making is written; `head` is stored behind the data. */
static inline void caduceus_ring_set_head(void *control, uint64_t head) {
  __atomic_store_n(&((struct perf_event_mmap_page *)control)->data_head, head, __ATOMIC_RELEASE);
}
static inline uint64_t caduceus_ring_tail(const void *control) {
  return __atomic_load_n(&((const struct perf_event_mmap_page *)control)->data_tail, __ATOMIC_ACQUIRE);
}
static inline void caduceus_ring_set_data_offset(void *control, uint64_t offset) {
  ((struct perf_event_mmap_page *)control)->data_offset = offset;
}
static inline uint64_t caduceus_ring_data_offset(const void *control) {
  return ((const struct perf_event_mmap_page *)control)->data_offset;
}
/* A value another CPU's interrupt may be changing. */
static inline uint64_t caduceus_load_counter(const uint64_t *counter) {
  return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
/* Words that two threads of ours share. */
static inline uint64_t caduceus_load_shared(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void caduceus_store_shared(uint64_t *word, uint64_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
/* All that was written before is seen by whoever sees what is written after, and the other way round. */
static inline void caduceus_full_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void caduceus_store_word(uint32_t *word, uint32_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

#endif
