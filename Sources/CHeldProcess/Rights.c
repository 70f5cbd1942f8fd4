/* Whose rights count: those of a user for files, and for looking into processes. */
#define _GNU_SOURCE
#include "Rights.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CHeldProcess.h"

gid_t *caduceus_groups(const char *user, gid_t gid, int *count) {
  int room = 64;
  gid_t *groups = malloc(sizeof *groups * (size_t)room);
  while (groups && user) {
    *count = room;
    if (getgrouplist(user, gid, groups, count) >= 0) return groups;
    /* The count that is needed, where the library says it. */
    room = *count > room ? *count : room * 2;
    if (room > 65536) break;
    gid_t *larger = realloc(groups, sizeof *groups * (size_t)room);
    if (!larger) break;
    groups = larger;
  }
  if (groups) groups[0] = gid;
  *count = 1;
  return groups;
}

struct sets {
  struct __user_cap_header_struct header;
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
};

static int get_sets(struct sets *sets) {
  *sets = (struct sets){.header = {.version = _LINUX_CAPABILITY_VERSION_3}};
  return (int)syscall(SYS_capget, &sets->header, sets->data);
}

int caduceus_drop_capabilities(void) {
  struct sets none = {.header = {.version = _LINUX_CAPABILITY_VERSION_3}};
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return (int)syscall(SYS_capset, &none.header, none.data);
}

int caduceus_check_own_rights(pid_t pid) {
  struct sets now;
  if (get_sets(&now)) return errno;
  struct sets lowered = now;
  for (int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++) lowered.data[word].effective = 0;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/auxv", (int)pid);
  if (syscall(SYS_capset, &lowered.header, lowered.data)) return errno;
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  int error = descriptor < 0 ? errno : 0;
  /* A process without memory can be opened by anybody, and has nothing to read. */
  char byte;
  if (descriptor >= 0) {
    ssize_t got = read(descriptor, &byte, 1);
    error = got < 0 ? errno : got == 0 ? ESRCH : 0;
  }
  if (syscall(SYS_capset, &now.header, now.data)) abort();
  if (descriptor >= 0) close(descriptor);
  return error;
}

/* What we were before. */
static gid_t *own_groups;
static int own_group_count;
static gid_t own_gid;
static uid_t own_uid;

int caduceus_take_file_rights(uid_t uid, gid_t gid, const char *user) {
  own_uid = geteuid();
  own_gid = getegid();
  own_group_count = getgroups(0, NULL);
  int count;
  gid_t *groups = caduceus_groups(user, gid, &count);
  own_groups = malloc(sizeof *own_groups * (size_t)(own_group_count + 1));
  if (!groups || !own_groups) {
    free(groups);
    free(own_groups);
    return -ENOMEM;
  }
  own_group_count = getgroups(own_group_count, own_groups);
  int error = 0;
  if (setgroups((size_t)count, groups)) {
    error = -errno;
    free(own_groups);
  } else if (setegid(gid) || seteuid(uid)) {
    error = -errno;
    caduceus_return_file_rights();
  }
  free(groups);
  return error;
}

void caduceus_return_file_rights(void) {
  if (seteuid(own_uid) || setegid(own_gid) || own_group_count < 0 ||
      setgroups((size_t)own_group_count, own_groups))
    abort();
  free(own_groups);
  own_groups = NULL;
}
