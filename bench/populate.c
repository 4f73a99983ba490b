// SPDX-License-Identifier: MIT
/*
 * kvbm-populate: how long the memory of a payload takes to be made, natively, as
 * JSON lines. Sizes in GiB are the arguments.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <kvbm.h>

#define RUNS	3

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* The best of some runs, or negative: it does not fit. */
static double populate(uint64_t gib, uint64_t page, uint32_t flags,
		       uint32_t threads)
{
	double best = -1;
	int i, fd;

	for (i = 0; i < RUNS; i++) {
		struct kvbm_payload_options o = {
			.bytes = gib << 30, .page_bytes = page, .flags = flags,
			.threads = threads,
		};
		double begin = now(), took;

		fd = kvbm_payload_create(&o);
		took = now() - begin;
		if (fd < 0) {
			fprintf(stderr, "populate %llu GiB, pages of %llu KiB: %s, %llu MiB are available\n",
				(unsigned long long)gib,
				(unsigned long long)page >> 10, strerror(-fd),
				(unsigned long long)o.available >> 20);
			return -1;
		}
		close(fd);
		if (best < 0 || took < best)
			best = took;
	}
	return best;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t page;
		uint32_t flags;
	} pages[] = {
		{ "4 KiB", 4096, 0 },
		{ "THP asked for", 4096, KVBM_MEMORY_THP },
		{ "2 MiB", 2 << 20, 0 },
	};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int p;
	int i;

	for (i = 1; i < argc; i++) {
		uint64_t gib = strtoull(argv[i], NULL, 10);

		for (p = 0; p < sizeof(pages) / sizeof(pages[0]); p++) {
			uint32_t threads;

			for (threads = 1; threads <= cpus; threads *= 2) {
				double s = populate(gib, pages[p].page,
						    pages[p].flags, threads);

				if (s < 0)
					break;
				printf("{\"name\": \"populate\", \"mode\": \"%s\", \"threads\": %u, \"gib\": %llu, \"seconds\": %.3f}\n",
				       pages[p].name, threads,
				       (unsigned long long)gib, s);
				fflush(stdout);
			}
		}
	}
	return 0;
}
