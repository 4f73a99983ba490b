// SPDX-License-Identifier: MIT
/* Shared memory, and checks of available memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

#include "memory.h"

/* Less is not worth a check. */
#define SMALL	(UINT64_C(16) << 20)

void *shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Bytes available without swapping; UINT64_MAX if unknown. */
static uint64_t available_memory(void)
{
	uint64_t kib = UINT64_MAX / 1024;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	if (!f)
		return UINT64_MAX;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1)
			break;
	fclose(f);
	return kib * 1024;
}

int enough_memory(const char *what, uint64_t bytes)
{
	uint64_t available;

	if (bytes < SMALL)
		return 0;
	available = available_memory();
	if (bytes <= available)
		return 0;
	fprintf(stderr, "kvbm-replay: %s needs %" PRIu64 " MiB more memory, %" PRIu64 " MiB are available\n",
		what, (bytes >> 20) + 1, available >> 20);
	return -ENOMEM;
}
