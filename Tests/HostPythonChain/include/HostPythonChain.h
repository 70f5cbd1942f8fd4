/*
 * The eBPF program of Kernel/PythonChain as a function of this process, on a fake kernel and a fake target.
 * One machine per process: not thread safe. Structures of python_chain.h are passed as bytes.
 */
#ifndef HOST_PYTHON_CHAIN_H
#define HOST_PYTHON_CHAIN_H

#include <stdint.h>

enum {
  HOST_CPUS = 3,
  HOST_MAXIMUM_EVENTS = 80,
};

/* The interrupted thread, and what the program was loaded with. */
struct host_thread {
  uint64_t device, inode;  /* of its pid namespace */
  uint32_t pid, tgid;      /* in that namespace */
  uint32_t cpu;
  uint32_t in_kernel;      /* interrupted in kernel mode: `sp` is found behind the task only */
  uint64_t sp;
  uint64_t fsbase;         /* end of a thread's stack */
  uint64_t start_stack;    /* end of the main thread's stack; 0: no mm */
};

struct host_config {
  uint64_t device, inode;
  uint32_t tgid, main_thread_only;
  uint32_t stack_bytes[4];
};

/* One event of the thread's list; the first with `fired` is the one that interrupts. */
struct host_event {
  uint8_t is_ours, is_active, fired;
};

/* One record that reached the ring. */
struct host_record {
  uint64_t slot, cpu, size;
  const void *bytes;  /* valid until the next run */
};

/* Empties everything: memory, maps, faults, counters. */
void host_reset(void);
void host_configure(const struct host_config *config);
/* A python_layout; false for a slot that does not exist. */
int host_set_layout(uint32_t slot, const void *layout);
/* The slot of the layout in force. */
void host_set_target(uint32_t slot);
void host_set_thread(const struct host_thread *thread);
void host_set_events(const struct host_event *events, uint32_t count);

/* Makes the pages of the range present (zeros at first) and writes to them. */
void host_write(uint64_t address, const void *bytes, uint64_t count);
/* The pages that touch the range are no longer present. */
void host_remove(uint64_t address, uint64_t count);
/* False where a page is not present. Not counted, never fails otherwise. */
int host_read(uint64_t address, void *bytes, uint64_t count);

/* The `number`th user read of the next run fails; -1: none. */
void host_fail_read(int64_t number);
/* The `number`th output of each run fails with `error`; -1: none. */
void host_fail_output(int64_t number, int64_t error);
/* Every output to the slot fails with `error`; 0: none. */
void host_fail_slot(uint32_t slot, int64_t error);

/* One interrupt. */
void host_run(void);
/* User reads of the last run, and the one with that number. */
uint64_t host_reads(void);
void host_read_at(uint64_t number, uint64_t *address, uint64_t *size);
/* Records of the last run, in order. */
uint64_t host_records(void);
struct host_record host_record_at(uint64_t number);
/* Fills a python_chain_counters of one CPU. */
void host_counters(uint32_t cpu, void *counters);

#endif
