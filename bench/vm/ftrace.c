// SPDX-License-Identifier: MIT
/*
 * Reads the kernel's function_graph tracer from its raw ring buffer: a million
 * lines of text would take longer than the measured calls.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "ftrace.h"
#include "vmbench.h"

#define TRACEFS		"/sys/kernel/tracing/"
#define DEPTHS		64
#define TASKS		16

/*
 * Each holds its locks for a bounded chunk; those that go through a whole batch
 * (undo, allocs_end, presence, hand-overs, a prefix), or all that is due
 * (retention_work, claims_tell), do it again and again, so that of these only the
 * sections say something.  So do
 * those that end with a long prune, each step of which is a call of its own:
 * such calls are passed over.
 */
static const char * const wanted[] = {
	"kvbm_match_chunk", "kvbm_scan_chunk", "kvbm_upgrade_chunk",
	"kvbm_retain_chunk", "kvbm_set_reset_chunk", "kvbm_presence",
	"kvbm_release_chunk", "reclaim_chunk",
	"kvbm_stage_chunk", "kvbm_unstage_chunk", "kvbm_register_chunk",
	"kvbm_alloc_begin", "kvbm_alloc_chunk", "kvbm_alloc_undo",
	"kvbm_alloc_results", "kvbm_allocs_end", "kvbm_wake_waiters", "prune_some",
	"kvbm_reset_inactive_chunk", "kvbm_keep_chunk", "retention_work",
	"kvbm_newest_chunk", "kvbm_export_chunk", "kvbm_claim_chunk",
	"kvbm_claims_tell", "kvbm_forget_chunk", "kvbm_forget_some",
	"kvbm_forget_prefix", "kvbm_offer_begin",
	"kvbm_offer_accept", "kvbm_offer_withdraw", "kvbm_offers_end",
};

#define NR_WANTED (sizeof(wanted) / sizeof(wanted[0]))

struct traced traced[NR_WANTED];
unsigned int nr_traced;

static const char *phase;

/*
 * Time inside these is not the module's: interrupts, and the scheduler and the
 * allocator, which have locks of their own.
 */
static struct aside {
	const char *name;
	bool interrupt;
	uint64_t addr;
} asides[] = {
	{ .name = "__sysvec_apic_timer_interrupt", .interrupt = true },
	{ .name = "__common_interrupt", .interrupt = true },
	{ .name = "__do_softirq", .interrupt = true },
	{ .name = "handle_softirqs", .interrupt = true },
	{ .name = "__cond_resched" },
	{ .name = "__kmalloc" },
	{ .name = "kmalloc_trace" },
	{ .name = "kmem_cache_alloc_trace" },
	{ .name = "__kmalloc_noprof" },
	{ .name = "__kmalloc_cache_noprof" },
	{ .name = "kvmalloc_node" },
	{ .name = "__kvmalloc_node_noprof" },
	{ .name = "kvfree" },
	{ .name = "kfree" },
	{ .name = "get_random_bytes" },
	{ .name = "try_to_wake_up" },
};

#define NR_ASIDES (sizeof(asides) / sizeof(asides[0]))

static uint64_t lock_addr, unlock_addr;

/* Where the fields are. */
static struct format {
	int id, func, depth, calltime, rettime;
} entry_fmt, exit_fmt;

/* --- tracefs -------------------------------------------------------------- */

static bool try_put(const char *file, const char *text, int flags)
{
	char path[128];
	ssize_t ret;
	int fd;

	snprintf(path, sizeof(path), TRACEFS "%s", file);
	fd = open(path, O_WRONLY | flags);
	if (fd < 0)
		return false;
	ret = write(fd, text, strlen(text));
	close(fd);
	return ret == (ssize_t)strlen(text);
}

static void put(const char *file, const char *text)
{
	if (!try_put(file, text, 0)) {
		fprintf(stderr, "longest: %s: cannot write %s: %m\n", file,
			text);
		exit(1);
	}
}

