/*
 * libunwind's remote unwinding over a stack copy and files. Here, because its calls are token-pasted macros and
 * its accessors are C function pointers. Nothing here touches the target.
 */
#ifndef CLIBUNWIND_H
#define CLIBUNWIND_H

#include <libunwind-x86_64.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Exported by libunwind-x86_64 (1.6.2, 1.8.1) and in no public header: finds the entry for `ip` in a binary
 * search table and parses its FDE. */
int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *table,
                                       unw_proc_info_t *info, int need_unwind_info, void *argument);

#define CADUCEUS_REGISTERS 17
/* No mapping of a user process lies here: the address of the one-entry search table made up for each lookup. */
#define CADUCEUS_TABLE_ADDRESS 0xffffffffff000000ull

/* What the unwinder is given. `read` fills a word of memory that is not stack; `find` finds the FDE that covers
 * an address, checked by the caller. Both return 0 for success. */
struct caduceus_unwind {
  void *owner;
  int (*read)(void *owner, uint64_t address, uint64_t *value);
  int (*find)(void *owner, uint64_t ip, uint64_t *start, uint64_t *fde);
  const uint8_t *stack;
  uint64_t stack_start;
  uint64_t stack_size;
  uint64_t registers[CADUCEUS_REGISTERS]; /* by DWARF number; 16: instruction pointer */
  uint64_t table_entry;
  unw_addr_space_t space;
  unw_cursor_t cursor;
};

static int caduceus_find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *info, int need,
                                   void *argument) {
  struct caduceus_unwind *unwind = (struct caduceus_unwind *)argument;
  uint64_t start, fde;
  unw_dyn_info_t table;
  /* Any other error would switch off libunwind's own ways out. */
  if (unwind->find(unwind->owner, ip, &start, &fde)) return -UNW_ENOINFO;
  int64_t distance = (int64_t)(fde - start);
  if (distance != (int32_t)distance) return -UNW_ENOINFO;
  unwind->table_entry = (uint64_t)(uint32_t)(int32_t)distance << 32; /* start 0, FDE relative to `start` */
  memset(&table, 0, sizeof table);
  table.format = UNW_INFO_FORMAT_REMOTE_TABLE;
  table.start_ip = start;
  table.end_ip = ip + 1;
  table.u.rti.segbase = start;
  table.u.rti.table_data = CADUCEUS_TABLE_ADDRESS;
  table.u.rti.table_len = 1;
  return _Ux86_64_dwarf_search_unwind_table(space, ip, &table, info, need, argument);
}

static void caduceus_put_unwind_info(unw_addr_space_t space, unw_proc_info_t *info, void *argument) {
  (void)space, (void)info, (void)argument;
}

static int caduceus_dyn_info_list(unw_addr_space_t space, unw_word_t *list, void *argument) {
  (void)space, (void)list, (void)argument;
  return -UNW_ENOINFO;
}

static int caduceus_access_mem(unw_addr_space_t space, unw_word_t address, unw_word_t *value, int write,
                               void *argument) {
  struct caduceus_unwind *unwind = (struct caduceus_unwind *)argument;
  (void)space;
  if (write) return -UNW_EINVAL;
  if (address == CADUCEUS_TABLE_ADDRESS) {
    *value = unwind->table_entry;
    return 0;
  }
  uint64_t offset = address - unwind->stack_start;
  if (offset < unwind->stack_size && unwind->stack_size - offset >= 8) {
    memcpy(value, unwind->stack + offset, 8);
    return 0;
  }
  /* gcc keeps "saved at CFA-16" in force after the epilogue's pop: the slot is below the stack pointer then and
   * the register holds its value again. */
  if (unwind->stack_start - address <= 128 && address < unwind->stack_start) {
    *value = unwind->registers[UNW_X86_64_RBP];
    return 0;
  }
  return unwind->read(unwind->owner, address, (uint64_t *)value) ? -UNW_EINVAL : 0;
}

