/*
 * Reads the Python frame chain of the interrupted thread, in the cpu-clock interrupt, and writes it together
 * with the kernel's copy of registers, stack and kernel call chain as one record.
 *
 * The chain is read raw: addresses and positions, no interpretation. Reading order, limits and error codes are
 * part of the record (python_chain.h). Everything read from the target is untrusted: each loop is bounded, a
 * failed read ends the walk and is stated.
 */
#ifdef PYTHON_CHAIN_HOST
#include "host_kernel.h"
#else
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#define FIXED const volatile
/* The verifier knows what the current task is: plain loads, which give 0 through a null pointer. */
#define TASK_READ(task, pointer, field) ((task)->pointer->field)
#endif
#include "frame_chain.h"
#include "sample_output.h"
#include "thread_states.h"

SEC("perf_event")
int sample_thread(struct bpf_perf_event_data *ctx) {
  uint32_t cpu = bpf_get_smp_processor_id(), zero = 0;
  struct python_chain_counters *c = bpf_map_lookup_elem(&counters, &cpu);
  struct scratch *s = bpf_map_lookup_elem(&scratches, &cpu);
  struct target_state *state = bpf_map_lookup_elem(&target, &zero);
  struct bpf_pidns_info id = {};
  if (!c || !s || !state) return 0;
  c->runs++;
  if (bpf_get_ns_current_pid_tgid(config.namespace_device, config.namespace_inode, &id, sizeof id) ||
      id.tgid != config.tgid || (config.main_thread_only && id.pid != id.tgid)) {
    c->filtered++;
    return 0;
  }
  if (!*(volatile uint32_t *)&state->of_cpus && is_duplicate(ctx)) {
    c->filtered++;
    c->duplicates++;
    c->duplicate_tid = id.pid;
    return 0;
  }

  struct python_chain_sample *header = &s->sample.header;
  __builtin_memset(header, 0, sizeof *header);
  header->kind = PYTHON_CHAIN_SAMPLE;
  header->tid = id.pid;
  header->layout = *(volatile uint32_t *)&state->layout;
  header->status = PYTHON_CHAIN_NO_LAYOUT;
  uint32_t slot = header->layout;
  const struct python_layout *layout = slot ? bpf_map_lookup_elem(&layouts, &slot) : 0;
  struct visit v = {.s = s, .l = layout};
  find_stack(ctx, s, id.pid == id.tgid);
  s->far = 0;
  uint64_t need = s->end - s->sp + 256;
  if (layout) read_chains(&v, c);
  uint64_t copied = add_pages(&v, largest_copy());
  if (copied) need = copied;
  if (layout) hand_over_names(ctx, &v, c);
  emit(ctx, s, c, stack_class(need));
  return config.keep_sample;
}

char LICENSE[] SEC("license") = "GPL";
