/*
 * What the eBPF program's sources need from libbpf where they are compiled for user space. Whoever includes it says what
 * BPF_CORE_READ and TASK_READ are, and defines the helpers.
 */
#ifndef PYTHON_CHAIN_USER_SPACE_H
#define PYTHON_CHAIN_USER_SPACE_H

#include "kernel_types.h"

/* libbpf: bpf_helpers.h, bpf_core_read.h */
#undef __always_inline
#define __always_inline inline __attribute__((always_inline, unused))
#define __noinline __attribute__((noinline, unused))
#define SEC(name)
#define __uint(name, value) int (*name)[value]
#define __type(name, of) __typeof__(of) *name
#define bpf_core_field_offset(type, field) __builtin_offsetof(type, field)

/* Constants to the kernel, variables here. */
#define FIXED volatile

static void *bpf_map_lookup_elem(void *map, const void *key);
static long bpf_map_update_elem(void *map, const void *key, const void *value, uint64_t flags);
static long bpf_probe_read_user(void *to, uint32_t size, const void *from);
static long bpf_probe_read_kernel(void *to, uint32_t size, const void *from);
static long bpf_loop(uint32_t count, long (*step)(uint32_t, void *), void *context, uint64_t flags);
static long bpf_perf_event_output(void *context, void *map, uint64_t flags, void *record, uint64_t size);
static uint32_t bpf_get_smp_processor_id(void);
static struct task_struct *bpf_get_current_task_btf(void);
static long bpf_task_pt_regs(struct task_struct *task);

#endif
