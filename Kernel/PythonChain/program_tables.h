/* The limits, working memory and maps of the eBPF program. */
#ifndef PROGRAM_TABLES_H
#define PROGRAM_TABLES_H

#include "python_chain.h"

#define ENOSPC 28
#define PAGE_BYTES 4096
#define PAGE_SLOTS 4
#define FRAME_BYTES 80
#define CODE_BYTES 144
#define THREAD_BYTES 176
#define STRING_BYTES 24
#define MAX_THREADS 4096
#define NAMES_PER_SAMPLE 16
#define NAMED_FRAMES 96
#define RECHECK_NO_THREAD 64
/* Keeps the compiler from proving away the bounds that the verifier needs to see. */
#define HIDE(value) __asm__ volatile("" : "+r"(value))

/* Fixed before loading. */
FIXED struct {
  uint64_t namespace_device; /* pid namespace of the target: kernel dev_t and inode of its nsfs file */
  uint64_t namespace_inode;
  uint32_t tgid;             /* of the target, in that namespace */
  uint32_t main_thread_only;
  uint32_t cpu_count;
  uint32_t stack_bytes[PYTHON_CHAIN_STACK_CLASSES]; /* ascending; 0: class not in use */
  uint32_t keep_sample;      /* the clock event writes its own sample, too: for comparison */
} config;

/* Bytes reserved around each string read, so that masked offsets stay inside. */
struct names_record {
  struct python_chain_names header;
  uint8_t text[8192];
};

struct sample_record {
  struct python_chain_sample header;
  struct python_chain_frame frames[PYTHON_CHAIN_MAX_FRAMES];
};

/* Working memory of one CPU: interrupts of cpu-clock events cannot nest. */
struct scratch {
  struct sample_record sample;
  uint8_t page[PAGE_SLOTS][PAGE_BYTES + 128];
  uint64_t page_address[PAGE_SLOTS]; /* page | 1 when the slot holds it */
  uint64_t page_touched[PAGE_SLOTS]; /* page from which one frame was read */
  uint64_t frame_bytes[FRAME_BYTES / 8];
  struct names_record names;
  uint64_t thread_bytes[THREAD_BYTES / 8 + 1];
  uint64_t code_bytes[CODE_BYTES / 8 + 2];
  uint64_t string_bytes[STRING_BYTES / 8];
  uint64_t table_bytes[10];
  uint64_t tail_bytes[9];
  uint64_t filename;           /* whose length and last bytes the next fields hold */
  uint64_t filename_length;
  uint64_t filename_bytes[8];
  uint64_t frame;              /* next frame to visit */
  uint64_t c_frame;
  uint64_t c_frame_fields[2];  /* current_frame, previous of the C frame */
  uint64_t walk_interpreter;
  uint64_t walk_thread;
  uint64_t found_thread;
  uint64_t sequence;           /* of this CPU's samples */
  uint64_t stamp;              /* what a table entry must carry to be valid without a read */
  uint32_t pending[NAMES_PER_SAMPLE]; /* frames whose names are to be handed over */
  uint32_t pending_count;
  uint32_t first_thread;
};

/* What is known about a code address, per CPU. */
struct code_entry {
  uint64_t code;
  uint64_t interpreter;
  uint64_t fingerprint;
  uint64_t stamp;
  uint64_t handed_over; /* fingerprint whose names were written to the ring */
  uint64_t asked;       /* sample that last asked for them */
};

struct thread_entry {
  uint64_t thread_state; /* 0: none, as long as `head` is the newest thread state */
  uint64_t head;
  uint32_t layout;
  uint32_t uses;
  uint32_t status; /* why there is none */
  uint32_t reserved;
};

/* Shared by mapping: written without a system call, so that no interrupt is missed meanwhile. */
struct target_state {
  uint32_t layout; /* slot of the layout in force; 0: none */
  uint32_t reserved;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, uint32_t);
  __type(value, struct scratch);
} scratches SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, PYTHON_CHAIN_CODE_SLOTS);
  __type(key, uint32_t);
  __type(value, struct code_entry);
} codes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, uint32_t);
  __type(value, struct thread_entry);
} threads SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, uint32_t);
  __type(value, struct python_chain_counters);
} counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, PYTHON_CHAIN_LAYOUT_SLOTS);
  __type(key, uint32_t);
  __type(value, struct python_layout);
} layouts SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, uint32_t);
  __type(value, struct target_state);
} target SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(max_entries, PYTHON_CHAIN_OUTPUTS);
  __type(key, uint32_t);
  __type(value, uint32_t);
} outputs SEC(".maps");

struct visit {
  struct scratch *s;
  const struct python_layout *l;
};

#endif
