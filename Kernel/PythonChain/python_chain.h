/*
 * The records and tables that the eBPF program and its readers share. Little-endian, x86-64.
 * The program writes each record as the raw part of one perf sample (perf_event_open(2), PERF_SAMPLE_RAW).
 */
#ifndef PYTHON_CHAIN_H
#define PYTHON_CHAIN_H

#ifndef PYTHON_CHAIN_TYPES
#include <stdint.h>
#endif

#define PYTHON_CHAIN_MAX_FRAMES 1024
/* Entries before the gap where a chain is longer than the record; those of its outermost end follow it. */
#define PYTHON_CHAIN_HEAD_FRAMES 960
/* Thread states of one thread: it may have one for each interpreter, and others lend it theirs. */
#define PYTHON_CHAIN_STATES 6
/* Pages of the stack that a record may carry besides the kernel's copy. */
#define PYTHON_CHAIN_STACK_PAGES 12
#define PYTHON_CHAIN_PAGE_BYTES 4096
#define PYTHON_CHAIN_STACK_CLASSES 4
/* Output slots per CPU: the stack classes, then the event for names. */
#define PYTHON_CHAIN_OUTPUTS 5
#define PYTHON_CHAIN_LAYOUT_SLOTS 64
#define PYTHON_CHAIN_CODE_SLOTS 8192
#define PYTHON_CHAIN_NAME_BYTES 3072
#define PYTHON_CHAIN_QUALNAME_BYTES 512
#define PYTHON_CHAIN_FILENAME_BYTES 512
#define PYTHON_CHAIN_LINETABLE_BYTES 2048

/* First word of every record. */
enum python_chain_kind {
  PYTHON_CHAIN_SAMPLE = 0x50594331,
  PYTHON_CHAIN_NAMES = 0x50594e31,
};

/* Set in a fingerprint of 3.12 and later that is a hash, because the code object has no version. */
#define PYTHON_CHAIN_HASHED 0x8000000000000000ull

/* How the walk over the chain ended. */
enum python_chain_status {
  PYTHON_CHAIN_WHOLE = 0,           /* ended as a whole chain must */
  PYTHON_CHAIN_NO_LAYOUT = 1,       /* no interpreter layout is known (yet) */
  PYTHON_CHAIN_NO_THREAD = 2,       /* no thread state belongs to this thread */
  PYTHON_CHAIN_NO_FRAMES = 3,       /* the thread state has no frame */
  PYTHON_CHAIN_READ_FAULT = 4,      /* a page was not present */
  PYTHON_CHAIN_BAD_CODE = 5,        /* a frame's code pointer is no code object */
  PYTHON_CHAIN_DEPTH_LIMIT = 6,     /* more than PYTHON_CHAIN_MAX_FRAMES entries */
  PYTHON_CHAIN_UNLINKED = 7,        /* a frame without a caller that does not end its loop */
  PYTHON_CHAIN_BOUNDARY = 8,        /* frames and C frames contradict each other */
  PYTHON_CHAIN_THREAD_LIMIT = 9,    /* the list of thread states is too long */
  PYTHON_CHAIN_UNVERIFIED = 10,     /* read from outside: not proven that the thread stood still, so not read */
};

enum python_chain_flags {
  PYTHON_CHAIN_HOLDS_GIL = 1,
  PYTHON_CHAIN_GC_RUNNING = 2,
  PYTHON_CHAIN_STACK_REDUCED = 4,   /* second attempt, with the smallest stack copy */
  PYTHON_CHAIN_EVIDENCE = 8,        /* read from outside: there is evidence that the thread stood still, no proof */
  PYTHON_CHAIN_STACK_END = 16,      /* `stack_end` is set */
  PYTHON_CHAIN_LENT_STATE = 32,     /* the first chain's thread state names another thread as its own */
  PYTHON_CHAIN_HAS_PAGES = 64,      /* pages of the stack follow the entries */
  PYTHON_CHAIN_OTHER_STACK = 128,   /* the stack pointer lies on none of the thread's own (a fiber, a signal's stack) */
};

/* What an entry of the chain is. */
enum python_chain_entry {
  PYTHON_CHAIN_FRAME = 0,
  /* The end of the frames that one evaluation loop runs: `address` lies on the native stack, inside the
   * native frame of that loop (3.11: the C frame record, 3.12 and later: the entry frame). */
  PYTHON_CHAIN_LOOP_END = 1,
  /* The chain of another thread state follows: `address` is the state, `code` its interpreter, `instruction` 1 where
   * the state names another thread as its own. */
  PYTHON_CHAIN_STATE = 2,
  /* Entries that found no room: `code` frames and `instruction` ends of loops. What follows is the outermost end of
   * the chain. */
  PYTHON_CHAIN_GAP = 3,
};

struct python_chain_frame {
  uint64_t address;      /* of the _PyInterpreterFrame; of the boundary object for LOOP_END */
  uint64_t code;         /* f_code or f_executable; for LOOP_END the loop's C frame (3.11, 3.12), else 0 */
  uint64_t instruction;  /* prev_instr or instr_ptr; 0 for LOOP_END */
  uint64_t fingerprint;  /* tells code objects at one address apart; 0: none could be read */
  uint8_t entry;         /* python_chain_entry */
  uint8_t owner;         /* enum _frameowner */
  uint8_t is_entry;      /* 3.11: is_entry */
  uint8_t reserved[5];
};