static int caduceus_access_reg(unw_addr_space_t space, unw_regnum_t number, unw_word_t *value, int write,
                               void *argument) {
  struct caduceus_unwind *unwind = (struct caduceus_unwind *)argument;
  (void)space;
  if (write || number < 0 || number >= CADUCEUS_REGISTERS) return -UNW_EBADREG;
  *value = unwind->registers[number];
  return 0;
}

static int caduceus_access_fpreg(unw_addr_space_t space, unw_regnum_t number, unw_fpreg_t *value, int write,
                                 void *argument) {
  (void)space, (void)number, (void)value, (void)write, (void)argument;
  return -UNW_EBADREG;
}

static int caduceus_resume(unw_addr_space_t space, unw_cursor_t *cursor, void *argument) {
  (void)space, (void)cursor, (void)argument;
  return -UNW_EINVAL;
}

static inline int caduceus_unwind_open(struct caduceus_unwind *unwind) {
  static unw_accessors_t accessors = {
      .find_proc_info = caduceus_find_proc_info,
      .put_unwind_info = caduceus_put_unwind_info,
      .get_dyn_info_list_addr = caduceus_dyn_info_list,
      .access_mem = caduceus_access_mem,
      .access_reg = caduceus_access_reg,
      .access_fpreg = caduceus_access_fpreg,
      .resume = caduceus_resume,
  };
  unwind->space = unw_create_addr_space(&accessors, 0);
  if (!unwind->space) return -1;
  unw_set_caching_policy(unwind->space, UNW_CACHE_NONE); /* our rows are the cache */
  return 0;
}

static inline void caduceus_unwind_close(struct caduceus_unwind *unwind) { unw_destroy_addr_space(unwind->space); }

/* Places the cursor on `registers`. */
static inline int caduceus_unwind_begin(struct caduceus_unwind *unwind) {
  return unw_init_remote(&unwind->cursor, unwind->space, unwind);
}

/* One frame outwards: positive, 0 at the outermost frame, negative on failure. The registers are updated. */
static inline int caduceus_unwind_step(struct caduceus_unwind *unwind, uint64_t result[CADUCEUS_REGISTERS]) {
  int status = unw_step(&unwind->cursor);
  if (status <= 0) return status;
  for (int number = 0; number < CADUCEUS_REGISTERS; number++) {
    unw_word_t value;
    if (unw_get_reg(&unwind->cursor, number, &value)) value = unwind->registers[number];
    result[number] = value;
  }
  return status;
}

static inline int caduceus_unwind_is_signal_frame(struct caduceus_unwind *unwind) {
  return unw_is_signal_frame(&unwind->cursor) > 0;
}

/* libunwind's dwarf_reg_state_t (include/dwarf.h), the same in 1.6.2 and 1.8.1; internal, so its size is checked
 * before it is looked into. Index 17 is the CFA's register, 18 its offset. */
struct caduceus_reg_state {
  uint64_t ret_addr_column;
  char where[19];
  uint64_t value[19];
};
enum caduceus_where {
  CADUCEUS_UNDEFINED,
  CADUCEUS_SAME,
  CADUCEUS_CFA_RELATIVE,
  CADUCEUS_IN_REGISTER,
  CADUCEUS_EXPRESSION,
  CADUCEUS_VALUE_EXPRESSION,
  CADUCEUS_CFA,
};

typedef int (*caduceus_row_callback)(void *token, void *state, size_t size, uint64_t start, uint64_t end);

/* Calls back for every row of the FDE that covers `ip`. */
static inline int caduceus_unwind_rows(struct caduceus_unwind *unwind, uint64_t ip, caduceus_row_callback callback,
                                       void *token) {
  memset(unwind->registers, 0, sizeof unwind->registers);
  unwind->registers[UNW_X86_64_RIP] = ip;
  int status = unw_init_remote(&unwind->cursor, unwind->space, unwind);
  if (status < 0) return status;
  return unw_reg_states_iterate(&unwind->cursor, (unw_reg_states_callback)callback, token);
}

#endif