static char *get(const char *file)
{
	static char text[16384];
	char path[128];
	size_t n = 0;
	ssize_t ret;
	int fd;

	snprintf(path, sizeof(path), TRACEFS "%s", file);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0);
	while ((ret = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += ret;
	close(fd);
	text[n] = 0;
	return text;
}

static int field(const char *format, const char *name)
{
	char word[32];
	const char *p;

	snprintf(word, sizeof(word), " %s;", name);
	p = strstr(format, word);
	CHECK(p);
	p = strstr(p, "offset:");
	CHECK(p);
	return atoi(p + 7);
}

static void read_formats(void)
{
	const char *f;

	f = get("events/ftrace/funcgraph_entry/format");
	entry_fmt.id = atoi(strstr(f, "ID: ") + 4);
	entry_fmt.func = field(f, "func");
	entry_fmt.depth = field(f, "depth");
	f = get("events/ftrace/funcgraph_exit/format");
	exit_fmt.id = atoi(strstr(f, "ID: ") + 4);
	exit_fmt.func = field(f, "func");
	exit_fmt.depth = field(f, "depth");
	exit_fmt.calltime = field(f, "calltime");
	exit_fmt.rettime = field(f, "rettime");
}

/* Compilers add .isra.0 and the like to the names of static functions. */
static bool is_called(const char *symbol, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(symbol, name, n) && (!symbol[n] || symbol[n] == '.');
}

static void read_symbols(void)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	char line[512], symbol[256], module[64];
	unsigned long long addr;
	unsigned int i;

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		module[0] = 0;
		if (sscanf(line, "%llx %*c %255s %63s", &addr, symbol,
			   module) < 2)
			continue;
		if (!module[0] && !strcmp(symbol, "_raw_spin_lock"))
			lock_addr = addr;
		if (!module[0] && !strcmp(symbol, "_raw_spin_unlock"))
			unlock_addr = addr;
		for (i = 0; !module[0] && i < NR_ASIDES; i++)
			if (!strcmp(symbol, asides[i].name) &&
			    try_put("set_ftrace_filter", symbol, O_APPEND))
				asides[i].addr = addr;
		if (strcmp(module, "[kvbm]"))
			continue;
		for (i = 0; i < NR_WANTED; i++) {
			if (!is_called(symbol, wanted[i]) ||
			    !try_put("set_ftrace_filter", symbol, O_APPEND))
				continue;
			CHECK(try_put("set_graph_function", symbol, O_APPEND));
			CHECK(nr_traced < NR_WANTED);
			snprintf(traced[nr_traced].name,
				 sizeof(traced[0].name), "%s", wanted[i]);
			traced[nr_traced++].addr = addr;
		}
	}
	fclose(f);
	CHECK(lock_addr && unlock_addr && asides[0].addr);
	CHECK(try_put("set_ftrace_filter", "_raw_spin_lock", O_APPEND));
	CHECK(try_put("set_ftrace_filter", "_raw_spin_unlock", O_APPEND));
}

void ftrace_setup(void)
{
	put("tracing_on", "0");
	put("current_tracer", "nop");
	put("buffer_size_kb", "131072");
	/* Rather lose the new than the old, and say so. */
	put("options/overwrite", "0");
	try_put("set_ftrace_filter", " ", O_TRUNC);
	try_put("set_graph_function", " ", O_TRUNC);
	read_formats();
	read_symbols();
	ftrace_start();
}

void ftrace_start(void)
{
	put("current_tracer", "function_graph");
}

void ftrace_stop(void)
{
	put("current_tracer", "nop");
}

void ftrace_begin(const char *what)
{
	phase = what;
	put("tracing_on", "1");
}

/* --- durations ------------------------------------------------------------ */

static void add(struct series *s, uint64_t took, bool ticked)
{
	if (ticked) {
		s->ticked++;
		if (took > s->max_ticked)
			s->max_ticked = took;
		return;
	}
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 1024;
		s->clean = realloc(s->clean, s->room * sizeof(*s->clean));
		CHECK(s->clean);
	}
	s->clean[s->n++] = took;
	if (took > s->max) {
		s->max = took;
		s->max_in = phase;
	}
}

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

uint32_t series_median(struct series *s)
{
	if (!s->n)
		return 0;
	qsort(s->clean, s->n, sizeof(*s->clean), cmp_u32);
	return s->clean[s->n / 2];
}

static void forget(struct series *s)
{
	free(s->clean);
	memset(s, 0, sizeof(*s));
}

void ftrace_forget(void)
{
	unsigned int i;

	for (i = 0; i < nr_traced; i++) {
		forget(&traced[i].calls);
		forget(&traced[i].sections);
	}
}

/* --- events --------------------------------------------------------------- */

struct task {
	int pid;
	struct traced *stack[DEPTHS];	/* NULL: a lock */
	int locks;
	uint64_t locked_at;
	int aside;			/* its depth + 1, or 0 */
	uint64_t interrupted_at;	/* last */
	uint64_t pruned_at;		/* last */
};

static struct task tasks[TASKS];

static struct task *task_of(int pid)
{
	static unsigned int next;
	struct task *t;
	unsigned int i;

	for (i = 0; i < TASKS; i++)
		if (tasks[i].pid == pid)
			return &tasks[i];
	t = &tasks[next++ % TASKS];
	memset(t, 0, sizeof(*t));
	t->pid = pid;
	return t;
}

