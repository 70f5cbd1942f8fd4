/* A child process that waits before it executes its program, so that it can be observed from its first
 * instruction on. C, because only async-signal-safe calls may stand between fork and exec. */
#ifndef CHELDPROCESS_H
#define CHELDPROCESS_H
#include <stdint.h>
#include <sys/types.h>

struct caduceus_held_process {
  pid_t pid;
  int release;  /* writing one byte, or closing it, lets the child execute its program */
  int failure;  /* carries the errno of a failed exec; end of file when the exec succeeded */
};

struct caduceus_identity {
  uint32_t change; /* 0: stay as we are */
  uid_t uid;
  gid_t gid;
  const char *user; /* for the supplementary groups */
};

/* Forks; 0 or -errno. The child restores the signal mask and dispositions that we were started with, takes on the
 * identity, waits, and then executes `arguments[0]` (searched in PATH). If its parent dies first it goes on all
 * the same. */
int caduceus_fork_held(struct caduceus_held_process *process, char *const arguments[],
                       const struct caduceus_identity *identity);

/* A descriptor that becomes readable when the process ends (pidfd_open(2)), or -errno. */
int caduceus_open_process(pid_t pid);

/* Blocks the signals that end a run or are handed on; a descriptor to read them from, or -errno. */
int caduceus_open_signals(void);
/* The next signal that has arrived, 0 for none; `from_terminal`: sent by the kernel, not by a process. */
int caduceus_next_signal(int descriptor, int *from_terminal);
/* Gives SIGINT and SIGQUIT their default action back. */
void caduceus_let_interrupts_end_us(void);
#endif
