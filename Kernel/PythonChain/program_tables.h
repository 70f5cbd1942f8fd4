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
/* Samples after which the states of a thread that has some are looked for anew. */
#define RECHECK_STATES 1024
/* Samples of one thread on one CPU until the pages of its stack that are known to be present are looked at again. */
#define RECHECK_STACK 256
/* Frames that are followed to the boundary of a loop to see on whose stack it lies. */
#define BOUNDARY_FRAMES 64
/* Frames that are walked beyond those that the record holds. */
#define MAX_WALK 32768
/* Entries at the outermost end of a chain that are kept; a power of two. */
#define TAIL_RING 64
/* What the kernel's copy of a stack certainly reaches, beside pages of our own in the same record. */
#define COPY_REACH 20480
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
  /* So that pages fit behind the last possible entry. */
  uint8_t room[sizeof(struct python_chain_pages) + (PYTHON_CHAIN_STACK_PAGES + 1) * PYTHON_CHAIN_PAGE_BYTES];
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
  uint64_t walk_frame;         /* 3.13: on the way to the boundary of `walk_thread` */
  uint64_t interpreters;       /* a hash over the interpreters and their newest thread states */
  uint64_t interpreter;        /* of the chain that is being walked */
  uint64_t sp;                 /* the thread's stack pointer in user space */
  uint64_t end;                /* of its stack; not above `sp` where it is not known */
  uint64_t far;                /* lowest boundary that the kernel's copy of the stack may not reach; 0: none */
  uint64_t owned[PYTHON_CHAIN_STATES];  /* states with their innermost boundary on this thread's stack */
  uint64_t named[PYTHON_CHAIN_STATES];  /* other states that name this thread as theirs, and have frames */
  uint64_t idle[PYTHON_CHAIN_STATES];   /* those without frames */
  uint64_t states[PYTHON_CHAIN_STATES]; /* whose chains are walked */
  uint64_t skipped_frames;
  uint64_t skipped_loops;
  struct python_chain_frame tail[TAIL_RING]; /* a ring of the entries that were met last */
  uint64_t sequence;           /* of this CPU's samples */
  uint64_t stamp;              /* what a table entry must carry to be valid without a read */
  uint32_t pending[NAMES_PER_SAMPLE]; /* frames whose names are to be handed over */
  uint64_t pending_interpreter[NAMES_PER_SAMPLE];
  uint32_t pending_count;
  uint32_t owned_count, named_count, idle_count, state_count;
  uint32_t chains;             /* written so far */
  uint32_t status;             /* of the first chain that is not whole */
  uint32_t tail_count;         /* entries that were met for the ring */
  uint32_t tail_next;          /* the next one to be moved into the record */
  uint32_t boundary_steps;
  uint32_t by_address;         /* states that name other threads are looked into, too */
  uint32_t running, holds_gil, changed; /* of the states that are known */
  uint32_t is_lent;            /* who holds the GIL has frames here, and was not known */
  uint32_t page_count;         /* pages of the stack in the record */
  uint32_t page_limit;
  uint64_t page_next;
  uint64_t page_last;          /* where the search for a hole ends */
  uint64_t hole;               /* first page of the stack that is not present */
  uint64_t probed_from;        /* from this page to `probed_end` all pages of a stack were present */
  uint64_t probed_end;         /* of the stack of `probed_tid` */
  uint32_t probed_tid;
  uint32_t probed_uses;
  uint64_t loaded;             /* the state in `thread_bytes`; 0: none is known to be there */
  uint64_t gil_interpreter;    /* whose `gil` and `gil_holder` were read; 0: none */
  uint64_t gil;
  uint64_t gil_holder;         /* who holds it, or held it last */
  struct python_chain_pages page_addresses;
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
  uint64_t states[PYTHON_CHAIN_STATES]; /* unused places are 0 */
  uint64_t head;         /* newest thread state */
  uint64_t newest;       /* newest interpreter */
  uint64_t interpreters; /* as in `scratch`; 0 where there is one interpreter only */
  uint32_t layout;
  uint32_t uses;
  uint32_t status; /* why there is no state */
  uint32_t reserved;
};

/* Shared by mapping: written without a system call, so that no interrupt is missed meanwhile. */
struct target_state {
  uint32_t layout;  /* slot of the layout in force; 0: none */
  uint32_t of_cpus; /* the events are those of the CPUs, several of each: none is a duplicate */
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
