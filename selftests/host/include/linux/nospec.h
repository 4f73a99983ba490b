/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_NOSPEC_H
#define HOST_LINUX_NOSPEC_H

#define array_index_nospec(index, size)	(index)

#endif
