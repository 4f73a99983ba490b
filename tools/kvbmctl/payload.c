// SPDX-License-Identifier: MIT
/* kvbmctl create, show: memory for the blocks' bytes */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvbmctl.h"
#include "payload.h"

/* Bytes with K, M, G or T behind them, 1024 each. */
bool parse_bytes(const char *arg, uint64_t *bytes)
{
	static const char units[] = "kmgt";
	unsigned long long n;
	const char *unit;
	char *end;

	if (*arg < '0' || *arg > '9')
		return false;
	errno = 0;
	n = strtoull(arg, &end, 10);
	if (errno)
		return false;
	if (*end) {
		unit = strchr(units, *end | 0x20);
		if (!unit || end[1] ||
		    n > UINT64_MAX >> (10 * (unit - units + 1)))
			return false;
		n <<= 10 * (unit - units + 1);
	}
	*bytes = n;
	return true;
}

/* 500ms, 2s, or plain ms. */
bool parse_time_ms(const char *arg, uint64_t max, uint32_t *ms)
{
	unsigned long long n;
	char *end;

	if (*arg < '0' || *arg > '9')
		return false;
	errno = 0;
	n = strtoull(arg, &end, 10);
	if (!strcmp(end, "s"))
		n = n > max ? n : n * 1000;
	else if (*end && strcmp(end, "ms"))
		return false;
	if (errno || n > max)
		return false;
	*ms = n;
	return true;
}

void payload_pages(struct argp_state *state, const char *arg,
		   struct payload_args *p)
{
	p->memory.flags &= ~KVBM_MEMORY_THP;
	if (!strcmp(arg, "4k"))
		p->memory.page_bytes = 4096;
	else if (!strcmp(arg, "2m"))
		p->memory.page_bytes = UINT64_C(2) << 20;
	else if (!strcmp(arg, "1g"))
		p->memory.page_bytes = UINT64_C(1) << 30;
	else if (strcmp(arg, "thp"))
		argp_error(state, "--pages: 4k, thp, 2m or 1g expected");
	else
		p->memory.flags |= KVBM_MEMORY_THP;
	p->given = true;
}

/* interleave, interleave:0,2 or bind:1. */
void payload_numa(struct argp_state *state, const char *arg,
		  struct payload_args *p)
{
	const char *list = strchr(arg, ':');
	size_t len = list ? (size_t)(list - arg) : strlen(arg);
	uint64_t node;
	char *end;

	p->memory.nodes = 0;
	p->memory.flags &= ~(KVBM_MEMORY_INTERLEAVE | KVBM_MEMORY_BIND);
	if (len == 10 && !strncmp(arg, "interleave", len))
		p->memory.flags |= KVBM_MEMORY_INTERLEAVE;
	else if (len == 4 && !strncmp(arg, "bind", len) && list)
		p->memory.flags |= KVBM_MEMORY_BIND;
	else
		argp_error(state, "--numa: interleave or bind:N expected");
	while (list) {
		errno = 0;
		node = strtoull(list + 1, &end, 10);
		if (errno || end == list + 1 || node > 63 ||
		    (*end && *end != ','))
			argp_error(state, "--numa: nodes from 0 to 63 expected");
		p->memory.nodes |= UINT64_C(1) << node;
		list = *end ? end : NULL;
	}
	p->given = true;
}

void payload_check(struct argp_state *state, const struct payload_args *p)
{
	if (!p->block_bytes && (p->given || p->path))
		argp_error(state, "--block-bytes is missing");
	if (p->path && p->given)
		argp_error(state, "--payload names an existing file: --pages and --numa are its creator's choice");
	if (p->block_bytes % KVBM_MIN_BLOCK_BYTES ||
	    p->block_bytes > KVBM_MAX_BLOCK_BYTES)
		argp_error(state, "--block-bytes: a multiple of 4K up to 1G expected");
}

#define WIDTH	40

/* A progress bar on a terminal. */
static void progress(void *arg, uint64_t done, uint64_t total)
{
	char bar[WIDTH + 1];
	int n = total ? done * WIDTH / total : WIDTH;

	memset(bar, '-', WIDTH);
	memset(bar, '#', n);
	bar[WIDTH] = 0;
	fprintf(stderr, "\r[%s] %llu of %llu MiB%s", bar,
		(unsigned long long)done >> 20, (unsigned long long)total >> 20,
		done == total ? "\n" : "");
}

