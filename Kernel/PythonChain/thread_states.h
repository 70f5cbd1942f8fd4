/*
 * From a thread to the thread states whose frames lie on its stack.
 *
 * A thread state names the thread that it was made for, or that used it first; but states are handed from thread to
 * thread, a child of fork() keeps its parent's names, and one thread may have a state for each interpreter. So the name
 * is a hint: whose frames they are is told by the address of the innermost boundary, which lies on the stack of the
 * thread that runs them. Each such chain is written, and those of the states that name this thread.
 */
#ifndef THREAD_STATES_H
#define THREAD_STATES_H

#include "frame_chain.h"

/* Whether an address lies on the part of this thread's stack that is in use. */
static __always_inline int is_on_stack(const struct scratch *s, uint64_t address) {
  return address >= s->sp && address < s->end;
}

static __always_inline void add_state(uint64_t *list, uint32_t *count, uint64_t state) {
  uint32_t index = *count;
  if (index >= PYTHON_CHAIN_STATES) return;
  HIDE(index);
  if (index >= PYTHON_CHAIN_STATES) return;
  list[index] = state;
  *count = index + 1;
}

/* The state in `walk_thread` has its innermost boundary there (0: none was found); `names_us`: it names this thread. */
static __always_inline void judge_state(struct scratch *s, uint64_t boundary, int names_us) {
  if (boundary && is_on_stack(s, boundary))
    add_state(s->owned, &s->owned_count, s->walk_thread);
  else if (names_us)
    add_state(s->named, &s->named_count, s->walk_thread);
}

/* One step through the lists of interpreters and thread states, or (3.13) from a state to its innermost boundary. */
static long visit_thread(uint32_t iteration, void *context) {
  struct visit *v = context;
  struct scratch *s = v->s;
  const struct python_layout *l = v->l;
  uint64_t value = 0;
  (void)iteration;
  int names_us = (uint32_t)word_at(s->thread_bytes, l->thread_native_id, THREAD_BYTES) == s->sample.header.tid;
  if (s->walk_frame) {
    if (bpf_probe_read_user(s->frame_bytes, FRAME_BYTES, (const void *)s->walk_frame)) {
      /* The list is being changed, or the state is: of this one nothing is known. */
      judge_state(s, 0, names_us);
    } else if (byte_field((const uint8_t *)s->frame_bytes, l->frame_owner) == 3) {
      judge_state(s, s->walk_frame, names_us);
    } else {
      s->walk_frame = field((const uint8_t *)s->frame_bytes, l->frame_previous);
      if (s->walk_frame && ++s->boundary_steps < BOUNDARY_FRAMES) return 0;
      judge_state(s, 0, names_us);
    }
    s->walk_frame = 0;
    s->walk_thread = word_at(s->thread_bytes, l->thread_next, THREAD_BYTES);
    return 0;
  }
  if (!s->walk_thread) {
    if (!s->walk_interpreter) return 1;
    if (bpf_probe_read_user(&s->walk_thread, 8, (const void *)(s->walk_interpreter + l->interpreter_threads_head)))
      goto fault;
    s->interpreters = mix(mix(s->interpreters, s->walk_interpreter), s->walk_thread);
    if (bpf_probe_read_user(&value, 8, (const void *)(s->walk_interpreter + l->interpreter_next))) goto fault;
    s->walk_interpreter = value;
    return 0;
  }
  if (bpf_probe_read_user(s->thread_bytes, THREAD_BYTES, (const void *)s->walk_thread)) goto fault;
  names_us = (uint32_t)word_at(s->thread_bytes, l->thread_native_id, THREAD_BYTES) == s->sample.header.tid;
  uint64_t frame = word_at(s->thread_bytes, l->thread_frame, THREAD_BYTES);
  if (l->minor < 13) {
    if (frame == s->walk_thread + l->thread_root_cframe) frame = 0;
    if (frame) judge_state(s, frame, names_us);
  } else if (frame && (names_us || s->by_address)) {
    s->walk_frame = frame;
    s->boundary_steps = 0;
    return 0;
  }
  if (!frame && names_us) add_state(s->idle, &s->idle_count, s->walk_thread);
  s->walk_thread = word_at(s->thread_bytes, l->thread_next, THREAD_BYTES);
  return 0;
fault:
  s->sample.header.status = PYTHON_CHAIN_READ_FAULT;
  return 1;
}

