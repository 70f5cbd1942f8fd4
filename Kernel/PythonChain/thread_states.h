/* From a thread to its thread state and its first frame. */
#ifndef THREAD_STATES_H
#define THREAD_STATES_H

#include "frame_chain.h"

/* One step through the lists of interpreters and thread states. */
static long visit_thread(uint32_t iteration, void *context) {
  struct visit *v = context;
  struct scratch *s = v->s;
  const struct python_layout *l = v->l;
  uint64_t value = 0;
  (void)iteration;
  if (!s->walk_thread) {
    if (!s->walk_interpreter) return 1;
    if (bpf_probe_read_user(&s->walk_thread, 8, (const void *)(s->walk_interpreter + l->interpreter_threads_head)))
      goto fault;
    if (bpf_probe_read_user(&value, 8, (const void *)(s->walk_interpreter + l->interpreter_next))) goto fault;
    s->walk_interpreter = value;
    return 0;
  }
  if (bpf_probe_read_user(s->thread_bytes, THREAD_BYTES, (const void *)s->walk_thread)) goto fault;
  if ((uint32_t)word_at(s->thread_bytes, l->thread_native_id, THREAD_BYTES) == s->sample.header.tid) {
    uint64_t frame = word_at(s->thread_bytes, l->thread_frame, THREAD_BYTES);
    if (l->minor < 13 && frame && bpf_probe_read_user(&frame, 8, (const void *)(frame + l->cframe_current_frame)))
      goto fault;
    if (frame || !s->found_thread) s->found_thread = s->walk_thread;
    if (frame) return 1;
  }
  s->walk_thread = word_at(s->thread_bytes, l->thread_next, THREAD_BYTES);
  return 0;
fault:
  s->sample.header.status = PYTHON_CHAIN_READ_FAULT;
  return 1;
}

/* This thread's state, by the lists. Where there is none the status says why. */
static __always_inline uint64_t walk_threads(struct visit *v, struct python_chain_counters *c) {
  struct scratch *s = v->s;
  c->thread_walks++;
  s->walk_thread = 0;
  s->walk_interpreter = 0;
  s->found_thread = 0;
  if (bpf_probe_read_user(&s->walk_interpreter, 8, (const void *)(v->l->runtime + v->l->runtime_interpreters_head))) {
    s->sample.header.status = PYTHON_CHAIN_READ_FAULT;
    return 0;
  }
  long steps = bpf_loop(MAX_THREADS, visit_thread, v, 0);
  if (s->sample.header.status != PYTHON_CHAIN_WHOLE) return 0;
  if (!s->found_thread)
    s->sample.header.status = steps >= MAX_THREADS ? PYTHON_CHAIN_THREAD_LIMIT : PYTHON_CHAIN_NO_THREAD;
  return s->found_thread;
}

/* The newest thread state of the newest interpreter: changes whenever a thread state is added. */
static __always_inline uint64_t newest_thread(const struct python_layout *l) {
  uint64_t interpreter = 0, head = 0;
  if (bpf_probe_read_user(&interpreter, 8, (const void *)(l->runtime + l->runtime_interpreters_head))) return 0;
  if (!interpreter) return 0;
  if (bpf_probe_read_user(&head, 8, (const void *)(interpreter + l->interpreter_threads_head))) return 0;
  return head;
}

/* Loads the thread state into `thread_bytes` when it still belongs to this thread. */
static __always_inline int load_thread(struct scratch *s, const struct python_layout *l, uint64_t thread) {
  if (!thread) return 0;
  if (bpf_probe_read_user(s->thread_bytes, THREAD_BYTES, (const void *)thread)) return 0;
  return (uint32_t)word_at(s->thread_bytes, l->thread_native_id, THREAD_BYTES) == s->sample.header.tid;
}

/* Sets `frame` (and `c_frame`) to the innermost frame of the loaded thread state; false when it has none. */
static __always_inline int first_frame(struct scratch *s, const struct python_layout *l, uint64_t thread) {
  uint64_t first = word_at(s->thread_bytes, l->thread_frame, THREAD_BYTES);
  s->frame = 0;
  s->c_frame = 0;
  if (l->minor >= 13) {
    s->frame = first;
    return first != 0;
  }
  s->sample.header.c_frame = first;
  s->c_frame = first;
  if (!first || first == thread + l->thread_root_cframe) return 0;
  if (read_c_frame(s, l)) {
    s->sample.header.status = PYTHON_CHAIN_READ_FAULT;
    return 0;
  }
  s->frame = s->c_frame_fields[0];
  if (!s->frame) s->sample.header.status = PYTHON_CHAIN_BOUNDARY;
  return s->frame != 0;
}

