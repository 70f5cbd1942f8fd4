// What the extensions of this folder use CPU time with: always inlined, so that the time is that of the function which
// stands in the source.
#ifndef SPIN_H
#define SPIN_H

#include <stdint.h>
#include <time.h>

// A function with a symbol and a frame of its own.
#define VISIBLE __attribute__((noinline, used, visibility("default")))
#define INLINE static inline __attribute__((always_inline))

// What is written here cannot be optimised away.
static volatile uint64_t sink;

// Nanoseconds of this thread's CPU time.
INLINE uint64_t thread_cpu(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// A fixed amount of work.
INLINE void work(uint64_t rounds) {
  uint64_t x = sink | 1;
  for (uint64_t i = 0; i < rounds; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    __asm__ volatile("" : "+r"(x));
  }
  sink = x;
}

// Works until `nanoseconds` of this thread's CPU time have gone by; returns how many really did.
INLINE uint64_t work_for(uint64_t nanoseconds) {
  uint64_t start = thread_cpu(), used;
  do {
    work(2000);
    used = thread_cpu() - start;
  } while (used < nanoseconds);
  return used;
}

#endif