static int failed(const struct payload_args *p, const char *name, int err)
{
	const struct kvbm_payload_options *m = &p->memory;

	if (err == -ENOMEM && m->available < m->need)
		return fail("cannot create store '%s': its blocks take %llu MiB%s, and there are %llu MiB",
			    name, (unsigned long long)m->need >> 20,
			    m->page_bytes > 4096 ? " of huge pages" : "",
			    (unsigned long long)m->available >> 20);
	return fail("cannot create store '%s': no memory for its blocks: %s",
		    name, strerror(-err));
}

/* A descriptor, to close once the store exists; 0: none; -1: printed why. */
int payload_make(struct payload_args *p, const char *name,
		 struct kvbm_store_create *c)
{
	int fd, err;

	if (!p->block_bytes)
		return 0;
	if (p->path) {
		fd = open(p->path, O_RDWR | O_CLOEXEC);
		if (fd < 0) {
			fail("cannot open '%s': %s", p->path, strerror(errno));
			return -1;
		}
	} else {
		p->memory.bytes = c->total_blocks * p->block_bytes;
		if (isatty(STDERR_FILENO))
			p->memory.progress = progress;
		fd = kvbm_payload_create(&p->memory);
		if (fd < 0) {
			failed(p, name, fd);
			return -1;
		}
	}
	err = kvbm_store_create_payload(c, fd, p->block_bytes);
	if (err) {
		fail("'%s' is not a memory file", p->path ? p->path : name);
		close(fd);
		return -1;
	}
	return fd;
}

int payload_stat(int session, struct stat *stat)
{
	struct kvbm_payload payload;
	int err;

	err = kvbm_payload(session, KVBM_PAYLOAD_FD | KVBM_PAYLOAD_RDONLY,
			   &payload);
	if (err < 0)
		return err;
	err = fstat(payload.fd, stat) ? -errno : 0;
	close(payload.fd);
	return err;
}

#define MOST_PAGES	256

/* Touch pages that exist, which maps them here. */
static unsigned int find_pages(const struct kvbm_payload_map *map,
			       bool all_there, void **pages)
{
	uint64_t total = map->mapped / map->page_bytes, i;
	uint64_t step = total > MOST_PAGES ? total / MOST_PAGES : 1;
	unsigned int n = 0;

	for (i = 0; i < total && n < MOST_PAGES; i += step) {
		char *at = (char *)map->base + i * map->page_bytes;
		unsigned char there = all_there;

		/* Touching a missing page would allocate it. */
		if (!there && mincore(at, 4096, &there))
			continue;
		if (!(there & 1))
			continue;
		(void)*(volatile char *)at;
		pages[n++] = at;
	}
	return n;
}

void payload_look_at_nodes(const char *name, struct payload_nodes *nodes)
{
	int session = kvbm_open(name), status[MOST_PAGES];
	struct kvbm_payload_map map;
	struct kvbm_payload payload;
	void *pages[MOST_PAGES];
	unsigned int i, n;

	memset(nodes, 0, sizeof(*nodes));
	if (session < 0)
		return;
	if (!kvbm_payload(session, 0, &payload) &&
	    !kvbm_payload_map(session, PROT_READ, &map)) {
		n = find_pages(&map, payload.resident >= map.bytes, pages);
		if (!syscall(SYS_move_pages, 0, (long)n, pages, NULL, status, 0))
			nodes->looked = n;
		for (i = 0; i < nodes->looked; i++)
			if (status[i] >= 0 && status[i] < 64)
				nodes->on[status[i]]++;
		kvbm_payload_unmap(&map);
	}
	close(session);
}

void payload_print_nodes(const struct payload_nodes *nodes)
{
	const char *between = "";

	if (!nodes->looked)
		return;
	printf("payload's nodes    ");
	for (unsigned int i = 0; i < 64; i++) {
		if (!nodes->on[i])
			continue;
		printf("%s%u: %u %%", between, i,
		       100 * nodes->on[i] / nodes->looked);
		between = ", ";
	}
	printf(" of %u pages that were looked at\n", nodes->looked);
}

struct json_object *payload_nodes_json(const struct payload_nodes *nodes)
{
	struct json_object *array = json_object_new_array();

	for (unsigned int i = 0; i < 64; i++) {
		struct json_object *node;

		if (!nodes->on[i])
			continue;
		node = json_object_new_object();
		json_u64(node, "node", i);
		json_u64(node, "pages", nodes->on[i]);
		json_u64(node, "of_pages", nodes->looked);
		json_object_array_add(array, node);
	}
	return array;
}
