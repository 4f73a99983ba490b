/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_SEQ_FILE_H
#define HOST_LINUX_SEQ_FILE_H

#include <linux/compiler.h>
#include <linux/types.h>

/* Text that is as long as the page that it is written to. */
struct seq_file {
	char *buf;
	size_t size;
	size_t count;
};

void seq_printf(struct seq_file *m, const char *fmt, ...) __printf(2, 3);

#endif
