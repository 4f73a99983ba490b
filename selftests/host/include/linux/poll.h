/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_POLL_H
#define HOST_LINUX_POLL_H

#include <sys/epoll.h>
#include <linux/fs.h>
#include <linux/wait.h>

/* Who polls puts itself into the queue that the file names. */
typedef void (*poll_queue_proc)(struct file *file, wait_queue_head_t *wq,
				struct poll_table_struct *p);
struct poll_table_struct {
	poll_queue_proc _qproc;		/* NULL: only looks */
	__poll_t _key;
};

static inline void poll_wait(struct file *file, wait_queue_head_t *wq,
			     poll_table *p)
{
	if (p && p->_qproc && wq)
		p->_qproc(file, wq, p);
}

static inline bool poll_does_not_wait(const poll_table *p)
{
	return !p || !p->_qproc;
}

static inline __poll_t poll_requested_events(const poll_table *p)
{
	return p ? p->_key : ~(__poll_t)0;
}

#endif
