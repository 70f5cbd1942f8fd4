/*
 * The few types the eBPF program needs from the kernel. Fields of kernel structures are located by CO-RE
 * (the running kernel's BTF), so only their names and types are stated here, not their places.
 */
#ifndef KERNEL_TYPES_H
#define KERNEL_TYPES_H

#ifdef PYTHON_CHAIN_HOST
#include <stdint.h>
#define KERNEL_TYPE
#else
#define KERNEL_TYPE __attribute__((preserve_access_index))
#define PYTHON_CHAIN_TYPES
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef int int32_t;
typedef unsigned long long uint64_t;
typedef long long int64_t;

/* What libbpf's helper declarations expect. */
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef int32_t __s32;
typedef uint64_t __u64;
typedef int64_t __s64;
typedef uint16_t __be16;
typedef uint32_t __be32;
typedef uint32_t __wsum;
#endif

/* include/uapi/linux/bpf.h */
enum { BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4, BPF_MAP_TYPE_LRU_HASH = 9 };
enum { BPF_F_MMAPABLE = 1 << 10 };
struct bpf_pidns_info {
  uint32_t pid;
  uint32_t tgid;
};

/* arch/x86/include/asm/ptrace.h: the registers as the context shows them, in words. */
enum { REGISTER_CS = 17, REGISTER_SP = 19 };
struct bpf_perf_event_data {
  uint64_t registers[21];
  uint64_t sample_period;
  uint64_t addr;
};

struct list_head {
  struct list_head *next, *prev;
} KERNEL_TYPE;
struct bpf_prog;
enum perf_event_state { PERF_EVENT_STATE_OFF = -1, PERF_EVENT_STATE_ACTIVE = 1 };
struct perf_event_context {
  struct list_head event_list;
} KERNEL_TYPE;
struct perf_event {
  struct list_head event_entry;
  enum perf_event_state state;
  struct perf_event_context *ctx;
  struct bpf_prog *prog;
} KERNEL_TYPE;
/* include/linux/perf_event.h: what a perf event program's context really is. */
struct bpf_perf_event_data_kern {
  void *regs;
  void *data;
  struct perf_event *event;
} KERNEL_TYPE;
struct thread_struct {
  unsigned long fsbase;
} KERNEL_TYPE;
struct mm_struct {
  unsigned long start_stack;
} KERNEL_TYPE;
/* include/uapi/asm-generic/resource.h */
enum { RLIMIT_STACK = 3, RLIM_NLIMITS = 16 };
struct rlimit {
  unsigned long rlim_cur;
} KERNEL_TYPE;
struct signal_struct {
  struct rlimit rlim[RLIM_NLIMITS];
} KERNEL_TYPE;
struct task_struct {
  struct thread_struct thread;
  struct mm_struct *mm;
  struct signal_struct *signal;
} KERNEL_TYPE;
struct pt_regs {
  unsigned long words[21];
};

#endif
