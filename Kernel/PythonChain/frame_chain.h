/* The walk over the frames of one thread state, from the innermost outwards. */
#ifndef FRAME_CHAIN_H
#define FRAME_CHAIN_H

#include "code_objects.h"

/* Reads current_frame and previous of the C frame record `s->c_frame` (3.11, 3.12). */
static __always_inline int read_c_frame(struct scratch *s, const struct python_layout *l) {
  if (bpf_probe_read_user(&s->c_frame_fields[0], 8, (const void *)(s->c_frame + l->cframe_current_frame))) return -1;
  return bpf_probe_read_user(&s->c_frame_fields[1], 8, (const void *)(s->c_frame + l->cframe_previous));
}

static __always_inline void count_skipped(struct scratch *s, const struct python_chain_frame *entry) {
  if (entry->entry == PYTHON_CHAIN_LOOP_END)
    s->skipped_loops++;
  else
    s->skipped_frames++;
}

/* The next free entry of the record; once its head is full, that of the ring of the outermost entries. */
static __always_inline struct python_chain_frame *next_entry(struct scratch *s) {
  uint32_t index = s->sample.header.frame_count;
  if (index >= PYTHON_CHAIN_HEAD_FRAMES) {
    index = s->tail_count & (TAIL_RING - 1);
    HIDE(index);
    struct python_chain_frame *entry = &s->tail[index & (TAIL_RING - 1)];
    if (s->tail_count >= TAIL_RING) count_skipped(s, entry);
    return entry;
  }
  HIDE(index);
  if (index >= PYTHON_CHAIN_HEAD_FRAMES) return 0;
  return &s->sample.frames[index];
}

/* The entry that `next_entry` gave is filled. */
static __always_inline void entry_filled(struct scratch *s) {
  if (s->sample.header.frame_count < PYTHON_CHAIN_HEAD_FRAMES)
    s->sample.header.frame_count++;
  else
    s->tail_count++;
}

/* Adds the end of an evaluation loop. */
static __always_inline void add_loop_end(struct scratch *s, uint64_t address, uint64_t c_frame, uint8_t owner) {
  struct python_chain_frame *entry = next_entry(s);
  if (!entry) return;
  entry->address = address;
  entry->code = c_frame;
  entry->instruction = 0;
  entry->fingerprint = 0;
  *(uint64_t *)&entry->entry = PYTHON_CHAIN_LOOP_END | (uint64_t)owner << 8;
  entry_filled(s);
  if (address - s->sp >= COPY_REACH && (!s->far || address < s->far)) s->far = address;
}

/* Goes on to the C frame of the next outer loop: its current frame must be `expected`. */
static __always_inline long next_loop(struct scratch *s, const struct python_layout *l, uint64_t expected, int check) {
  s->c_frame = s->c_frame_fields[1];
  if (!s->c_frame || s->c_frame == s->walk_thread + l->thread_root_cframe) {
    s->frame = 0;
    if (check && expected) s->sample.header.status = PYTHON_CHAIN_BOUNDARY;
    return 1;
  }
  if (read_c_frame(s, l)) {
    s->sample.header.status = PYTHON_CHAIN_READ_FAULT;
    return 1;
  }
  s->frame = s->c_frame_fields[0];
  if (check && s->frame != expected) {
    s->sample.header.status = PYTHON_CHAIN_BOUNDARY;
    return 1;
  }
  /* A C frame that no loop made, and no frame: where a switched stack begins (greenlet's g_initialstub). */
  return s->frame == 0;
}

static long visit_frame(uint32_t iteration, void *context) {
  struct visit *v = context;
  struct scratch *s = v->s;
  const struct python_layout *l = v->l;
  uint64_t address = s->frame;
  const uint8_t *frame = frame_at(s, address);
  (void)iteration;
  if (!frame) {
    s->sample.header.status = PYTHON_CHAIN_READ_FAULT;
    return 1;
  }
  uint64_t previous = field(frame, l->frame_previous);
  uint8_t owner = byte_field(frame, l->frame_owner);

  if (l->minor >= 12 && owner == 3) {
    add_loop_end(s, address, s->c_frame, owner);
    if (l->minor == 12) return next_loop(s, l, previous, 1);
    s->frame = previous;
    return previous == 0;
  }

  uint8_t is_entry = l->minor == 11 ? byte_field(frame, l->frame_is_entry) : 0;
  uint32_t index = s->sample.header.frame_count;
  struct python_chain_frame *entry = next_entry(s);
  if (!entry) return 1;
  entry->address = address;
  entry->code = field(frame, l->frame_executable);
  entry->instruction = field(frame, l->frame_instruction);
  entry->fingerprint = 0;
  *(uint64_t *)&entry->entry = PYTHON_CHAIN_FRAME | (uint64_t)owner << 8 | (uint64_t)is_entry << 16;
  if (index < PYTHON_CHAIN_HEAD_FRAMES) {
    int status = identify(s, l, index);
    if (status != PYTHON_CHAIN_WHOLE) {
      s->sample.header.status = status;
      return 1;
    }
  }
  entry_filled(s);

  if (is_entry) {
    add_loop_end(s, s->c_frame, s->c_frame, owner);
    return next_loop(s, l, previous, 1);
  }
  if (previous == 0) {
    /* Not the end of a loop, yet without a caller: a generator that is just being left (3.12). The loops
     * further out are known from the C frames. */
    s->sample.header.status = PYTHON_CHAIN_UNLINKED;
    if (l->minor == 13) return 1;
    add_loop_end(s, s->c_frame, s->c_frame, 0xff);
    return next_loop(s, l, 0, 0);
  }
  s->frame = previous;
  return 0;
}

