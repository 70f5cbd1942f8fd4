/*
 * What python_chain.bpf.c needs from libbpf and the kernel, as plain C. HostPythonChain.c, which includes both,
 * defines the helpers.
 */
#ifndef HOST_KERNEL_H
#define HOST_KERNEL_H

#include "../../Kernel/PythonChain/user_space.h"

/* The kernel reads 0 through a null pointer. */
#define HOST_READ_1(from, a) ((from) ? (from)->a : 0)
#define HOST_READ_2(from, a, b) ((from) && (from)->a ? (from)->a->b : 0)
#define TASK_READ(task, pointer, field) HOST_READ_2(task, pointer, field)
#define HOST_READ_NAME(one, two, name, ...) name
#define BPF_CORE_READ(from, ...) HOST_READ_NAME(__VA_ARGS__, HOST_READ_2, HOST_READ_1, 0)(from, __VA_ARGS__)

static long bpf_get_ns_current_pid_tgid(uint64_t device, uint64_t inode, struct bpf_pidns_info *id, uint32_t size);

#endif
