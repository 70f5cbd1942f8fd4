/* Between the files of this library. */
#ifndef CADUCEUS_RIGHTS_H
#define CADUCEUS_RIGHTS_H
#include <sys/types.h>

/* All groups of a user, `gid` among them, to be freed; `gid` alone without a user; NULL when there is no memory. */
gid_t *caduceus_groups(const char *user, gid_t gid, int *count);

/* Gives up every capability for good, and what an exec could make of them; async-signal-safe. */
int caduceus_drop_capabilities(void);
#endif
