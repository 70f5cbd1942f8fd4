/* Reading frames, fields and str objects of the target. */
#ifndef TARGET_MEMORY_H
#define TARGET_MEMORY_H

#include "program_tables.h"

static __always_inline uint64_t word_at(const uint64_t *words, uint32_t offset, uint32_t limit) {
  if (offset > limit) return 0;
  HIDE(offset);
  if (offset > limit) return 0;
  return *(const uint64_t *)((const uint8_t *)words + offset);
}

/* The frame's bytes at `address`; null when the page is not present. A page is read whole when a second frame lies
 * in it: frames on the data stack are neighbours, those of generators and entry frames are alone in their pages. */
static __always_inline const uint8_t *frame_at(struct scratch *s, uint64_t address) {
  uint64_t page = address & ~(uint64_t)(PAGE_BYTES - 1);
  uint32_t offset = address & (PAGE_BYTES - 1);
  uint32_t slot = (page / PAGE_BYTES) & (PAGE_SLOTS - 1);
  HIDE(slot);
  slot &= PAGE_SLOTS - 1;
  if (s->page_address[slot] != (page | 1)) {
    /* One that spans two pages is never taken from one. */
    if (offset > PAGE_BYTES - FRAME_BYTES || s->page_touched[slot] != page) {
      s->page_touched[slot] = page;
      if (bpf_probe_read_user(s->frame_bytes, FRAME_BYTES, (const void *)address)) return 0;
      return (const uint8_t *)s->frame_bytes;
    }
    s->page_address[slot] = 0;
    if (bpf_probe_read_user(s->page[slot], PAGE_BYTES, (const void *)page)) return 0;
    s->page_address[slot] = page | 1;
  } else if (offset > PAGE_BYTES - FRAME_BYTES) {
    if (bpf_probe_read_user(s->frame_bytes, FRAME_BYTES, (const void *)address)) return 0;
    return (const uint8_t *)s->frame_bytes;
  }
  HIDE(offset);
  offset &= PAGE_BYTES - 1;
  return s->page[slot] + offset;
}

static __always_inline uint64_t field(const uint8_t *frame, uint32_t offset) {
  offset &= 127;
  if (offset > FRAME_BYTES - 8) return 0;
  return *(const uint64_t *)(frame + offset);
}

static __always_inline uint8_t byte_field(const uint8_t *frame, uint32_t offset) {
  offset &= 127;
  if (offset > FRAME_BYTES - 1) return 0;
  return frame[offset];
}

/* Length, hash and state of a str object. */
static __always_inline int read_string_head(struct scratch *s, const struct python_layout *l, uint64_t string) {
  return bpf_probe_read_user(s->string_bytes, STRING_BYTES, (const void *)(string + l->unicode_length));
}

static __always_inline uint32_t string_kind(const struct scratch *s, const struct python_layout *l) {
  uint32_t state = word_at(s->string_bytes, l->unicode_state - l->unicode_length, STRING_BYTES - 8);
  uint32_t kind = (state >> 2) & 7;
  return (state & 32) && (kind == 1 || kind == 2 || kind == 4) ? kind : 0; /* compact only */
}

static __always_inline uint64_t string_data(const struct scratch *s, const struct python_layout *l, uint64_t string) {
  uint32_t state = word_at(s->string_bytes, l->unicode_state - l->unicode_length, STRING_BYTES - 8);
  return string + ((state & 64) ? l->unicode_ascii_data : l->unicode_compact_data);
}

#endif
