#define _GNU_SOURCE
#include "CHeldProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What we were started with, and what a program that we start has to find. */
static sigset_t inherited_mask;
static struct sigaction inherited_broken_pipe;

__attribute__((constructor)) static void remember_signals(void) {
  sigprocmask(SIG_SETMASK, NULL, &inherited_mask);
  sigaction(SIGPIPE, NULL, &inherited_broken_pipe);
}

static void report(int failure) {
  int error = errno;
  ssize_t ignored = write(failure, &error, sizeof error);
  (void)ignored;
  _exit(error == ENOENT ? 127 : 126);
}

static void run_child(int release, int failure, char *const arguments[], const struct caduceus_identity *identity,
                      const gid_t *groups, int group_count) {
  /* What is ignored (nohup) stays ignored; handlers end with the exec. */
  sigaction(SIGPIPE, &inherited_broken_pipe, NULL);
  sigprocmask(SIG_SETMASK, &inherited_mask, NULL);
  if (identity->change) {
    if (setgroups((size_t)group_count, groups) || setresgid(identity->gid, identity->gid, identity->gid) ||
        setresuid(identity->uid, identity->uid, identity->uid))
      report(failure);
  }
  char byte;
  while (read(release, &byte, 1) < 0 && errno == EINTR) continue;
  execvp(arguments[0], arguments);
  report(failure);
}

int caduceus_fork_held(struct caduceus_held_process *process, char *const arguments[],
                       const struct caduceus_identity *identity) {
  int release[2], failure[2];
  gid_t groups[256];
  int group_count = 256;
  /* Looked up before the fork: the lookup is not async-signal-safe. */
  if (!identity->change || getgrouplist(identity->user, identity->gid, groups, &group_count) < 0) {
    groups[0] = identity->gid;
    group_count = 1;
  }
  if (pipe2(release, O_CLOEXEC)) return -errno;
  if (pipe2(failure, O_CLOEXEC)) {
    int error = -errno;
    close(release[0]);
    close(release[1]);
    return error;
  }
  pid_t pid = fork();
  if (pid == 0) {
    close(release[1]);
    close(failure[0]);
    run_child(release[0], failure[1], arguments, identity, groups, group_count);
  }
  int error = -errno;
  close(release[0]);
  close(failure[1]);
  if (pid < 0) {
    close(release[1]);
    close(failure[0]);
    return error;
  }
  process->pid = pid;
  process->release = release[1];
  process->failure = failure[0];
  return 0;
}

int caduceus_open_process(pid_t pid) {
  long descriptor = syscall(SYS_pidfd_open, pid, 0);
  return descriptor < 0 ? -errno : (int)descriptor;
}

int caduceus_open_signals(void) {
  static const int numbers[] = {SIGINT,    SIGTERM, SIGHUP,   SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM,
                                SIGVTALRM, SIGPROF, SIGWINCH, SIGURG,  SIGIO,   SIGPWR};
  sigset_t set;
  sigemptyset(&set);
  for (unsigned index = 0; index < sizeof numbers / sizeof *numbers; index++) sigaddset(&set, numbers[index]);
  for (int number = SIGRTMIN; number <= SIGRTMAX; number++) sigaddset(&set, number);
  if (sigprocmask(SIG_BLOCK, &set, NULL)) return -errno;
  int descriptor = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}

void caduceus_let_interrupts_end_us(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGQUIT);
  signal(SIGINT, SIG_DFL);
  signal(SIGQUIT, SIG_DFL);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int caduceus_next_signal(int descriptor, int *from_terminal) {
  struct signalfd_siginfo info;
  if (read(descriptor, &info, sizeof info) != (ssize_t)sizeof info) return 0;
  *from_terminal = info.ssi_code == SI_KERNEL;
  return (int)info.ssi_signo;
}
