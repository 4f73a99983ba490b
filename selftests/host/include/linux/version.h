/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_VERSION_H
#define HOST_LINUX_VERSION_H

#define KERNEL_VERSION(a, b, c) \
	(((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
/* The kernel whose interfaces the stand-ins have. */
#define LINUX_VERSION_CODE KERNEL_VERSION(6, 1, 0)

#endif
