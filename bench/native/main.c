// SPDX-License-Identifier: MIT
/*
 * kvbm-native: the core's cost per block, in user space, as JSON lines.
 *
 *	kvbm-native		everything
 *	kvbm-native --quick	the figures that the design has targets for
 *	kvbm-native --only X	figures with X in their name
 *	kvbm-native --count	under callgrind: instructions instead of time
 *	kvbm-native --step	instructions at all sizes, shapes, by stepping
 *	kvbm-native --attack	what colliding hashes cost others, stepped: TAP
 *	kvbm-native --learn	what an attacker learns from times: TAP
 *	kvbm-native --group G	for bench/run-reference: see reference.c
 *	kvbm-native --vm	the clock counts instructions: see selftests/vm
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include "bench.h"
#include "index.h"

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "count", no_argument, NULL, 'c' },
		{ "step", no_argument, NULL, 't' },
		{ "attack", no_argument, NULL, 'a' },
		{ "learn", no_argument, NULL, 'l' },
		{ "vm", no_argument, NULL, 'v' },
		{ "only", required_argument, NULL, 'o' },
		{ "group", required_argument, NULL, 'g' },
		{ "seconds", required_argument, NULL, 's' },
		{ }
	};
	bool attack = false, learn = false;
	const char *group = NULL;
	int o;

	while ((o = getopt_long(argc, argv, "qctalvo:g:s:", options, NULL)) != -1) {
		switch (o) {
		case 'q': opt.quick = true; break;
		case 'c': opt.count = true; break;
		case 't': opt.step = true; break;
		case 'a': attack = true; break;
		case 'l': learn = true; break;
		case 'v': opt.vm = true; break;
		case 'o': opt.only = optarg; break;
		case 'g': group = optarg; break;
		case 's': opt.seconds = atof(optarg); break;
		default: return 2;
		}
	}
	if (opt.step || attack || learn)
		step_start();
	host_seed(1);
	if (attack)
		return bench_attack();
	if (learn)
		return bench_learn();
	if (group)
		return bench_group(group);
	if (!opt.vm && !opt.step)
		measure_syscalls();
	bench_memory();
	bench_hold();
	if (!opt.quick) {
		bench_scale();
		bench_rivals();
		bench_shape();
		bench_reclaim();
	}
	bench_evict();
	return 0;
}
