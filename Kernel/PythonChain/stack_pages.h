/*
 * Where the thread's stack lies, and the pages of it that the kernel's own copy does not reach: the copy ends at the
 * first page that was never touched, and at its largest size.
 */
#ifndef STACK_PAGES_H
#define STACK_PAGES_H

#include "program_tables.h"

/* What one record holds at the most, less what the kernel adds to it and the smallest copy of its own. */
#define RECORD_ROOM (65528 - 6144)

/* The pages that follow the entries, as the record is laid out. */
static __always_inline uint64_t pages_offset(const struct scratch *s) {
  uint64_t offset =
      sizeof(struct python_chain_sample) + (uint64_t)s->sample.header.frame_count * sizeof(struct python_chain_frame);
  HIDE(offset);
  uint64_t limit = sizeof(struct python_chain_sample) + PYTHON_CHAIN_MAX_FRAMES * sizeof(struct python_chain_frame);
  return offset > limit ? limit : offset;
}

/* Copies the page `s->page_next` behind those that are there; a page that is not present is left out. */
static long copy_page(uint32_t iteration, void *context) {
  struct scratch *s = ((struct visit *)context)->s;
  uint64_t page = s->page_next;
  uint32_t count = s->page_count;
  (void)iteration;
  if (count >= s->page_limit || count >= PYTHON_CHAIN_STACK_PAGES) return 1;
  if (s->end > s->sp && page >= s->end) return 1;
  HIDE(count);
  if (count >= PYTHON_CHAIN_STACK_PAGES) return 1;
  uint64_t at = pages_offset(s) + sizeof(struct python_chain_pages) + (uint64_t)count * PYTHON_CHAIN_PAGE_BYTES;
  HIDE(at);
  if (at > sizeof s->sample - PYTHON_CHAIN_PAGE_BYTES) return 1;
  s->page_next = page + PYTHON_CHAIN_PAGE_BYTES;
  if (bpf_probe_read_user((uint8_t *)&s->sample + at, PYTHON_CHAIN_PAGE_BYTES, (const void *)page)) return 0;
  s->page_addresses.addresses[count] = page;
  s->page_count = count + 1;
  return 0;
}

/* The page from which on this thread's stack is known to be present, up to its end. Pages in use stay where they are,
 * but for rare ones that are written out: so it is looked again now and then. */
static __always_inline uint64_t present_from(struct scratch *s) {
  if (s->probed_tid != s->sample.header.tid || s->probed_end != s->end) return s->end;
  return s->probed_uses++ < RECHECK_STACK ? s->probed_from : s->end;
}

/* Whether the next page of the stack is there; ends at the first that is not. */
static long find_hole(uint32_t iteration, void *context) {
  struct scratch *s = ((struct visit *)context)->s;
  uint8_t byte;
  (void)iteration;
  if (s->page_next >= s->page_last) return 1;
  if (bpf_probe_read_user(&byte, 1, (const void *)s->page_next)) {
    s->hole = s->page_next;
    return 1;
  }
  s->page_next += PYTHON_CHAIN_PAGE_BYTES;
  return 0;
}

/* Adds the pages behind holes, or from the first boundary on that the largest copy does not reach. Gives the bytes that
 * the kernel's own copy can and must hold; 0: nothing was added. `largest`: the most that it copies. */
static __always_inline uint64_t add_pages(struct visit *v, uint64_t largest) {
  struct scratch *s = v->s;
  uint64_t need = s->end - s->sp, copied = 0;
  uint32_t wanted = 0;
  s->page_count = 0;
  s->hole = 0;
  if (s->end >= s->sp && need + 256 <= largest) {
    uint64_t first = (s->sp & ~(uint64_t)(PYTHON_CHAIN_PAGE_BYTES - 1)) + PYTHON_CHAIN_PAGE_BYTES;
    s->page_last = present_from(s);
    if (first >= s->page_last) return 0;
    s->page_next = first;
    bpf_loop(64, find_hole, v, 0);
    if (!s->hole) {
      if (s->page_last == s->end) s->probed_uses = 0;
      s->probed_tid = s->sample.header.tid;
      s->probed_end = s->end;
      s->probed_from = first;
      return 0;
    }
    copied = s->hole - s->sp;
    s->page_next = s->hole + PYTHON_CHAIN_PAGE_BYTES;
    wanted = PYTHON_CHAIN_STACK_PAGES;
  } else if (s->far) {
    /* And one page before: what that loop called lies there, too. */
    s->page_next = (s->far & ~(uint64_t)(PYTHON_CHAIN_PAGE_BYTES - 1)) - PYTHON_CHAIN_PAGE_BYTES;
    copied = largest;
    wanted = PYTHON_CHAIN_STACK_PAGES / 2 + 1;
  } else {
    return 0;
  }
  uint64_t used = pages_offset(s) + sizeof(struct python_chain_pages);
  uint64_t room = used < RECORD_ROOM ? (RECORD_ROOM - used) / PYTHON_CHAIN_PAGE_BYTES : 0;
  s->page_limit = room < wanted ? room : wanted;
  bpf_loop(64, copy_page, v, 0);
  if (!s->page_count) return 0;
  uint64_t at = pages_offset(s);
  HIDE(at);
  if (at > sizeof s->sample - sizeof(struct python_chain_pages)) return 0;
  s->page_addresses.count = s->page_count;
  __builtin_memcpy((uint8_t *)&s->sample + at, &s->page_addresses, sizeof(struct python_chain_pages));
  s->sample.header.flags |= PYTHON_CHAIN_HAS_PAGES;
  return copied;
}

#endif
