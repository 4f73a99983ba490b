/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_EVENTPOLL_H
#define HOST_LINUX_EVENTPOLL_H

#include <linux/poll.h>

#endif
