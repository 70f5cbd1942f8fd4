#define _GNU_SOURCE
#include "CHeldProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "Rights.h"

/* What we were started with, and what a program that we start has to find. */
static sigset_t inherited_mask;
static struct sigaction inherited_broken_pipe;

__attribute__((constructor)) static void remember_signals(void) {
  sigprocmask(SIG_SETMASK, NULL, &inherited_mask);
  sigaction(SIGPIPE, NULL, &inherited_broken_pipe);
}

/* Nobody reads it when our parent has been killed: then no SIGPIPE may end the child, whose program runs on. */
static void report(int reports, char kind, const void *what, size_t bytes) {
  struct iovec parts[] = {{&kind, 1}, {(void *)what, bytes}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  sendmsg(reports, &message, MSG_NOSIGNAL);
}

static void fail(int reports, int error) {
  report(reports, caduceus_report_failed, &error, sizeof error);
  _exit(error == ENOENT ? 127 : 126);
}

/* Executes one file; returns when that fails. */
static void execute(int reports, const char *path, const struct caduceus_program *program, char **script) {
  report(reports, caduceus_report_trying, path, strlen(path) + 1);
  execve(path, program->arguments, program->environment);
  if (errno != ENOEXEC) return;
  /* A script without a first line that names its interpreter. */
  script[1] = (char *)path;
  execve(script[0], script, program->environment);
}

/* As execvp(3) does, but in another PATH than our own, and a folder that may not be entered has no such file. */
static void search(int reports, const struct caduceus_program *program, char *path, char **script) {
  const char *name = program->arguments[0];
  if (strchr(name, '/')) {
    execute(reports, name, program, script);
    fail(reports, errno);
  }
  if (!*name) fail(reports, ENOENT);
  int is_denied = 0;
  for (const char *folder = program->search_path;;) {
    const char *end = strchrnul(folder, ':');
    size_t length = (size_t)(end - folder);
    memcpy(path, folder, length);
    /* An empty one is the working directory. */
    if (length) path[length++] = '/';
    strcpy(path + length, name);
    execute(reports, path, program, script);
    switch (errno) {
      case EACCES: is_denied |= access(path, F_OK) == 0; break;
      case ENOENT: case ENOTDIR: case ESTALE: case ENODEV: case ETIMEDOUT: case ENAMETOOLONG: break;
      default: fail(reports, errno);
    }
    if (!*end) break;
    folder = end + 1;
  }
  fail(reports, is_denied ? EACCES : ENOENT);
}

static void run_child(int release, int reports, const struct caduceus_program *program,
                      const struct caduceus_identity *identity, const gid_t *groups, int group_count, char *path,
                      char **script) {
  /* What is ignored (nohup) stays ignored; handlers end with the exec. */
  sigaction(SIGPIPE, &inherited_broken_pipe, NULL);
  sigprocmask(SIG_SETMASK, &inherited_mask, NULL);
  if (identity->change) {
    if (setgroups((size_t)group_count, groups) || setresgid(identity->gid, identity->gid, identity->gid) ||
        setresuid(identity->uid, identity->uid, identity->uid))
      fail(reports, errno);
  }
  if (identity->drop_capabilities && caduceus_drop_capabilities()) fail(reports, errno);
  char byte;
  while (read(release, &byte, 1) < 0 && errno == EINTR) continue;
  search(reports, program, path, script);
}

/* Room for every path that is tried, and the arguments of a shell that runs a script: what cannot be allocated
 * between fork and exec. */
static int prepare(const struct caduceus_program *program, char **path, char ***script) {
  *path = malloc(strlen(program->search_path) + strlen(program->arguments[0]) + 2);
  size_t count = 0;
  while (program->arguments[count]) count++;
  *script = calloc(count + 2, sizeof **script);
  if (!*path || !*script) return -ENOMEM;
  (*script)[0] = "/bin/sh";
  for (size_t index = 1; index < count; index++) (*script)[index + 1] = program->arguments[index];
  return 0;
}

static int fork_held(struct caduceus_held_process *process, const struct caduceus_program *program,
                     const struct caduceus_identity *identity, const gid_t *groups, int group_count, char *path,
                     char **script) {
  int release[2], reports[2];
  if (pipe2(release, O_CLOEXEC)) return -errno;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, reports)) {
    int error = -errno;
    close(release[0]);
    close(release[1]);
    return error;
  }
  pid_t pid = fork();
  if (pid == 0) {
    close(release[1]);
    close(reports[0]);
    run_child(release[0], reports[1], program, identity, groups, group_count, path, script);
  }
  int error = -errno;
  close(release[0]);
  close(reports[1]);
  if (pid < 0) {
    close(release[1]);
    close(reports[0]);
    return error;
  }
  process->pid = pid;
  process->release = release[1];
  process->reports = reports[0];
  return 0;
}

int caduceus_fork_held(struct caduceus_held_process *process, const struct caduceus_program *program,
                       const struct caduceus_identity *identity) {
  struct caduceus_program complete = *program;
  if (!complete.search_path) complete.search_path = "/bin:/usr/bin";
  char *path = NULL;
  char **script = NULL;
  /* Looked up before the fork: the lookup is not async-signal-safe. */
  int group_count = 0;
  gid_t *groups = identity->change ? caduceus_groups(identity->user, identity->gid, &group_count) : NULL;
  int result = identity->change && !groups ? -ENOMEM : prepare(&complete, &path, &script);
  if (!result) result = fork_held(process, &complete, identity, groups, group_count, path, script);
  free(groups);
  free(path);
  free(script);
  return result;
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
