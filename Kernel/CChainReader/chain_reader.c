#define _GNU_SOURCE
#include "CChainReader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define PYTHON_CHAIN_HOST
#include "host_kernel.h"

#include "../PythonChain/frame_chain.h"
#include "../PythonChain/sample_output.h"
#include "../PythonChain/stack_pages.h"
#include "../PythonChain/thread_states.h"

#define STACK_BYTES 65536
#define READ_PAGES 128     /* a power of two */
/* One walk is bounded: it is done while the thread's CPU waits. */
#define MAXIMUM_CALLS 4096
#define THREAD_SLOTS 4096  /* a power of two */
#define THREAD_PROBES 8

struct known_thread {
  uint32_t tid, used;
  struct thread_entry entry;
};

struct chain_reader {
  pid_t process;
  uint32_t epoch;  /* of this sample: pages read before are stale */
  uint32_t calls;
  uint64_t stack_address, stack_count;
  uint32_t names_count;
  uint32_t names_size[NAMES_PER_SAMPLE];
  uint64_t page_address[READ_PAGES];
  uint32_t page_epoch[READ_PAGES];
  struct known_thread known[THREAD_SLOTS];
  struct code_entry code[PYTHON_CHAIN_CODE_SLOTS];
  struct scratch scratch;
  struct names_record staged[NAMES_PER_SAMPLE];
  struct python_chain_counters counts;
  uint8_t page[READ_PAGES][PAGE_BYTES];
  uint8_t stack[STACK_BYTES];
};

/* The helpers have no argument for it. */
static _Thread_local struct chain_reader *current;

struct chain_reader *chain_reader_make(void) {
  struct chain_reader *reader = aligned_alloc(PAGE_BYTES, (sizeof *reader + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ul));
  /* Touched now, not in the first samples. */
  if (reader) memset(reader, 0, sizeof *reader);
  config.cpu_count = 1;
  return reader;
}

void chain_reader_free(struct chain_reader *reader) { free(reader); }

static ssize_t read_process(struct chain_reader *r, void *to, uint64_t from, size_t size) {
  struct iovec local = {to, size}, remote = {(void *)from, size};
  r->calls++;
  return process_vm_readv(r->process, &local, 1, &remote, 1, 0);
}

/* The page with that address, read at most once per sample. */
static const uint8_t *page_at(struct chain_reader *r, uint64_t address) {
  uint64_t number = address / PAGE_BYTES;
  uint32_t slot = (uint32_t)((number * 0x9E3779B97F4A7C15ull) >> 57) & (READ_PAGES - 1);
  if (r->page_address[slot] != address || r->page_epoch[slot] != r->epoch) {
    if (r->calls >= MAXIMUM_CALLS) return 0;
    r->page_epoch[slot] = r->epoch - 1;
    if (read_process(r, r->page[slot], address, PAGE_BYTES) != PAGE_BYTES) return 0;
    r->page_address[slot] = address;
    r->page_epoch[slot] = r->epoch;
  }
  return r->page[slot];
}

/* The helpers. */

static long bpf_probe_read_user(void *to, uint32_t size, const void *from) {
  struct chain_reader *r = current;
  uint64_t address = (uint64_t)from, inside = address - r->stack_address;
  uint8_t *at = to;
  if (inside < r->stack_count && size <= r->stack_count - inside) {
    memcpy(to, r->stack + inside, size);
    return 0;
  }
  if (address + size < address) goto fault;
  for (uint32_t rest = size; rest;) {
    uint32_t offset = address % PAGE_BYTES, part = PAGE_BYTES - offset < rest ? PAGE_BYTES - offset : rest;
    const uint8_t *page = page_at(r, address - offset);
    if (!page) goto fault;
    memcpy(at, page + offset, part);
    at += part;
    address += part;
    rest -= part;
  }
  return 0;
fault:
  memset(to, 0, size); /* as the kernel does */
  return -EFAULT;
}

static long bpf_probe_read_kernel(void *to, uint32_t size, const void *from) {
  (void)from;
  memset(to, 0, size);
  return -EFAULT;
}

/* Where a thread is or could be remembered. */
static struct known_thread *thread_slot(uint32_t tid, int add) {
  struct chain_reader *r = current;
  uint32_t hash = tid * 0x9E3779B9u >> 20;
  struct known_thread *oldest = 0;
  for (uint32_t i = 0; i < THREAD_PROBES; i++) {
    struct known_thread *slot = &r->known[(hash + i) & (THREAD_SLOTS - 1)];
    if (slot->tid == tid) return slot;
    if (!oldest || slot->used < oldest->used) oldest = slot;
  }
  return add ? oldest : 0;
}

static void *bpf_map_lookup_elem(void *map, const void *key) {
  uint32_t index = *(const uint32_t *)key;
  if (map == &codes) return index < PYTHON_CHAIN_CODE_SLOTS ? &current->code[index] : 0;
  if (map != &threads) return 0;
  struct known_thread *slot = thread_slot(index, 0);
  if (!slot) return 0;
  slot->used = current->epoch;
  return &slot->entry;
}

