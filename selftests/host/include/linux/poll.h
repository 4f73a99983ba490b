/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_POLL_H
#define HOST_LINUX_POLL_H

#include <sys/epoll.h>
#include <linux/fs.h>
struct poll_table_struct {
	unsigned int queues;
};

static inline void poll_wait(struct file *file, wait_queue_head_t *wq,
			     poll_table *p)
{
	if (p)
		p->queues++;
}

#endif