/* The address of the newest interpreter; 0 where there is none. */
static __always_inline uint64_t newest_interpreter(const struct python_layout *l) {
  uint64_t interpreter = 0;
  if (bpf_probe_read_user(&interpreter, 8, (const void *)(l->runtime + l->runtime_interpreters_head))) return 0;
  return interpreter;
}

/* The newest thread state of the newest interpreter: changes whenever a thread state is added to it. */
static __always_inline uint64_t newest_thread(const struct python_layout *l, uint64_t interpreter) {
  uint64_t head = 0;
  if (!interpreter) return 0;
  if (bpf_probe_read_user(&head, 8, (const void *)(interpreter + l->interpreter_threads_head))) return 0;
  return head;
}

/* Walks the lists once; false where they cannot be read to their end. */
static __always_inline int walk_lists(struct visit *v, uint32_t by_address) {
  struct scratch *s = v->s;
  s->walk_thread = s->walk_frame = s->loaded = 0;
  s->interpreters = 1;
  s->by_address = by_address;
  s->owned_count = s->named_count = s->idle_count = 0;
  if (bpf_probe_read_user(&s->walk_interpreter, 8, (const void *)(v->l->runtime + v->l->runtime_interpreters_head))) {
    s->sample.header.status = PYTHON_CHAIN_READ_FAULT;
    return 0;
  }
  long steps = bpf_loop(MAX_THREADS, visit_thread, v, 0);
  if (s->sample.header.status != PYTHON_CHAIN_WHOLE) return 0;
  if (steps >= MAX_THREADS && !s->owned_count && !s->named_count) {
    s->sample.header.status = PYTHON_CHAIN_THREAD_LIMIT;
    return 0;
  }
  return 1;
}

/* Loads a thread state into `thread_bytes`; false where that is not possible. */
static __always_inline int load_state(struct scratch *s, uint64_t state) {
  if (s->loaded == state) return 1;
  s->loaded = 0;
  if (bpf_probe_read_user(s->thread_bytes, THREAD_BYTES, (const void *)state)) return 0;
  s->loaded = state;
  return 1;
}

/* The innermost boundary of a state, if it can be seen with one read or two (3.11, 3.12); 1 where it cannot. */
static __always_inline uint64_t quick_boundary(const struct scratch *s, const struct python_layout *l, uint64_t state) {
  uint64_t first = word_at(s->thread_bytes, l->thread_frame, THREAD_BYTES);
  if (l->minor >= 13) return first ? 1 : 0;
  return first == state + l->thread_root_cframe ? 0 : first;
}

/* One step from `walk_frame` to the boundary of its loop; `walk_frame` is 0 where there is none. */
static long visit_boundary(uint32_t iteration, void *context) {
  struct visit *v = context;
  struct scratch *s = v->s;
  (void)iteration;
  if (bpf_probe_read_user(s->frame_bytes, FRAME_BYTES, (const void *)s->walk_frame)) {
    s->walk_frame = 0;
    return 1;
  }
  if (byte_field((const uint8_t *)s->frame_bytes, v->l->frame_owner) == 3) return 1;
  s->walk_frame = field((const uint8_t *)s->frame_bytes, v->l->frame_previous);
  return s->walk_frame == 0;
}

/* Whether the loaded state may have frames of this thread. */
static __always_inline int may_be_ours(struct visit *v, uint64_t state) {
  struct scratch *s = v->s;
  if ((uint32_t)word_at(s->thread_bytes, v->l->thread_native_id, THREAD_BYTES) == s->sample.header.tid) return 1;
  uint64_t boundary = quick_boundary(s, v->l, state);
  if (boundary == 1) {
    s->walk_frame = word_at(s->thread_bytes, v->l->thread_frame, THREAD_BYTES);
    bpf_loop(BOUNDARY_FRAMES, visit_boundary, v, 0);
    boundary = s->walk_frame;
  }
  return boundary && is_on_stack(s, boundary);
}

