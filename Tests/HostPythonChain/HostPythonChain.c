/* The eBPF program, compiled for the host, and the fake kernel it runs on. */
#include "HostPythonChain.h"

#include <stdlib.h>
#include <string.h>

#define PYTHON_CHAIN_HOST
#include "../../Kernel/PythonChain/python_chain.bpf.c"

#define EFAULT 14
#define EINVAL 22
#define PAGE_BUCKETS (1u << 14)
#define THREAD_SLOTS (1u << 13)
#define RECORDS 32
#define READS 65536
/* Behind each CPU's working memory: a write past its end shows. */
#define CANARY 0x5a

struct page {
  struct page *next;
  uint64_t number;
  uint8_t bytes[PAGE_BYTES];
};

static struct page *pages[PAGE_BUCKETS];
static struct {
  struct scratch scratch;
  uint8_t canary[256];
} cpu_scratch[HOST_CPUS];
static struct code_entry cpu_codes[HOST_CPUS * PYTHON_CHAIN_CODE_SLOTS];
static struct python_chain_counters cpu_counters[HOST_CPUS];
static struct python_layout all_layouts[PYTHON_CHAIN_LAYOUT_SLOTS];
static struct target_state the_target;
static struct {
  uint32_t used, tid;
  struct thread_entry entry;
} thread_slots[THREAD_SLOTS];

static struct host_thread thread;
static struct task_struct task;
static struct mm_struct task_memory;
/* RLIMIT_STACK is the usual one. */
static struct signal_struct task_signal = {.rlim[RLIMIT_STACK] = {8 << 20}};
static struct pt_regs task_registers;
static struct perf_event events[HOST_MAXIMUM_EVENTS];
static struct perf_event_context event_context;
static uint32_t fired;

static int64_t failing_read, failing_output, failing_output_error;
static int64_t failing_slots[PYTHON_CHAIN_OUTPUTS];
static uint64_t read_count, output_count, record_count;
static struct {
  uint64_t address, size;
} reads[READS];
static struct {
  struct host_record record;
  uint8_t bytes[sizeof(struct sample_record) + 64];
} records[RECORDS];

static void require(int holds) {
  if (!holds) abort();
}

/* The target's memory. */

static struct page **find_page(uint64_t number) {
  struct page **link = &pages[(number * 0x9E3779B97F4A7C15ull) >> 50];
  while (*link && (*link)->number != number) link = &(*link)->next;
  return link;
}

void host_write(uint64_t address, const void *bytes, uint64_t count) {
  while (count) {
    struct page **link = find_page(address / PAGE_BYTES);
    if (!*link) {
      *link = calloc(1, sizeof **link);
      require(*link != 0);
      (*link)->number = address / PAGE_BYTES;
    }
    uint64_t offset = address % PAGE_BYTES, part = PAGE_BYTES - offset < count ? PAGE_BYTES - offset : count;
    memcpy((*link)->bytes + offset, bytes, part);
    bytes = (const uint8_t *)bytes + part;
    address += part;
    count -= part;
  }
}

void host_remove(uint64_t address, uint64_t count) {
  for (uint64_t number = address / PAGE_BYTES; count && number <= (address + count - 1) / PAGE_BYTES; number++) {
    struct page **link = find_page(number), *page = *link;
    if (!page) continue;
    *link = page->next;
    free(page);
  }
}

int host_read(uint64_t address, void *bytes, uint64_t count) {
  while (count) {
    struct page *page = *find_page(address / PAGE_BYTES);
    if (!page) return 0;
    uint64_t offset = address % PAGE_BYTES, part = PAGE_BYTES - offset < count ? PAGE_BYTES - offset : count;
    memcpy(bytes, page->bytes + offset, part);
    bytes = (uint8_t *)bytes + part;
    address += part;
    count -= part;
  }
  return 1;
}

/* The helpers. */

static long bpf_probe_read_user(void *to, uint32_t size, const void *from) {
  uint64_t number = read_count++, address = (uint64_t)from;
  if (number < READS) {
    reads[number].address = address;
    reads[number].size = size;
  }
  if ((int64_t)number != failing_read && address + size >= address && host_read(address, to, size)) return 0;
  memset(to, 0, size); /* as the kernel does */
  return -EFAULT;
}

