/*
 * What the eBPF program's sources need from libbpf and the kernel, in user space. chain_reader.c, which includes
 * both, defines the helpers.
 */
#ifndef HOST_KERNEL_H
#define HOST_KERNEL_H

/* The sources' own names, kept apart from those of any other program that is made of them. */
#define hash_code chain_reader_hash_code
#define identify chain_reader_identify
#define copy_string chain_reader_copy_string
#define fill_names chain_reader_fill_names
#define scratches chain_reader_scratches
#define codes chain_reader_codes
#define threads chain_reader_threads
#define counters chain_reader_counters
#define layouts chain_reader_layouts
#define target chain_reader_target
#define outputs chain_reader_outputs
#define config chain_reader_config

#include "../PythonChain/kernel_types.h"

/* libbpf: bpf_helpers.h, bpf_core_read.h */
#undef __always_inline
#define __always_inline inline __attribute__((always_inline, unused))
#define __noinline __attribute__((noinline, unused))
#define SEC(name)
#define __uint(name, value) int (*name)[value]
#define __type(name, of) __typeof__(of) *name
#define bpf_core_field_offset(type, field) __builtin_offsetof(type, field)
/* Only what chooses stacks and finds duplicate events reads the kernel; neither is called here. */
#define BPF_CORE_READ(from, ...) (0)

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
