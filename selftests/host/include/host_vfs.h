/* SPDX-License-Identifier: MIT */
#ifndef HOST_VFS_H
#define HOST_VFS_H

/*
 * System calls on the devices of the module, for a test that is linked with
 * libfront.a. Descriptors are the stand-ins' own, not the process's. All
 * return -errno.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* insmod and rmmod; the latter refuses while files are open. */
int host_insmod(void);
int host_rmmod(void);

/* What insmod would never meet: forgets device numbers that were claimed. */
void host_forget_numbers(void);

/* Opens /dev/kvbm/@name, to read and write. The node's permissions are not looked at. */
int host_open(const char *name);
int host_close(int fd);
long host_ioctl(int fd, unsigned int cmd, void *arg);
/* read(2); with @nowait as io_uring tries first. */
ssize_t host_read(int fd, void *to, size_t n, bool nowait);
/* poll(2)'s events, without waiting. */
int host_poll(int fd);
/* poll(2) of one file: sleeps until one of @events is there, or -ETIME. */
int host_poll_wait(int fd, int events, uint64_t timeout_ns);
/*
 * epoll(7): a file that was added is looked at once, and then only when its
 * wait queue was woken. With EPOLLET what is still true is not told again.
 * The epoll holds the files: free it first. One thread waits at a time.
 */
struct host_epoll;
struct host_epoll *host_epoll_new(void);
int host_epoll_add(struct host_epoll *ep, int fd, uint32_t events);
/* 1 and a file's events, or 0 after @timeout_ns. */
int host_epoll_wait(struct host_epoll *ep, int *fd, uint32_t *events,
		    uint64_t timeout_ns);
void host_epoll_free(struct host_epoll *ep);
/*
 * An io_uring command with its 16 bytes of payload. What the first attempt,
 * which must not wait, answers with -EAGAIN is tried again as by a worker,
 * unless @nonblock.
 */
long host_uring(int fd, uint32_t op, const void *payload, bool nonblock);
/* Open files there are. */
unsigned int host_open_files(void);

#endif
