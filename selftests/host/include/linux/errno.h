/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_ERRNO_H
#define HOST_LINUX_ERRNO_H

#include_next <linux/errno.h>
/* What only the kernel itself ever sees. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ENOIOCTLCMD 515
#define ERESTART_RESTARTBLOCK 516
#define EPROBE_DEFER 517
#define EIOCBQUEUED 529
#ifndef ENOTSUPP
#define ENOTSUPP 524
#endif

#endif
