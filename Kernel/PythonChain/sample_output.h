/* What is written, through which event, and what is not. */
#ifndef SAMPLE_OUTPUT_H
#define SAMPLE_OUTPUT_H

#include "code_objects.h"
#include "stack_pages.h"

/* True when this firing is not the first of our events in this thread's own list: the thread inherited one
 * event and was opened again. Stateless, because the kernel swaps event lists between threads. */
static __noinline int is_duplicate(struct bpf_perf_event_data *ctx) {
  struct perf_event *me = 0, *other;
  struct list_head *next, *previous, *head;
  /* The context register holds the kernel's own structure; the verifier knows only the view of it. */
  if (bpf_probe_read_kernel(&me, sizeof me, (const char *)ctx + bpf_core_field_offset(struct bpf_perf_event_data_kern, event)))
    return 0;
  next = BPF_CORE_READ(me, event_entry.next);
  previous = BPF_CORE_READ(me, event_entry.prev);
  if (next == previous) return 0;
  struct bpf_prog *mine = BPF_CORE_READ(me, prog);
  struct perf_event_context *context = BPF_CORE_READ(me, ctx);
  head = (void *)context + bpf_core_field_offset(struct perf_event_context, event_list);
  next = BPF_CORE_READ(head, next);
  for (int i = 0; i < 64; i++) {
    if (next == head || !next) return 0;
    other = (void *)next - bpf_core_field_offset(struct perf_event, event_entry);
    if (other == me) return 0;
    if (BPF_CORE_READ(other, prog) == mine && BPF_CORE_READ(other, state) == PERF_EVENT_STATE_ACTIVE) return 1;
    next = BPF_CORE_READ(next, next);
  }
  return 0;
}

/* Where the thread's stack begins and ends, in user space. */
static __always_inline void find_stack(struct bpf_perf_event_data *ctx, struct scratch *s, int main_thread) {
  struct task_struct *task = bpf_get_current_task_btf();
  if ((*(volatile uint64_t *)&ctx->registers[REGISTER_CS] & 3) == 3) {
    s->sp = *(volatile uint64_t *)&ctx->registers[REGISTER_SP];
  } else {
    struct pt_regs *registers = (void *)bpf_task_pt_regs(task);
    s->sp = 0;
    bpf_probe_read_kernel(&s->sp, 8, &registers->words[REGISTER_SP]);
  }
  /* The first frame of the main thread lies below the program's arguments, that of any other thread below
   * its thread control block, which glibc and musl keep at the stack's end. */
  s->end = main_thread ? TASK_READ(task, mm, start_stack) : task->thread.fsbase;
  s->sample.header.stack_end = s->end;
  s->sample.header.flags |= PYTHON_CHAIN_STACK_END;
  /* The main thread's stack grows up to its limit, below which the kernel keeps a gap of 128 MiB at least; those of
   * other threads are as large as the limit was, unless the program says otherwise. */
  uint64_t size = TASK_READ(task, signal, rlim[RLIMIT_STACK].rlim_cur), usual = 8 << 20, gap = 128 << 20;
  if (main_thread) size = size > gap ? gap : size + gap / 2;
  else if (size > gap) size = usual;
  if (s->end - s->sp > size) s->sample.header.flags |= PYTHON_CHAIN_OTHER_STACK;
}

/* The most that the kernel copies of a stack. */
static __always_inline uint64_t largest_copy(void) {
  uint64_t largest = 0;
  for (uint32_t i = 0; i < PYTHON_CHAIN_STACK_CLASSES; i++)
    if (config.stack_bytes[i]) largest = config.stack_bytes[i];
  return largest;
}

/* The smallest stack class that holds `need` bytes. */
static __always_inline uint32_t stack_class(uint64_t need) {
  uint32_t largest = 0;
  for (uint32_t i = 0; i < PYTHON_CHAIN_STACK_CLASSES; i++) {
    if (!config.stack_bytes[i]) break;
    if (need <= config.stack_bytes[i]) return i;
    largest = i;
  }
  return largest;
}

static __always_inline long output(void *ctx, uint32_t slot, void *record, uint64_t size) {
  uint64_t index = (uint64_t)slot * config.cpu_count + bpf_get_smp_processor_id();
  return bpf_perf_event_output(ctx, &outputs, index, record, size);
}

static __always_inline void hand_over_names(void *ctx, struct visit *v, struct python_chain_counters *c) {
  struct scratch *s = v->s;
  for (uint32_t i = 0; i < NAMES_PER_SAMPLE; i++) {
    if (i >= s->pending_count) return;
    /* Masked, not compared: Linux 6.1 does not carry a comparison over to the copy kept on the stack. */
    uint32_t index = s->pending[i] & (PYTHON_CHAIN_MAX_FRAMES - 1);
    uint32_t size = fill_names(s, v->l, index, s->pending_interpreter[i]);
    if (!size) {
      s->sample.header.names_pending++;
      continue;
    }
    HIDE(size);
    if (size > sizeof s->names) continue;
    if (output(ctx, PYTHON_CHAIN_STACK_CLASSES, &s->names, size)) {
      c->names_lost++;
      s->sample.header.names_pending++;
      continue;
    }
    c->names_emitted++;
    struct code_entry *entry = entry_for(s->sample.frames[index].code);
    if (entry && entry->code == s->sample.frames[index].code) entry->handed_over = s->sample.frames[index].fingerprint;
  }
}

static __always_inline void emit(void *ctx, struct scratch *s, struct python_chain_counters *c, uint32_t class) {
  uint64_t size = pages_offset(s);
  if (s->sample.header.flags & PYTHON_CHAIN_HAS_PAGES)
    size += sizeof(struct python_chain_pages) + (uint64_t)s->page_count * PYTHON_CHAIN_PAGE_BYTES;
  HIDE(size);
  if (size > sizeof s->sample) size = sizeof s->sample;
  s->sample.header.size = size;
  long error = output(ctx, class, &s->sample, size);
  if (error == -ENOSPC) {
    c->ring_full_attempts++;
    if (class > 0) {
      /* Without this a full ring would lose deep stacks first. */
      s->sample.header.flags |= PYTHON_CHAIN_STACK_REDUCED;
      s->sample.header.flags &= ~(uint32_t)PYTHON_CHAIN_HAS_PAGES;
      size = pages_offset(s);
      s->sample.header.size = size;
      error = output(ctx, 0, &s->sample, size);
      if (error == -ENOSPC) c->ring_full_attempts++;
      if (!error) c->reduced++;
    }
  }
  if (!error) {
    c->emitted++;
  } else if (error == -ENOSPC) {
    c->ring_full++;
  } else {
    c->output_errors++;
    c->last_output_error = error;
  }
}

#endif