/* Who holds the GIL, or held it last; 0 where that is not known. */
static __always_inline uint64_t gil_holder(struct scratch *s, const struct python_layout *l, uint64_t interpreter) {
  if (s->gil_interpreter && s->gil_interpreter == interpreter) return s->gil_holder;
  s->gil_interpreter = 0;
  if (l->runtime_tstate_current) {
    if (bpf_probe_read_user(&s->gil_holder, 8, (const void *)(l->runtime + l->runtime_tstate_current))) return 0;
  } else if (l->interpreter_ceval_gil && interpreter) {
    if (bpf_probe_read_user(&s->gil, 8, (const void *)(interpreter + l->interpreter_ceval_gil)) || !s->gil) return 0;
    if (bpf_probe_read_user(&s->gil_holder, 8, (const void *)(s->gil + l->gil_last_holder))) return 0;
  } else {
    return 0;
  }
  s->gil_interpreter = interpreter;
  return s->gil_holder;
}

/* Whether the loaded state says itself that it holds the GIL (3.13). */
static __always_inline int says_it_holds_gil(const struct scratch *s, const struct python_layout *l) {
  return l->thread_status && (word_at(s->thread_bytes, l->thread_status, THREAD_BYTES) & l->thread_holds_gil_mask);
}

/* Whether a state that is not among the known ones is in use on this thread's stack. Only asked of the one that holds
 * the GIL, so that it costs nothing while nobody lends states. */
static __always_inline int is_lent_to_us(struct visit *v, struct thread_entry *known, uint64_t interpreter) {
  struct scratch *s = v->s;
  const struct python_layout *l = v->l;
  uint64_t holder = gil_holder(s, l, interpreter);
  if (!holder) return 0;
  for (int i = 0; i < PYTHON_CHAIN_STATES; i++)
    if (known->states[i] == holder) return 0;
  if (!load_state(s, holder)) return 0;
  /* Asked again each time: the answer changes with each call. */
  return may_be_ours(v, holder);
}

/* A hash over the interpreters and their newest thread states, up to 32 of them. */
static long hash_interpreter(uint32_t iteration, void *context) {
  struct visit *v = context;
  struct scratch *s = v->s;
  uint64_t head = 0, next = 0;
  (void)iteration;
  if (!s->walk_interpreter) return 1;
  if (bpf_probe_read_user(&head, 8, (const void *)(s->walk_interpreter + v->l->interpreter_threads_head))) return 1;
  if (bpf_probe_read_user(&next, 8, (const void *)(s->walk_interpreter + v->l->interpreter_next))) return 1;
  s->interpreters = mix(mix(s->interpreters, s->walk_interpreter), head);
  s->walk_interpreter = next;
  return 0;
}

/* Whether what is known of the thread's states still holds. */
static __always_inline int known_holds(struct visit *v, struct thread_entry *known) {
  struct scratch *s = v->s;
  const struct python_layout *l = v->l;
  uint64_t newest = newest_interpreter(l);
  if (known->newest != newest) return 0;
  if (known->interpreters) {
    s->interpreters = 1;
    s->walk_interpreter = newest;
    bpf_loop(32, hash_interpreter, v, 0);
    if (s->interpreters != known->interpreters) return 0;
  }
  if (!known->states[0]) {
    if (known->uses++ >= RECHECK_NO_THREAD || known->head != newest_thread(l, newest)) return 0;
    return !is_lent_to_us(v, known, newest);
  }
  s->running = s->holds_gil = s->changed = 0;
  s->state_count = 0;
  for (int i = 0; i < PYTHON_CHAIN_STATES; i++) {
    uint64_t state = known->states[i];
    if (!state) break;
    if (!load_state(s, state) || !may_be_ours(v, state)) {
      s->changed = 1;
      break;
    }
    if (quick_boundary(s, l, state)) s->running = 1;
    if (says_it_holds_gil(s, l)) s->holds_gil = 1;
    add_state(s->states, &s->state_count, state);
  }
  /* Where there is one GIL only and a known state holds it, nobody else runs here. */
  if (!s->holds_gil || known->interpreters) s->is_lent = is_lent_to_us(v, known, newest);
  if (known->uses++ >= RECHECK_STATES || s->is_lent || s->changed) return 0;
  return s->running;
}

