/* struct env bound to the real world: clocks, the kernel's randomness, and a thread for each job
 * queue.  Finished jobs come back through one mailbox that the raft loop drains. */
#ifndef NODE_DAEMON_ENV_H
#define NODE_DAEMON_ENV_H

#include <stdbool.h>

#include "base/env.h"
#include "base/mailbox.h"

struct daemon_env;

/* Borrows fs (may be NULL with --dev) and starts the threads. */
int daemon_env_open(struct fs *fs, struct daemon_env **env_out, struct dkv_error *err);
/* Lets the jobs under way finish, drops those that wait, joins the threads. */
void daemon_env_close(struct daemon_env **env);

struct env *daemon_env_base(struct daemon_env *env);
/* Raft thread: the mailbox of finished jobs, for sleeping on. */
struct mailbox *daemon_env_mailbox(struct daemon_env *env);
/* Raft thread: calls done() of every finished job; true if there was one. */
bool daemon_env_turn(struct daemon_env *env);

#endif
