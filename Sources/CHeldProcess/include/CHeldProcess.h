/* A child process that waits before it executes its program, so that it can be observed from its first
 * instruction on. C, because only async-signal-safe calls may stand between fork and exec. */
#ifndef CHELDPROCESS_H
#define CHELDPROCESS_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct caduceus_held_process {
  pid_t pid;
  int release; /* writing one byte, or closing it, lets the child execute its program */
  int reports; /* what the child reports, see caduceus_report_kind; end of file when the exec succeeded */
};

/* What the child executes. */
struct caduceus_program {
  char *const *arguments;   /* the program's name, looked up in `search_path` unless it has a slash, and its arguments */
  char *const *environment; /* all of it */
  const char *search_path;  /* PATH; NULL for the system's default */
};

struct caduceus_identity {
  uint32_t change;            /* 0: stay who we are */
  uint32_t drop_capabilities; /* 1: keep no capability, also none that an exec would hand on */
  uid_t uid;
  gid_t gid;
  const char *user; /* for the supplementary groups; NULL for none but `gid` */
};

/* Each report of the child is one of these bytes and what it says. */
enum caduceus_report_kind {
  caduceus_report_trying = 'p', /* the path that is executed next, up to a zero byte; the last one is what runs */
  caduceus_report_failed = 'e', /* errno, an int; nothing follows */
};

/* Forks; 0 or -errno. The child restores the signal mask and dispositions that we were started with, takes on the
 * identity, waits, and then executes the program, found as execvp(3) finds it. If its parent dies first it goes on
 * all the same. */
int caduceus_fork_held(struct caduceus_held_process *process, const struct caduceus_program *program,
                       const struct caduceus_identity *identity);

/* The rights to files become those of a user: effective user and group id and the supplementary groups. 0 or
 * -errno; then nothing has changed. */
int caduceus_take_file_rights(uid_t uid, gid_t gid, const char *user);
/* The opposite; ends the process where that fails. */
void caduceus_return_file_rights(void);

/* 0 when the calling user may look into a process without any capability, as ptrace(2) has it for reading
 * (PTRACE_MODE_READ_FSCREDS), and the process has a program; ESRCH where it has none (any more), errno otherwise. */
int caduceus_check_own_rights(pid_t pid);

/* A descriptor that becomes readable when the process ends (pidfd_open(2)), or -errno. */
int caduceus_open_process(pid_t pid);

/* Blocks the signals that end a run or are handed on; a descriptor to read them from, or -errno. */
int caduceus_open_signals(void);
/* The next signal that has arrived, 0 for none; `from_terminal`: sent by the kernel, not by a process. */
int caduceus_next_signal(int descriptor, int *from_terminal);
/* Gives SIGINT and SIGQUIT their default action back. */
void caduceus_let_interrupts_end_us(void);
#endif