/* Finds the states whose chains are to be walked; false with a status where there are none. */
static __always_inline int find_states(struct visit *v, struct python_chain_counters *c) {
  struct scratch *s = v->s;
  const struct python_layout *l = v->l;
  uint32_t tid = s->sample.header.tid;
  struct thread_entry *known = bpf_map_lookup_elem(&threads, &tid);
  s->sample.header.status = PYTHON_CHAIN_WHOLE;
  s->state_count = 0;
  s->is_lent = 0;
  if (known && known->layout == s->sample.header.layout && known_holds(v, known)) {
    s->sample.header.status = known->status;
    return known->status == PYTHON_CHAIN_WHOLE;
  }
  s->sample.header.status = PYTHON_CHAIN_WHOLE;
  struct thread_entry fresh = {.layout = s->sample.header.layout};
  fresh.newest = newest_interpreter(l);
  fresh.head = newest_thread(l, fresh.newest);
  c->thread_walks++;
  int found = walk_lists(v, 0);
  /* 3.13: a state that names another thread is looked into only where there is no other, or where there must be one. */
  if (found && (!s->owned_count || s->is_lent) && l->minor >= 13 && s->end > s->sp) found = walk_lists(v, 1);
  /* A fault says nothing about the next sample. */
  if (s->sample.header.status == PYTHON_CHAIN_READ_FAULT) return 0;
  uint64_t next = 0;
  if (found && fresh.newest &&
      (bpf_probe_read_user(&next, 8, (const void *)(fresh.newest + l->interpreter_next)) || next))
    fresh.interpreters = s->interpreters;
  s->state_count = 0;
  for (uint32_t i = 0; i < PYTHON_CHAIN_STATES; i++)
    if (found && i < s->owned_count) add_state(s->states, &s->state_count, s->owned[i]);
  for (uint32_t i = 0; i < PYTHON_CHAIN_STATES; i++)
    if (found && i < s->named_count) add_state(s->states, &s->state_count, s->named[i]);
  for (uint32_t i = 0; i < PYTHON_CHAIN_STATES; i++)
    if (found && i < s->idle_count) add_state(s->states, &s->state_count, s->idle[i]);
  if (!s->state_count && s->sample.header.status == PYTHON_CHAIN_WHOLE)
    s->sample.header.status = PYTHON_CHAIN_NO_THREAD;
  fresh.status = s->sample.header.status;
  for (uint32_t i = 0; i < PYTHON_CHAIN_STATES; i++)
    if (i < s->state_count) fresh.states[i] = s->states[i];
  bpf_map_update_elem(&threads, &tid, &fresh, 0);
  return s->state_count != 0;
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
  s->c_frame = first;
  if (!first || first == thread + l->thread_root_cframe) return 0;
  if (read_c_frame(s, l)) {
    s->sample.header.status = PYTHON_CHAIN_READ_FAULT;
    return 0;
  }
  s->frame = s->c_frame_fields[0];
  return s->frame != 0;
}

/* Whether this thread holds the GIL, and whether the collector runs. */
static __always_inline void read_state(struct scratch *s, const struct python_layout *l) {
  uint64_t interpreter = s->interpreter, thread = s->walk_thread;
  uint32_t word = 0;
  if (l->interpreter_gc_collecting &&
      !bpf_probe_read_user(&word, 4, (const void *)(interpreter + l->interpreter_gc_collecting)) && word)
    s->sample.header.flags |= PYTHON_CHAIN_GC_RUNNING;
  if (l->thread_status) {
    if (says_it_holds_gil(s, l)) s->sample.header.flags |= PYTHON_CHAIN_HOLDS_GIL;
    return;
  }
  if (gil_holder(s, l, interpreter) != thread) return;
  if (!l->runtime_tstate_current &&
      (bpf_probe_read_user(&word, 4, (const void *)(s->gil + l->gil_locked)) || word != 1))
    return;
  s->sample.header.flags |= PYTHON_CHAIN_HOLDS_GIL;
}