static long bpf_map_update_elem(void *map, const void *key, const void *value, uint64_t flags) {
  (void)flags;
  if (map != &threads) return -EINVAL;
  struct known_thread *slot = thread_slot(*(const uint32_t *)key, 1);
  slot->tid = *(const uint32_t *)key;
  slot->used = current->epoch;
  slot->entry = *(const struct thread_entry *)value;
  return 0;
}

static long bpf_loop(uint32_t count, long (*step)(uint32_t, void *), void *context, uint64_t flags) {
  (void)flags;
  for (uint32_t i = 0; i < count; i++)
    if (step(i, context)) return i + 1;
  return count;
}

/* Only names are handed over this way; the sample itself is left in the working memory. */
static long bpf_perf_event_output(void *context, void *map, uint64_t flags, void *record, uint64_t size) {
  struct chain_reader *r = current;
  (void)context;
  if (map != &outputs || flags != PYTHON_CHAIN_STACK_CLASSES) return -EINVAL;
  if (r->names_count >= NAMES_PER_SAMPLE || size > sizeof r->staged[0]) return -ENOSPC;
  memcpy(&r->staged[r->names_count], record, size);
  r->names_size[r->names_count++] = (uint32_t)size;
  return 0;
}

static uint32_t bpf_get_smp_processor_id(void) { return 0; }
static struct task_struct *bpf_get_current_task_btf(void) { return 0; }
static long bpf_task_pt_regs(struct task_struct *task) {
  (void)task;
  return 0;
}

/* The reader's side. */

void chain_reader_begin(struct chain_reader *r, pid_t process) {
  r->process = process;
  /* 0 is the epoch of a page that was never read. */
  if (++r->epoch < 2) {
    memset(r->page_address, 0, sizeof r->page_address);
    memset(r->page_epoch, 0, sizeof r->page_epoch);
    r->epoch = 2;
  }
  r->calls = 0;
  r->stack_count = 0;
  r->names_count = 0;
  r->scratch.sample.header.frame_count = 0;
}

const void *chain_reader_stack(struct chain_reader *r, uint64_t address, size_t size, size_t *count) {
  if (size > sizeof r->stack) size = sizeof r->stack;
  ssize_t read = size ? read_process(r, r->stack, address, size) : 0;
  r->stack_address = address;
  r->stack_count = read > 0 ? (uint64_t)read : 0;
  *count = r->stack_count;
  return r->stack;
}

const void *chain_reader_walk(struct chain_reader *r, const void *layout, uint32_t slot, uint32_t tid,
                              uint32_t flags, size_t *size) {
  struct scratch *s = &r->scratch;
  struct python_chain_sample *header = &s->sample.header;
  struct visit v = {.s = s, .l = slot ? layout : 0};
  current = r;
  memset(header, 0, sizeof *header);
  header->kind = PYTHON_CHAIN_SAMPLE;
  header->tid = tid;
  header->layout = slot;
  header->status = PYTHON_CHAIN_NO_LAYOUT;
  s->pending_count = 0;
  s->page_count = 0;
  s->far = 0;
  /* What could be read in one piece from the stack pointer on is this thread's, or nobody's. */
  s->sp = r->stack_address;
  s->end = r->stack_address + r->stack_count;
  if (v.l) {
    read_chains(&v, &r->counts);
    /* The copy has no holes here: reading made the pages present. */
    s->end = 0;
    add_pages(&v, r->stack_count);
    hand_over_names(0, &v, &r->counts);
  }
  header->flags |= flags;
  header->size = pages_offset(s);
  if (header->flags & PYTHON_CHAIN_HAS_PAGES)
    header->size += sizeof(struct python_chain_pages) + s->page_count * PYTHON_CHAIN_PAGE_BYTES;
  *size = header->size;
  return &s->sample;
}

const void *chain_reader_names(const struct chain_reader *r, uint32_t number, size_t *size) {
  if (number >= r->names_count) return 0;
  *size = r->names_size[number];
  return &r->staged[number];
}

void chain_reader_keep_names(struct chain_reader *r, uint32_t number) {
  if (number >= r->names_count) return;
  current = r;
  struct code_entry *entry = entry_for(r->staged[number].header.code);
  if (entry) entry->handed_over = 0;
}

void chain_reader_discard(struct chain_reader *r) {
  current = r;
  for (uint32_t i = 0; i < r->scratch.sample.header.frame_count; i++) {
    struct code_entry *entry = entry_for(r->scratch.sample.frames[i].code);
    if (entry) memset(entry, 0, sizeof *entry);
  }
  for (uint32_t i = 0; i < r->names_count; i++) {
    struct code_entry *entry = entry_for(r->staged[i].header.code);
    if (entry) memset(entry, 0, sizeof *entry);
  }
  struct known_thread *slot = thread_slot(r->scratch.sample.header.tid, 0);
  if (slot) memset(slot, 0, sizeof *slot);
  r->names_count = 0;
}

uint32_t chain_reader_calls(const struct chain_reader *r) { return r->calls; }
