// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * file.c - a session's last reference
 *
 * The session ended (session.c) long before; a revocation or a wake-up of
 * pollers still looked at it.
 */
#include <linux/pid.h>
#include <linux/slab.h>
#include "file.h"

void kvbm_file_free(struct kref *ref)
{
	struct kvbm_file *f = container_of(ref, struct kvbm_file, ref);

	kvbm_holds_free(&f->ses);
	kvbm_departed_forget(f);
	put_pid(f->pid);
	kvbm_dev_put(f->kd);
	kvfree(f);
}
