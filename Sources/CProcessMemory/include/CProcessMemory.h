/* Reading another process's memory (process_vm_readv(2)); Swift's Glibc module lacks the call. */
#ifndef CPROCESSMEMORY_H
#define CPROCESSMEMORY_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes read (possibly fewer than asked at the end of a mapping), or -errno. */
ssize_t caduceus_read_process_memory(pid_t pid, uint64_t address, void *buffer, size_t size);
#endif
