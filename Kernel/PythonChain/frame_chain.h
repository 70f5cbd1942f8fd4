/* The walk over one thread's frames, from the innermost outwards. */
#ifndef FRAME_CHAIN_H
#define FRAME_CHAIN_H

#include "code_objects.h"

/* Reads current_frame and previous of the C frame record `s->c_frame` (3.11, 3.12). */
static __always_inline int read_c_frame(struct scratch *s, const struct python_layout *l) {
  if (bpf_probe_read_user(&s->c_frame_fields[0], 8, (const void *)(s->c_frame + l->cframe_current_frame))) return -1;
  return bpf_probe_read_user(&s->c_frame_fields[1], 8, (const void *)(s->c_frame + l->cframe_previous));
}

/* Adds the end of an evaluation loop; false when the record is full. */
static __always_inline int add_loop_end(struct scratch *s, uint64_t address, uint64_t c_frame, uint8_t owner) {
  uint32_t index = s->sample.header.frame_count;
  if (index >= PYTHON_CHAIN_MAX_FRAMES) return 0;
  HIDE(index);
  if (index >= PYTHON_CHAIN_MAX_FRAMES) return 0;
  struct python_chain_frame *entry = &s->sample.frames[index];
  entry->address = address;
  entry->code = c_frame;
  entry->instruction = 0;
  entry->fingerprint = 0;
  *(uint64_t *)&entry->entry = PYTHON_CHAIN_LOOP_END | (uint64_t)owner << 8;
  s->sample.header.frame_count = index + 1;
  return 1;
}

/* Goes on to the C frame of the next outer loop: its current frame must be `expected`. */
static __always_inline long next_loop(struct scratch *s, const struct python_layout *l, uint64_t expected, int check) {
  s->c_frame = s->c_frame_fields[1];
  if (!s->c_frame || s->c_frame == s->sample.header.thread_state + l->thread_root_cframe) {
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
  return 0;
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
    if (!add_loop_end(s, address, s->c_frame, owner)) goto full;
    if (l->minor == 12) return next_loop(s, l, previous, 1);
    s->frame = previous;
    return previous == 0;
  }

  uint32_t index = s->sample.header.frame_count;
  if (index >= PYTHON_CHAIN_MAX_FRAMES) goto full;
  HIDE(index);
  if (index >= PYTHON_CHAIN_MAX_FRAMES) goto full;
  struct python_chain_frame *entry = &s->sample.frames[index];
  uint8_t is_entry = l->minor == 11 ? byte_field(frame, l->frame_is_entry) : 0;
  entry->address = address;
  entry->code = field(frame, l->frame_executable);
  entry->instruction = field(frame, l->frame_instruction);
  entry->fingerprint = 0;
  *(uint64_t *)&entry->entry = PYTHON_CHAIN_FRAME | (uint64_t)owner << 8 | (uint64_t)is_entry << 16;
  int status = identify(s, l, index);
  if (status != PYTHON_CHAIN_WHOLE) {
    s->sample.header.status = status;
    return 1;
  }
  s->sample.header.frame_count = index + 1;

  if (is_entry) {
    if (!add_loop_end(s, s->c_frame, s->c_frame, owner)) goto full;
    return next_loop(s, l, previous, 1);
  }
  if (previous == 0) {
    /* Not the end of a loop, yet without a caller: a generator that is just being left (3.12). The loops
     * further out are known from the C frames. */
    s->sample.header.status = PYTHON_CHAIN_UNLINKED;
    if (l->minor == 13 || !add_loop_end(s, s->c_frame, s->c_frame, 0xff)) return 1;
    return next_loop(s, l, 0, 0);
  }
  s->frame = previous;
  return 0;
full:
  s->sample.header.status = PYTHON_CHAIN_DEPTH_LIMIT;
  return 1;
}

#endif