static long bpf_probe_read_kernel(void *to, uint32_t size, const void *from) {
  memcpy(to, from, size);
  return 0;
}

static void *element(void *array, uint64_t size, uint64_t count, const void *key) {
  uint32_t index = *(const uint32_t *)key;
  return index < count ? (uint8_t *)array + index * size : 0;
}

static void *thread_slot(uint32_t tid, int add) {
  for (uint32_t i = 0, slot = tid % THREAD_SLOTS; i < THREAD_SLOTS; i++, slot = (slot + 1) % THREAD_SLOTS) {
    if (thread_slots[slot].used && thread_slots[slot].tid == tid) return &thread_slots[slot].entry;
    if (thread_slots[slot].used) continue;
    if (!add) return 0;
    thread_slots[slot].used = 1;
    thread_slots[slot].tid = tid;
    return &thread_slots[slot].entry;
  }
  return 0;
}

static void *bpf_map_lookup_elem(void *map, const void *key) {
  if (map == &scratches) return element(cpu_scratch, sizeof cpu_scratch[0], HOST_CPUS, key);
  if (map == &codes) return element(cpu_codes, sizeof cpu_codes[0], HOST_CPUS * PYTHON_CHAIN_CODE_SLOTS, key);
  if (map == &counters) return element(cpu_counters, sizeof cpu_counters[0], HOST_CPUS, key);
  if (map == &layouts) return element(all_layouts, sizeof all_layouts[0], PYTHON_CHAIN_LAYOUT_SLOTS, key);
  if (map == &target) return element(&the_target, sizeof the_target, 1, key);
  require(map == &threads);
  return thread_slot(*(const uint32_t *)key, 0);
}

static long bpf_map_update_elem(void *map, const void *key, const void *value, uint64_t flags) {
  require(map == &threads && flags == 0);
  struct thread_entry *entry = thread_slot(*(const uint32_t *)key, 1);
  if (!entry) return -ENOSPC;
  *entry = *(const struct thread_entry *)value;
  return 0;
}

static long bpf_loop(uint32_t count, long (*step)(uint32_t, void *), void *context, uint64_t flags) {
  require(flags == 0);
  for (uint32_t i = 0; i < count; i++)
    if (step(i, context)) return i + 1;
  return count;
}

static long bpf_perf_event_output(void *context, void *map, uint64_t flags, void *record, uint64_t size) {
  uint64_t slot = flags / HOST_CPUS, cpu = flags % HOST_CPUS, number = output_count++;
  require(context && map == &outputs && slot < PYTHON_CHAIN_OUTPUTS);
  require(size > 0 && size <= sizeof records[0].bytes);
  if ((int64_t)number == failing_output) return failing_output_error;
  if (failing_slots[slot]) return failing_slots[slot];
  require(record_count < RECORDS);
  records[record_count].record = (struct host_record){slot, cpu, size, records[record_count].bytes};
  memcpy(records[record_count].bytes, record, size);
  record_count++;
  return 0;
}

static uint32_t bpf_get_smp_processor_id(void) { return thread.cpu; }

static long bpf_get_ns_current_pid_tgid(uint64_t device, uint64_t inode, struct bpf_pidns_info *id, uint32_t size) {
  require(size == sizeof *id);
  if (device != thread.device || inode != thread.inode) return -EINVAL;
  id->pid = thread.pid;
  id->tgid = thread.tgid;
  return 0;
}

static struct task_struct *bpf_get_current_task_btf(void) { return &task; }

static long bpf_task_pt_regs(struct task_struct *of) {
  require(of == &task);
  return (long)&task_registers;
}

/* The tests' side. */

void host_reset(void) {
  for (uint32_t i = 0; i < PAGE_BUCKETS; i++) {
    while (pages[i]) {
      struct page *page = pages[i];
      pages[i] = page->next;
      free(page);
    }
  }
  memset(cpu_scratch, 0, sizeof cpu_scratch);
  for (uint32_t i = 0; i < HOST_CPUS; i++) memset(cpu_scratch[i].canary, CANARY, sizeof cpu_scratch[i].canary);
  memset(cpu_codes, 0, sizeof cpu_codes);
  memset(cpu_counters, 0, sizeof cpu_counters);
  memset(all_layouts, 0, sizeof all_layouts);
  memset(&the_target, 0, sizeof the_target);
  memset(thread_slots, 0, sizeof thread_slots);
  memset((void *)&config, 0, sizeof config);
  memset(&thread, 0, sizeof thread);
  memset(failing_slots, 0, sizeof failing_slots);
  failing_read = failing_output = -1;
  read_count = output_count = record_count = 0;
  host_set_events(&(struct host_event){1, 1, 1}, 1);
}

