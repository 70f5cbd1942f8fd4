/*
 * The walk of the eBPF program (Kernel/PythonChain), compiled for user space: it reads the target by
 * process_vm_readv(2) and gives the same record. What is read is true only where the caller knows that the thread
 * stood still meanwhile. And the few calls that make a thread fit to do it in time.
 */
#ifndef CCHAINREADER_H
#define CCHAINREADER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Working memory of one reading thread: not to be shared. */
struct chain_reader;

/* NULL without memory. */
struct chain_reader *chain_reader_make(void);
void chain_reader_free(struct chain_reader *reader);

/* Begins one sample: everything that was read before is forgotten. */
void chain_reader_begin(struct chain_reader *reader, pid_t process);

/* Reads up to `size` bytes of the thread's stack, at most 65536, into memory of the reader; later reads of these
 * addresses are served from there. Gives the bytes (valid until the next begin) and how many there are. */
const void *chain_reader_stack(struct chain_reader *reader, uint64_t address, size_t size, size_t *count);

/* Walks the chain of thread `tid` (as the target numbers it) by a python_layout, which samples call `slot`; 0: no
 * layout is known. `flags`: python_chain_flags to be set. Gives a python_chain_sample with its frames, valid until the
 * next begin. */
const void *chain_reader_walk(struct chain_reader *reader, const void *layout, uint32_t slot, uint32_t tid,
                              uint32_t flags, size_t *size);

/* The python_chain_names records that the walk would hand over, by number; NULL behind the last. */
const void *chain_reader_names(const struct chain_reader *reader, uint32_t number, size_t *size);

/* That record found no room: it is handed over again by the next walk that meets its code object. */
void chain_reader_keep_names(struct chain_reader *reader, uint32_t number);

/* The walk was not proven: what it taught about code objects is forgotten, and its names were not handed over. */
void chain_reader_discard(struct chain_reader *reader);

/* Calls of process_vm_readv since the last begin. */
uint32_t chain_reader_calls(const struct chain_reader *reader);

/* Thread ids are the kernel's, 0 is the calling thread; each returns 0 or -errno. */
/* One CPU only. */
int caduceus_pin_to_cpu(pid_t thread, int cpu);
/* Any CPU. */
int caduceus_unpin(pid_t thread);
/* SCHED_FIFO, lowest priority; threads it creates are of the normal class. */
int caduceus_become_realtime(void);
/* Normal class, with a short slice, so that it is soon chosen after a wake-up: 1; 0 where the kernel has no such slices
 * (before Linux 6.12); -errno. */
int caduceus_become_normal(pid_t thread);
/* The kernel's number of the calling thread. */
pid_t caduceus_thread_id(void);
/* CPU time of the calling thread in nanoseconds. */
uint64_t caduceus_thread_cpu_time(void);
/* An eventfd(2), or -errno. */
int caduceus_open_notice(void);

#endif
