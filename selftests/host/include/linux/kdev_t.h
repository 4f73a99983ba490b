/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_KDEV_T_H
#define HOST_LINUX_KDEV_T_H

#include <linux/types.h>
#define MINORBITS 20
#define MAJOR(dev) ((unsigned int)((dev) >> MINORBITS))
#define MINOR(dev) ((unsigned int)((dev) & ((1U << MINORBITS) - 1)))
#define MKDEV(ma, mi) ((dev_t)(ma) << MINORBITS | (mi))

#endif