void host_configure(const struct host_config *from) {
  config.namespace_device = from->device;
  config.namespace_inode = from->inode;
  config.tgid = from->tgid;
  config.main_thread_only = from->main_thread_only;
  config.cpu_count = HOST_CPUS;
  for (uint32_t i = 0; i < PYTHON_CHAIN_STACK_CLASSES; i++) config.stack_bytes[i] = from->stack_bytes[i];
}

int host_set_layout(uint32_t slot, const void *layout) {
  if (slot >= PYTHON_CHAIN_LAYOUT_SLOTS) return 0;
  memcpy(&all_layouts[slot], layout, sizeof all_layouts[slot]);
  return 1;
}

void host_set_target(uint32_t slot) { the_target.layout = slot; }

void host_set_thread(const struct host_thread *from) { thread = *from; }

void host_set_events(const struct host_event *from, uint32_t count) {
  static char our_program, other_program;
  require(count > 0 && count <= HOST_MAXIMUM_EVENTS);
  struct list_head *head = &event_context.event_list, *last = head;
  fired = HOST_MAXIMUM_EVENTS;
  for (uint32_t i = 0; i < count; i++) {
    events[i].state = from[i].is_active ? PERF_EVENT_STATE_ACTIVE : PERF_EVENT_STATE_OFF;
    events[i].prog = (struct bpf_prog *)(from[i].is_ours ? &our_program : &other_program);
    events[i].ctx = &event_context;
    events[i].event_entry.prev = last;
    last->next = &events[i].event_entry;
    last = last->next;
    if (from[i].fired && fired == HOST_MAXIMUM_EVENTS) fired = i;
  }
  last->next = head;
  head->prev = last;
  require(fired < count);
}

void host_fail_read(int64_t number) { failing_read = number; }

void host_fail_output(int64_t number, int64_t error) {
  failing_output = number;
  failing_output_error = error;
}

void host_fail_slot(uint32_t slot, int64_t error) {
  require(slot < PYTHON_CHAIN_OUTPUTS);
  failing_slots[slot] = error;
}

void host_run(void) {
  struct bpf_perf_event_data context;
  memset(&context, 0, sizeof context);
  /* The context is seen as registers; what lies there is the kernel's own structure. */
  context.registers[bpf_core_field_offset(struct bpf_perf_event_data_kern, event) / 8] = (uint64_t)&events[fired];
  context.registers[REGISTER_CS] = thread.in_kernel ? 0x10 : 0x33;
  context.registers[REGISTER_SP] = thread.in_kernel ? 0xffffc90000001000 : thread.sp;
  task_registers.words[REGISTER_SP] = thread.sp;
  task.thread.fsbase = thread.fsbase;
  task_memory.start_stack = thread.start_stack;
  task.mm = thread.start_stack ? &task_memory : 0;
  task.signal = &task_signal;
  read_count = output_count = record_count = 0;
  require(sample_thread(&context) == 0);
  for (uint32_t cpu = 0; cpu < HOST_CPUS; cpu++)
    for (uint32_t i = 0; i < sizeof cpu_scratch[cpu].canary; i++) require(cpu_scratch[cpu].canary[i] == CANARY);
}

uint64_t host_reads(void) { return read_count; }

void host_read_at(uint64_t number, uint64_t *address, uint64_t *size) {
  require(number < read_count && number < READS);
  *address = reads[number].address;
  *size = reads[number].size;
}

uint64_t host_records(void) { return record_count; }

struct host_record host_record_at(uint64_t number) {
  require(number < record_count);
  return records[number].record;
}

void host_counters(uint32_t cpu, void *to) {
  require(cpu < HOST_CPUS);
  memcpy(to, &cpu_counters[cpu], sizeof cpu_counters[cpu]);
}
