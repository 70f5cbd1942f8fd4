/* Which code object a frame runs, and its names at first sight. */
#ifndef CODE_OBJECTS_H
#define CODE_OBJECTS_H

#include "target_memory.h"

static __always_inline uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15ull;
  return hash ^ (hash >> 29);
}

/* 3.11 has no version in its code objects: a hash over what distinguishes them. Zero: unreadable. */
__noinline uint64_t hash_code(struct scratch *s, const struct python_layout *l) {
  uint64_t hash = 0x50594331;
  if (!s || !l) return 0;
  uint64_t qualname = word_at(s->code_bytes, l->code_qualname, CODE_BYTES);
  uint64_t filename = word_at(s->code_bytes, l->code_filename, CODE_BYTES);
  uint64_t table = word_at(s->code_bytes, l->code_linetable, CODE_BYTES);
  hash = mix(hash, (uint32_t)word_at(s->code_bytes, l->code_firstlineno, CODE_BYTES));
  hash = mix(hash, word_at(s->code_bytes, l->code_size, CODE_BYTES));
  if (bpf_probe_read_user(s->tail_bytes, 8, (const void *)(qualname + l->unicode_hash))) return 0;
  hash = mix(hash, s->tail_bytes[0]);

  /* Length, hash and the first bytes in one read; where memory ends close behind them, in two. */
  uint64_t count, length;
  if (l->bytes_value == l->bytes_size + 16 &&
      !bpf_probe_read_user(s->table_bytes, sizeof s->table_bytes, (const void *)(table + l->bytes_size))) {
    length = s->table_bytes[0];
  } else {
    if (bpf_probe_read_user(s->tail_bytes, 8, (const void *)(table + l->bytes_size))) return 0;
    length = s->tail_bytes[0];
    count = length < 64 ? length : 64;
    HIDE(count);
    if (count > 64) count = 64;
    if (count && bpf_probe_read_user(s->table_bytes + 2, count, (const void *)(table + l->bytes_value))) return 0;
  }
  hash = mix(hash, length);
  for (uint32_t i = 0; i < 8; i++) {
    uint64_t rest = length > i * 8 ? length - i * 8 : 0, word = s->table_bytes[i + 2];
    if (rest < 8) word = rest ? word & ((1ull << rest * 8) - 1) : 0;
    hash = mix(hash, word);
  }

  if (s->filename != filename || !filename) {
    s->filename = 0;
    if (read_string_head(s, l, filename)) return 0;
    uint32_t kind = string_kind(s, l);
    if (!kind) return 0;
    uint64_t characters = s->string_bytes[0];
    if (characters > (1u << 20)) return 0;
    uint64_t bytes = characters * kind;
    uint64_t data = string_data(s, l, filename);
    count = bytes < 64 ? bytes : 64;
    HIDE(count);
    if (count > 64) count = 64;
    __builtin_memset(s->filename_bytes, 0, 64);
    if (count && bpf_probe_read_user(s->filename_bytes, count, (const void *)(data + bytes - count))) return 0;
    s->filename_length = characters;
    s->filename = filename;
  }
  hash = mix(hash, s->filename_length);
  for (int i = 0; i < 8; i++) hash = mix(hash, s->filename_bytes[i]);
  return hash ? hash : 1;
}

static __always_inline struct code_entry *entry_for(uint64_t code) {
  uint32_t cpu = bpf_get_smp_processor_id();
  uint64_t hash = code * 0x9E3779B97F4A7C15ull;
  uint32_t index = cpu * PYTHON_CHAIN_CODE_SLOTS + (uint32_t)((hash >> 40) & (PYTHON_CHAIN_CODE_SLOTS - 1));
  return bpf_map_lookup_elem(&codes, &index);
}

/* Identity of the code object at `code`; sets `status` when there is none. */
__noinline int identify(struct scratch *s, const struct python_layout *l, uint32_t index) {
  if (!s || !l) return PYTHON_CHAIN_READ_FAULT;
  if (index >= PYTHON_CHAIN_MAX_FRAMES) return PYTHON_CHAIN_DEPTH_LIMIT;
  struct python_chain_frame *frame = &s->sample.frames[index];
  uint64_t code = frame->code, interpreter = s->interpreter;
  struct code_entry *entry = entry_for(code);
  if (!entry) return PYTHON_CHAIN_READ_FAULT;
  if (entry->code == code && entry->interpreter == interpreter && entry->stamp == s->stamp) {
    frame->fingerprint = entry->fingerprint;
  } else {
    if (bpf_probe_read_user(s->code_bytes, CODE_BYTES, (const void *)code)) return PYTHON_CHAIN_READ_FAULT;
    if (word_at(s->code_bytes, l->object_type, CODE_BYTES) != l->code_type) return PYTHON_CHAIN_BAD_CODE;
    uint64_t fingerprint = l->code_version ? (uint32_t)word_at(s->code_bytes, l->code_version, CODE_BYTES) : 0;
    if (!fingerprint) {
      /* A code object of the interpreter itself (_Py_InitCleanup), or the versions are used up. */
      fingerprint = hash_code(s, l);
      if (fingerprint && l->code_version) fingerprint |= PYTHON_CHAIN_HASHED;
    }
    if (entry->code != code || entry->interpreter != interpreter) entry->handed_over = entry->asked = 0;
    entry->code = code;
    entry->interpreter = interpreter;
    entry->fingerprint = fingerprint;
    entry->stamp = s->stamp;
    frame->fingerprint = fingerprint;
  }
  if (frame->fingerprint && entry->handed_over != frame->fingerprint && entry->asked != s->sequence) {
    entry->asked = s->sequence;
    uint32_t pending = s->pending_count;
    if ((index < NAMED_FRAMES || index > PYTHON_CHAIN_HEAD_FRAMES) && pending < NAMES_PER_SAMPLE) {
      HIDE(pending);
      if (pending < NAMES_PER_SAMPLE) {
        s->pending[pending] = index;
        s->pending_interpreter[pending] = interpreter;
      }
      s->pending_count = pending + 1;
    } else {
      s->sample.header.names_pending++;
    }
  }
  return PYTHON_CHAIN_WHOLE;
}

