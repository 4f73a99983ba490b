// SPDX-License-Identifier: MIT
/*
 * --show-wakeup: one process holds every block, and another waits for some.
 * The holder is killed; how long until the waiter has its blocks?
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include "replay.h"

#define SLEEP_MS	200U			/* the waiter's sleep */
#define PATIENCE_NS	(20ULL * 1000 * 1000 * 1000)

/**
 * struct scene - shared by the three processes
 * @holding: blocks that the holder holds
 * @waited: from the waiter: blocks it got, or -errno
 * @asked_ns: when it asked
 * @granted_ns: when it had them
 */
struct scene {
	_Atomic uint32_t holding;
	int waited;
	uint64_t asked_ns;
	uint64_t granted_ns;
};

/* Half of the blocks stay Mutable: both kinds must be released. */
static int hold_all(int pool, uint32_t blocks, struct scene *scene)
{
	struct kvbm_registered *registered = calloc(blocks, sizeof(*registered));
	struct kvbm_hash *hashes = calloc(blocks, sizeof(*hashes));
	uint32_t *ids = calloc(blocks, sizeof(*ids));
	int session = kvbm_session_open(pool);
	uint32_t i;
	int ret;

	if (!registered || !hashes || !ids)
		return complain("holder", -ENOMEM);
	if (session < 0)
		return complain("holder: session", session);
	for (i = 0; i < blocks; i++)
		kvbm_hash_pack(i + 1, i, i, &hashes[i]);
	ret = kvbm_alloc(session, blocks, ids, NULL, NULL);
	if (ret >= 0)
		ret = kvbm_stage_register(session, blocks / 2, ids, hashes,
					  registered, 0, NULL);
	if (ret < 0)
		return complain("holder", ret);
	atomic_store(&scene->holding, blocks);
	for (;;)
		pause();
}

static int wait_for(int pool, uint32_t blocks, struct scene *scene)
{
	uint32_t *ids = calloc(blocks, sizeof(*ids));
	int session = kvbm_session_open(pool);

	if (!ids)
		return complain("waiter", -ENOMEM);
	if (session < 0)
		return complain("waiter: session", session);
	scene->asked_ns = now_ns();
	scene->waited = kvbm_alloc_wait(session, blocks, ids, NULL, NULL,
					kvbm_deadline(PATIENCE_NS));
	scene->granted_ns = now_ns();
	if (scene->waited < 0)
		return complain("waiter", scene->waited);
	return kvbm_release(session, blocks, ids, 0, NULL) < 0;
}

/* Poll until a condition of the scene is true; false after too long. */
static bool until(bool (*true_now)(int pool, struct scene *scene), int pool,
		  struct scene *scene)
{
	uint64_t end = now_ns() + PATIENCE_NS / 2;

	while (!true_now(pool, scene)) {
		if (now_ns() > end)
			return false;
		usleep(1000);
	}
	return true;
}

static bool is_held(int pool, struct scene *scene)
{
	(void)pool;
	return atomic_load(&scene->holding);
}

static bool is_waiting(int pool, struct scene *scene)
{
	struct kvbm_counts counts;

	(void)scene;
	return kvbm_counts(pool, &counts) >= 0 && counts.waiters == 1;
}

static pid_t start(int (*role)(int, uint32_t, struct scene *), int pool,
		   uint32_t blocks, struct scene *scene)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	_exit(role(pool, blocks, scene) ? 1 : 0);
}

static void print_text(uint32_t blocks, uint32_t wanted,
		       const struct scene *scene, uint64_t killed_ns,
		       uint64_t reaped_ns, const struct kvbm_counts *counts)
{
	printf("waiting     a worker asked for %u blocks while another held all %u, and slept.\n"
	       "            %.0f ms later the holder was killed. The waiter had its blocks %.1f ms\n"
	       "            after the signal; the holder was reaped after %.1f ms\n",
	       wanted, blocks, (killed_ns - scene->asked_ns) / 1e6,
	       (scene->granted_ns - killed_ns) / 1e6,
	       (reaped_ns - killed_ns) / 1e6);
	printf("accounted   reset %u + inactive %u + held %u = total %u\n",
	       counts->reset, counts->inactive, counts->held, counts->total);
}

static void print_json(uint32_t blocks, uint32_t wanted,
		       const struct scene *scene, uint64_t killed_ns,
		       uint64_t reaped_ns, const struct kvbm_counts *counts)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "blocks", json_object_new_uint64(blocks));
	json_object_object_add(o, "wanted", json_object_new_uint64(wanted));
	json_object_object_add(o, "slept_ns",
			       json_object_new_uint64(killed_ns -
						     scene->asked_ns));
	json_object_object_add(o, "kill_to_granted_ns",
			       json_object_new_uint64(scene->granted_ns -
						     killed_ns));
	json_object_object_add(o, "kill_to_reaped_ns",
			       json_object_new_uint64(reaped_ns - killed_ns));
	json_object_object_add(o, "reset", json_object_new_uint64(counts->reset));
	json_object_object_add(o, "inactive",
			       json_object_new_uint64(counts->inactive));
	json_object_object_add(o, "total", json_object_new_uint64(counts->total));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

int show_wakeup(const struct options *options)
{
	uint32_t blocks = options->create.total_blocks;
	uint32_t wanted = blocks < 100 ? blocks : 100;
	struct scene *scene = shared_memory(sizeof(*scene));
	uint64_t killed_ns, reaped_ns;
	struct kvbm_counts counts;
	pid_t holder, waiter;
	int pool, status;

	if (!scene) {
		complain("wakeup", -ENOMEM);
		return 1;
	}
	pool = create_store(&options->create, 0);
	if (pool < 0)
		return 1;

	holder = start(hold_all, pool, blocks, scene);
	if (holder < 0 || !until(is_held, pool, scene)) {
		fprintf(stderr, "kvbm-replay: the holder could not start\n");
		return 1;
	}
	waiter = start(wait_for, pool, wanted, scene);
	if (waiter < 0 || !until(is_waiting, pool, scene)) {
		fprintf(stderr, "kvbm-replay: nobody waits\n");
		return 1;
	}
	usleep(SLEEP_MS * 1000);
	if (!is_waiting(pool, scene)) {
		fprintf(stderr, "kvbm-replay: the waiter woke too early\n");
		return 1;
	}

	killed_ns = now_ns();
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	reaped_ns = now_ns();
	if (waitpid(waiter, &status, 0) < 0 || !WIFEXITED(status) ||
	    WEXITSTATUS(status) || scene->waited != (int)wanted) {
		fprintf(stderr, "kvbm-replay: the waiter did not get its blocks\n");
		return 1;
	}
	if (kvbm_counts(pool, &counts) < 0)
		return 1;
	(options->json ? print_json : print_text)(blocks, wanted, scene,
						  killed_ns, reaped_ns, &counts);
	if (counts.reset + counts.inactive != counts.total || counts.held ||
	    counts.waiters) {
		fprintf(stderr, "kvbm-replay: not every block is accounted for\n");
		return 1;
	}
	return 0;
}