/* While the interpreter's code version counter stands still no code object is created, so no address changes
 * its meaning. Without a counter an entry is valid for one sample. */
static __always_inline void set_stamp(struct scratch *s, const struct python_layout *l) {
  uint32_t version = 0;
  uint64_t address = l->next_version_address;
  if (!address && l->interpreter_next_version) address = s->interpreter + l->interpreter_next_version;
  if (address && bpf_probe_read_user(&version, 4, (const void *)address)) version = 0;
  if (!s->chains) s->sample.header.generation = version;
  s->sequence++;
  s->stamp = version ? (uint64_t)s->sample.header.layout << 32 | version : s->sequence | 1ull << 63;
}

/* Writes the chain of one of the states that were found. */
static long walk_state(uint32_t number, void *context) {
  struct visit *v = context;
  struct scratch *s = v->s;
  const struct python_layout *l = v->l;
  if (number >= s->state_count || number >= PYTHON_CHAIN_STATES) return 1;
  HIDE(number);
  if (number >= PYTHON_CHAIN_STATES) return 1;
  uint64_t state = s->states[number];
  s->walk_thread = state;
  s->sample.header.status = PYTHON_CHAIN_WHOLE;
  if (!load_state(s, state)) {
    /* It was just there. */
    s->status = PYTHON_CHAIN_READ_FAULT;
    return 0;
  }
  uint64_t lent = (uint32_t)word_at(s->thread_bytes, l->thread_native_id, THREAD_BYTES) != s->sample.header.tid;
  s->interpreter = word_at(s->thread_bytes, l->thread_interp, THREAD_BYTES);
  if (!s->sample.header.thread_state) {
    s->sample.header.thread_state = state;
    s->sample.header.interpreter = s->interpreter;
  }
  int has_frame = first_frame(s, l, state);
  if (s->sample.header.status != PYTHON_CHAIN_WHOLE) {
    if (s->status == PYTHON_CHAIN_WHOLE) s->status = s->sample.header.status;
    return 0;
  }
  if (!has_frame) return 0;
  if (s->chains) {
    if (s->sample.header.frame_count >= PYTHON_CHAIN_HEAD_FRAMES ||
        !add_note(s, PYTHON_CHAIN_STATE, state, s->interpreter, lent)) {
      if (s->status == PYTHON_CHAIN_WHOLE) s->status = PYTHON_CHAIN_DEPTH_LIMIT;
      return 1;
    }
  } else {
    s->sample.header.thread_state = state;
    s->sample.header.interpreter = s->interpreter;
    if (lent) s->sample.header.flags |= PYTHON_CHAIN_LENT_STATE;
  }
  set_stamp(s, l);
  read_state(s, l);
  s->chains++;
  walk_frames(v);
  if (s->status == PYTHON_CHAIN_WHOLE) s->status = s->sample.header.status;
  return 0;
}

/* Everything the record says about Python. */
static __always_inline void read_chains(struct visit *v, struct python_chain_counters *c) {
  struct scratch *s = v->s;
  for (int i = 0; i < PAGE_SLOTS; i++) s->page_address[i] = s->page_touched[i] = 0;
  s->filename = 0;
  s->pending_count = 0;
  s->chains = 0;
  s->far = 0;
  s->loaded = s->gil_interpreter = 0;
  s->status = PYTHON_CHAIN_WHOLE;
  if (!find_states(v, c)) return;
  bpf_loop(s->state_count, walk_state, v, 0);
  s->sample.header.status = s->status;
  if (!s->chains && s->status == PYTHON_CHAIN_WHOLE) s->sample.header.status = PYTHON_CHAIN_NO_FRAMES;
}

#endif
