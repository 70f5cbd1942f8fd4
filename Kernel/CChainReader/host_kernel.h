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

#include "../PythonChain/user_space.h"

/* Only what chooses stacks and finds duplicate events reads the kernel; neither is called here. */
#define BPF_CORE_READ(from, ...) (0)
#define TASK_READ(task, pointer, field) (0)

#endif