/* A length as the record states it: one that is no length stays larger than what was copied. */
static __always_inline uint32_t stated(uint64_t length) { return length > 0xffffffff ? 0xffffffff : length; }

/* Appends the characters of a str object to the names record; returns the bytes copied, or -1. */
__noinline int copy_string(struct scratch *s, const struct python_layout *l, uint64_t string, uint32_t at) {
  if (!s || !l) return -1;
  if (read_string_head(s, l, string)) return -1;
  uint32_t kind = string_kind(s, l);
  if (!kind) return -1;
  uint64_t bytes = s->string_bytes[0] > PYTHON_CHAIN_QUALNAME_BYTES ? PYTHON_CHAIN_QUALNAME_BYTES
                                                                   : s->string_bytes[0] * kind;
  if (bytes > PYTHON_CHAIN_QUALNAME_BYTES) bytes = PYTHON_CHAIN_QUALNAME_BYTES & ~(kind - 1);
  HIDE(bytes);
  if (bytes > PYTHON_CHAIN_QUALNAME_BYTES) return -1;
  at &= 4095;
  HIDE(at);
  at &= 4095;
  if (bytes && bpf_probe_read_user(s->names.text + at, bytes, (const void *)string_data(s, l, string))) return -1;
  return bytes;
}

/* Puts the strings of one frame's code object into a record of their own; 0 without a qualified name. */
__noinline uint32_t fill_names(struct scratch *s, const struct python_layout *l, uint32_t index, uint64_t interpreter) {
  if (!s || !l || index >= PYTHON_CHAIN_MAX_FRAMES) return 0;
  const struct python_chain_frame *frame = &s->sample.frames[index];
  struct python_chain_names *names = &s->names.header;
  if (bpf_probe_read_user(s->code_bytes, CODE_BYTES, (const void *)frame->code)) return 0;
  __builtin_memset(names, 0, sizeof *names);
  names->kind = PYTHON_CHAIN_NAMES;
  names->layout = s->sample.header.layout;
  names->code = frame->code;
  names->fingerprint = frame->fingerprint;
  names->interpreter = interpreter;
  names->first_line = word_at(s->code_bytes, l->code_firstlineno, CODE_BYTES);
  names->code_units = word_at(s->code_bytes, l->code_size, CODE_BYTES);
  if (bpf_probe_read_user(&names->first_traceable, 4, (const void *)(frame->code + l->code_firsttraceable))) return 0;
  uint64_t qualname = word_at(s->code_bytes, l->code_qualname, CODE_BYTES);
  uint64_t filename = word_at(s->code_bytes, l->code_filename, CODE_BYTES);
  uint64_t table = word_at(s->code_bytes, l->code_linetable, CODE_BYTES);
  int copied = copy_string(s, l, qualname, 0);
  if (copied < 0) return 0;
  uint32_t at = copied, bytes;
  names->qualname_bytes = copied;
  names->qualname_length = stated(s->string_bytes[0]);
  names->qualname_kind = string_kind(s, l);
  copied = copy_string(s, l, filename, at);
  if (copied >= 0) {
    names->filename_bytes = copied;
    names->filename_length = stated(s->string_bytes[0]);
    names->filename_kind = string_kind(s, l);
    at += copied;
  }
  if (!bpf_probe_read_user(s->tail_bytes, 8, (const void *)(table + l->bytes_size))) {
    uint64_t length = s->tail_bytes[0];
    bytes = length > PYTHON_CHAIN_LINETABLE_BYTES ? PYTHON_CHAIN_LINETABLE_BYTES : length;
    HIDE(bytes);
    if (bytes > PYTHON_CHAIN_LINETABLE_BYTES) bytes = 0;
    at &= 4095;
    HIDE(at);
    at &= 4095;
    if (bytes && !bpf_probe_read_user(s->names.text + at, bytes, (const void *)(table + l->bytes_value))) {
      names->linetable_bytes = bytes;
      names->linetable_length = stated(length);
      at += bytes;
    }
  }
  names->size = sizeof *names + at;
  return names->size;
}

#endif