struct python_chain_sample {
  uint32_t kind;         /* PYTHON_CHAIN_SAMPLE */
  uint32_t size;         /* bytes used, this header included */
  uint32_t layout;       /* slot of the layout that was used; 0: none */
  uint32_t status;       /* python_chain_status */
  uint32_t flags;        /* python_chain_flags */
  uint32_t frame_count;  /* entries that follow, innermost first */
  uint32_t tid;          /* thread id in the target's pid namespace */
  uint32_t names_pending; /* code objects of the chain whose names were not handed over yet */
  uint64_t thread_state; /* PyThreadState; 0: none found */
  uint64_t interpreter;  /* PyInterpreterState; 0: none found */
  uint64_t stack_end;    /* where the thread's stack ends, by its control block or the program's arguments */
  uint64_t generation;   /* the interpreter's code version counter; 0: not readable */
};

/* Follows the entries where PYTHON_CHAIN_HAS_PAGES is set; behind it the pages themselves, in the same order. */
struct python_chain_pages {
  uint64_t count;
  uint64_t addresses[PYTHON_CHAIN_STACK_PAGES];
};

/* The strings of one code object, handed over at first sight. Characters follow the header:
 * qualified name, file name, line table, without padding. */
struct python_chain_names {
  uint32_t kind;         /* PYTHON_CHAIN_NAMES */
  uint32_t size;         /* bytes used, this header included */
  uint32_t layout;
  uint32_t first_line;   /* co_firstlineno */
  uint64_t code;
  uint64_t fingerprint;
  uint64_t interpreter;
  uint32_t code_units;   /* Py_SIZE: length of the code in 2-byte units */
  uint32_t first_traceable; /* _co_firsttraceable, in 2-byte units */
  uint32_t qualname_length; /* characters in the string, not bytes */
  uint32_t qualname_bytes;  /* bytes that follow; less than the string where it was cut */
  uint32_t filename_length;
  uint32_t filename_bytes;
  uint32_t linetable_length;
  uint32_t linetable_bytes;
  uint8_t qualname_kind; /* bytes per character: 1 Latin-1, 2 UCS-2, 4 UCS-4; 0: not readable */
  uint8_t filename_kind;
  uint8_t reserved[6];
};

/* Where one interpreter keeps what the program reads. Offsets in bytes. Slot 0 is never used. */
struct python_layout {
  uint32_t minor;                 /* 11, 12, 13 */
  uint32_t flags;                 /* reserved, 0 */
  uint64_t runtime;               /* address of _PyRuntime */
  uint64_t code_type;             /* address of PyCode_Type */
  uint64_t next_version_address;  /* absolute address of the code version counter; 0: see the offset */
  uint32_t interpreter_next_version; /* offset in the interpreter state; 0: no counter */
  uint32_t runtime_interpreters_head;
  uint32_t runtime_tstate_current;   /* 3.11: GIL holder; else 0 */
  uint32_t interpreter_next;
  uint32_t interpreter_threads_head;
  uint32_t interpreter_gc_collecting;
  uint32_t interpreter_ceval_gil;    /* 3.12, 3.13: pointer to the GIL; else 0 */
  uint32_t gil_last_holder;
  uint32_t gil_locked;
  uint32_t thread_next;
  uint32_t thread_interp;
  uint32_t thread_native_id;
  uint32_t thread_frame;             /* 3.13: current_frame; 3.11, 3.12: cframe */
  uint32_t thread_root_cframe;       /* 3.11, 3.12; else 0 */
  uint32_t thread_status;            /* 3.13: word with the holds_gil bit */
  uint32_t thread_holds_gil_mask;
  uint32_t cframe_current_frame;
  uint32_t cframe_previous;
  uint32_t frame_executable;
  uint32_t frame_previous;
  uint32_t frame_instruction;
  uint32_t frame_owner;
  uint32_t frame_is_entry;           /* 3.11; else 0 */
  uint32_t code_version;             /* co_version; 0 where there is none */
  uint32_t code_filename;
  uint32_t code_qualname;
  uint32_t code_linetable;
  uint32_t code_firstlineno;
  uint32_t code_firsttraceable;
  uint32_t code_size;                /* ob_size */
  uint32_t object_type;              /* ob_type */
  uint32_t bytes_size;
  uint32_t bytes_value;
  uint32_t unicode_length;
  uint32_t unicode_hash;
  uint32_t unicode_state;
  uint32_t unicode_ascii_data;
  uint32_t unicode_compact_data;
  uint32_t reserved;
};

/* Counters of one CPU; only ever increased. */
struct python_chain_counters {
  uint64_t runs;
  uint64_t filtered;         /* other processes, and duplicates */
  uint64_t duplicates;       /* not the first of our events in this thread */
  uint64_t emitted;
  uint64_t ring_full;        /* samples lost for want of room */
  uint64_t ring_full_attempts;
  uint64_t reduced;          /* samples kept only with the smallest stack copy */
  uint64_t output_errors;
  uint64_t last_output_error; /* negative errno */
  uint64_t names_emitted;
  uint64_t names_lost;
  uint64_t thread_walks;
  uint64_t duplicate_tid;    /* thread of the last duplicate, in the target's pid namespace */
  uint64_t reserved[19];
};

#define PYTHON_CHAIN_CHECK(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
PYTHON_CHAIN_CHECK(struct python_chain_frame, 40);
PYTHON_CHAIN_CHECK(struct python_chain_sample, 64);
PYTHON_CHAIN_CHECK(struct python_chain_pages, 104);
PYTHON_CHAIN_CHECK(struct python_chain_names, 80);
PYTHON_CHAIN_CHECK(struct python_layout, 192);
PYTHON_CHAIN_CHECK(struct python_chain_counters, 256);

#endif