/* Finds this thread's state and its first frame; the header says what was found. */
static __always_inline int find_thread(struct visit *v, struct python_chain_counters *c) {
  struct scratch *s = v->s;
  const struct python_layout *l = v->l;
  uint32_t tid = s->sample.header.tid;
  struct thread_entry *known = bpf_map_lookup_elem(&threads, &tid);
  uint64_t thread = 0;
  s->sample.header.status = PYTHON_CHAIN_WHOLE;
  if (known && known->layout == s->sample.header.layout) {
    if (known->thread_state) {
      if (load_thread(s, l, known->thread_state)) {
        thread = known->thread_state;
        if (first_frame(s, l, thread)) goto found;
        if (s->sample.header.status != PYTHON_CHAIN_WHOLE) goto found;
      }
    } else if (known->uses++ < RECHECK_NO_THREAD && known->head == newest_thread(l)) {
      s->sample.header.status = known->status;
      return 0;
    }
  }
  s->sample.header.c_frame = 0;
  struct thread_entry fresh = {.layout = s->sample.header.layout};
  fresh.head = newest_thread(l);
  thread = walk_threads(v, c);
  /* A fault says nothing about the next sample. */
  if (s->sample.header.status == PYTHON_CHAIN_READ_FAULT) return 0;
  fresh.thread_state = thread;
  fresh.status = s->sample.header.status;
  bpf_map_update_elem(&threads, &tid, &fresh, 0);
  if (!thread) return 0;
  if (!load_thread(s, l, thread)) { /* it was just there */
    s->sample.header.status = PYTHON_CHAIN_READ_FAULT;
    return 0;
  }
  first_frame(s, l, thread);
found:
  s->sample.header.thread_state = thread;
  s->sample.header.interpreter = word_at(s->thread_bytes, l->thread_interp, THREAD_BYTES);
  if (s->sample.header.status != PYTHON_CHAIN_WHOLE) return 0;
  if (!s->frame) {
    s->sample.header.status = PYTHON_CHAIN_NO_FRAMES;
    return 0;
  }
  return 1;
}

/* Whether this thread holds the GIL, and whether the collector runs. */
static __always_inline void read_state(struct scratch *s, const struct python_layout *l) {
  uint64_t interpreter = s->sample.header.interpreter, thread = s->sample.header.thread_state, value = 0;
  uint32_t word = 0;
  if (l->interpreter_gc_collecting &&
      !bpf_probe_read_user(&word, 4, (const void *)(interpreter + l->interpreter_gc_collecting)) && word)
    s->sample.header.flags |= PYTHON_CHAIN_GC_RUNNING;
  if (l->thread_status) {
    if (word_at(s->thread_bytes, l->thread_status, THREAD_BYTES) & l->thread_holds_gil_mask)
      s->sample.header.flags |= PYTHON_CHAIN_HOLDS_GIL;
  } else if (l->runtime_tstate_current) {
    if (!bpf_probe_read_user(&value, 8, (const void *)(l->runtime + l->runtime_tstate_current)) && value == thread)
      s->sample.header.flags |= PYTHON_CHAIN_HOLDS_GIL;
  } else if (l->interpreter_ceval_gil) {
    uint64_t gil = 0;
    if (bpf_probe_read_user(&gil, 8, (const void *)(interpreter + l->interpreter_ceval_gil)) || !gil) return;
    if (bpf_probe_read_user(&value, 8, (const void *)(gil + l->gil_last_holder)) || value != thread) return;
    word = 0;
    if (!bpf_probe_read_user(&word, 4, (const void *)(gil + l->gil_locked)) && word == 1)
      s->sample.header.flags |= PYTHON_CHAIN_HOLDS_GIL;
  }
}

/* While the interpreter's code version counter stands still no code object is created, so no address changes
 * its meaning. Without a counter an entry is valid for one sample. */
static __always_inline void set_stamp(struct scratch *s, const struct python_layout *l) {
  uint32_t version = 0;
  uint64_t address = l->next_version_address;
  if (!address && l->interpreter_next_version) address = s->sample.header.interpreter + l->interpreter_next_version;
  if (address && bpf_probe_read_user(&version, 4, (const void *)address)) version = 0;
  s->sample.header.generation = version;
  s->sequence++;
  s->stamp = version ? (uint64_t)s->sample.header.layout << 32 | version : s->sequence | 1ull << 63;
}

#endif