static const struct aside *aside_of(uint64_t func)
{
	unsigned int i;

	for (i = 0; i < NR_ASIDES; i++)
		if (func == asides[i].addr)
			return &asides[i];
	return NULL;
}

static void on_entry(struct task *t, uint64_t func, int depth)
{
	unsigned int i;

	CHECK(depth >= 0 && depth < DEPTHS);
	if (t->aside)
		return;
	if (aside_of(func)) {
		t->aside = depth + 1;
		return;
	}
	t->stack[depth] = NULL;
	for (i = 0; i < nr_traced; i++)
		if (traced[i].addr == func)
			t->stack[depth] = &traced[i];
}

/*
 * By times, not by the order of events: an interrupt may come while the tracer
 * is at work.
 */
static bool interrupted(const struct task *t, uint64_t from, uint64_t to)
{
	return t->interrupted_at >= from && t->interrupted_at <= to;
}

static void on_exit_of(struct task *t, uint64_t func, int depth,
		       uint64_t call, uint64_t ret)
{
	const struct aside *a = aside_of(func);

	CHECK(depth >= 0 && depth < DEPTHS);
	if (a && a->interrupt)
		t->interrupted_at = call;
	if (t->aside) {
		if (t->aside == depth + 1)
			t->aside = 0;
		return;
	}
	/* Outside of all chunk functions. */
	if (!depth && (func == lock_addr || func == unlock_addr))
		return;
	if (func == lock_addr) {
		if (!t->locks++)
			t->locked_at = ret;
	} else if (func == unlock_addr) {
		CHECK(t->locks > 0);
		if (--t->locks)
			return;
		while (depth && !t->stack[depth])
			depth--;
		if (t->stack[depth])
			add(&t->stack[depth]->sections, call - t->locked_at,
			    interrupted(t, t->locked_at, call));
	} else if (t->stack[depth]) {
		if (is_called(t->stack[depth]->name, "prune_some"))
			t->pruned_at = call;
		else if (t->pruned_at >= call)
			return;
		add(&t->stack[depth]->calls, ret - call,
		    interrupted(t, call, ret));
	}
}

static uint64_t u64_at(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* struct trace_entry: type, flags, preempt count, pid. */
static void event(const uint8_t *p)
{
	uint16_t type = p[0] | p[1] << 8;
	struct task *t = task_of(u32_at(p + 4));

	if (type == entry_fmt.id)
		on_entry(t, u64_at(p + entry_fmt.func),
			 u32_at(p + entry_fmt.depth));
	else if (type == exit_fmt.id)
		on_exit_of(t, u64_at(p + exit_fmt.func),
			   u32_at(p + exit_fmt.depth),
			   u64_at(p + exit_fmt.calltime),
			   u64_at(p + exit_fmt.rettime));
}

/* A page of the ring buffer: Documentation/trace/ring-buffer-design. */
static void page(const uint8_t *p)
{
	const uint32_t commit = u32_at(p + 8) & 0xfffff;
	const uint8_t *at = p + 16, *end = at + commit;

	while (at < end) {
		uint32_t head = u32_at(at), type = head & 31, len;

		switch (type) {
		case 29:		/* padding, to the page's end if 0 */
			if (!(head >> 5))
				return;
			at += 4 + u32_at(at + 4);
			break;
		case 30:		/* longer times */
		case 31:
			at += 8;
			break;
		case 0:
			len = u32_at(at + 4);
			event(at + 8);
			at += 4 + ((len + 3) & ~3U);
			break;
		default:
			event(at + 4);
			at += 4 + 4 * type;
		}
	}
}

static long stat_of(const char *name)
{
	const char *p = strstr(get("per_cpu/cpu0/stats"), name);

	CHECK(p);
	return atol(p + strlen(name));
}

void ftrace_end(void)
{
	static uint8_t buf[65536];
	ssize_t n, i, size = sysconf(_SC_PAGESIZE);
	int fd;

	put("tracing_on", "0");
	/* Everything that was traced, or no figure. */
	if (stat_of("\noverrun: ") || stat_of("\ndropped events: ")) {
		fprintf(stderr, "longest: %s: too much for the buffer\n",
			phase);
		exit(1);
	}
	fd = open(TRACEFS "per_cpu/cpu0/trace_pipe_raw",
		  O_RDONLY | O_NONBLOCK);
	CHECK(fd >= 0);
	while ((n = read(fd, buf, size)) > 0)
		for (i = 0; i < n; i += size)
			page(buf + i);
	close(fd);
}