/* Adds an entry that is neither a frame nor the end of a loop; false when the record is full. */
static __always_inline int add_note(struct scratch *s, uint64_t kind, uint64_t address, uint64_t code, uint64_t instruction) {
  uint32_t index = s->sample.header.frame_count;
  if (index >= PYTHON_CHAIN_MAX_FRAMES) return 0;
  HIDE(index);
  if (index >= PYTHON_CHAIN_MAX_FRAMES) return 0;
  struct python_chain_frame *entry = &s->sample.frames[index];
  entry->address = address;
  entry->code = code;
  entry->instruction = instruction;
  entry->fingerprint = 0;
  *(uint64_t *)&entry->entry = kind;
  s->sample.header.frame_count = index + 1;
  return 1;
}

/* Moves the next entry of the ring into the record. */
static long move_tail(uint32_t iteration, void *context) {
  struct visit *v = context;
  struct scratch *s = v->s;
  uint32_t index = s->sample.header.frame_count, from = s->tail_next;
  (void)iteration;
  if (from == s->tail_count || index >= PYTHON_CHAIN_MAX_FRAMES) return 1;
  HIDE(index);
  if (index >= PYTHON_CHAIN_MAX_FRAMES) return 1;
  s->tail_next = from + 1;
  from &= TAIL_RING - 1;
  HIDE(from);
  s->sample.frames[index] = s->tail[from & (TAIL_RING - 1)];
  if (s->sample.frames[index].entry == PYTHON_CHAIN_FRAME) {
    int status = identify(s, v->l, index);
    if (status != PYTHON_CHAIN_WHOLE) {
      s->sample.header.status = status;
      return 1;
    }
  }
  s->sample.header.frame_count = index + 1;
  return 0;
}

/* Counts the next entry of the ring out, until the record has room for the rest and a gap. */
static long skip_tail(uint32_t iteration, void *context) {
  struct scratch *s = ((struct visit *)context)->s;
  uint32_t from = s->tail_next;
  (void)iteration;
  if (s->tail_count - from + 1 <= PYTHON_CHAIN_MAX_FRAMES - s->sample.header.frame_count) return 1;
  from &= TAIL_RING - 1;
  HIDE(from);
  count_skipped(s, &s->tail[from & (TAIL_RING - 1)]);
  s->tail_next++;
  return s->tail_next == s->tail_count;
}

/* Walks from `s->frame` to the end of the chain. Of one that is longer than the record both ends are kept: the root is
 * what all samples of a program have in common. */
static __always_inline void walk_frames(struct visit *v) {
  struct scratch *s = v->s;
  s->tail_count = 0;
  s->skipped_frames = s->skipped_loops = 0;
  s->sample.header.status = PYTHON_CHAIN_WHOLE;
  long steps = bpf_loop(MAX_WALK, visit_frame, v, 0);
  if (!s->tail_count) return;
  if (steps >= MAX_WALK) s->sample.header.status = PYTHON_CHAIN_DEPTH_LIMIT;
  uint32_t status = s->sample.header.status;
  if (status != PYTHON_CHAIN_WHOLE && status != PYTHON_CHAIN_UNLINKED) return;
  s->tail_next = 0;
  uint32_t room = PYTHON_CHAIN_MAX_FRAMES - s->sample.header.frame_count;
  if (s->tail_count > room) {
    s->sample.header.status = PYTHON_CHAIN_DEPTH_LIMIT;
    uint32_t kept = s->tail_count < TAIL_RING ? s->tail_count : TAIL_RING;
    s->tail_next = s->tail_count - kept;
    /* What the ring still has and the record has no room for, behind the gap's own entry. */
    bpf_loop(TAIL_RING, skip_tail, v, 0);
    if (!add_note(s, PYTHON_CHAIN_GAP, 0, s->skipped_frames, s->skipped_loops)) return;
    bpf_loop(TAIL_RING, move_tail, v, 0);
    return;
  }
  bpf_loop(TAIL_RING, move_tail, v, 0);
}

#endif
