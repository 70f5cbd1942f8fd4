/*
 * What python_chain.bpf.c needs from libbpf and the kernel, as plain C. HostPythonChain.c, which includes both,
 * defines the helpers.
 */
#ifndef HOST_KERNEL_H
#define HOST_KERNEL_H

#include "../../Kernel/PythonChain/kernel_types.h"

/* libbpf: bpf_helpers.h, bpf_core_read.h */
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define SEC(name)
#define __uint(name, value) int (*name)[value]
#define __type(name, of) __typeof__(of) *name
#define bpf_core_field_offset(type, field) __builtin_offsetof(type, field)
/* The kernel reads 0 through a null pointer. */
#define HOST_READ_1(from, a) ((from) ? (from)->a : 0)
#define HOST_READ_2(from, a, b) ((from) && (from)->a ? (from)->a->b : 0)
#define HOST_READ_NAME(one, two, name, ...) name
#define BPF_CORE_READ(from, ...) HOST_READ_NAME(__VA_ARGS__, HOST_READ_2, HOST_READ_1, 0)(from, __VA_ARGS__)

/* Constants to the kernel, set by each test here. */
#define FIXED volatile

static void *bpf_map_lookup_elem(void *map, const void *key);
static long bpf_map_update_elem(void *map, const void *key, const void *value, uint64_t flags);
static long bpf_probe_read_user(void *to, uint32_t size, const void *from);
static long bpf_probe_read_kernel(void *to, uint32_t size, const void *from);
static long bpf_loop(uint32_t count, long (*step)(uint32_t, void *), void *context, uint64_t flags);
static long bpf_perf_event_output(void *context, void *map, uint64_t flags, void *record, uint64_t size);
static uint32_t bpf_get_smp_processor_id(void);
static long bpf_get_ns_current_pid_tgid(uint64_t device, uint64_t inode, struct bpf_pidns_info *id, uint32_t size);
static struct task_struct *bpf_get_current_task_btf(void);
static long bpf_task_pt_regs(struct task_struct *task);

#endif
