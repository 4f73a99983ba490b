// SPDX-License-Identifier: MIT
/*
 * Counts instructions one by one: a second process single-steps the measured
 * part and lets the rest run at full speed. So pools of any size can be
 * counted; under callgrind, filling the largest would take an hour. A string
 * instruction counts once for each byte, as in callgrind.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

static struct {
	volatile bool on;
	volatile u64 n;
} *steps;

static void ended(int status)
{
	if (WIFEXITED(status))
		exit(WEXITSTATUS(status));
	fprintf(stderr, "kvbm-native: signal %d\n", WTERMSIG(status));
	exit(1);
}

static void stepper(pid_t pid)
{
	int status, sig;

	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_EXITKILL);
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	for (;;) {
		CHECK(waitpid(pid, &status, 0) == pid);
		if (!WIFSTOPPED(status))
			ended(status);
		sig = WSTOPSIG(status);
		if (sig != SIGTRAP) {
			ptrace(PTRACE_CONT, pid, NULL, (void *)(long)sig);
		} else if (steps->on) {
			steps->n++;
			ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
		} else {
			ptrace(PTRACE_CONT, pid, NULL, NULL);
		}
	}
}

/* The caller goes on as the process that is stepped through. */
void step_start(void)
{
	pid_t pid;

	steps = mmap(NULL, sizeof(*steps), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(steps != MAP_FAILED);
	pid = fork();
	CHECK(pid >= 0);
	if (pid)
		stepper(pid);
	CHECK(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	raise(SIGSTOP);
}

static u64 step(void (*op)(void *arg), void *arg)
{
	steps->n = 0;
	steps->on = true;
	asm volatile("int3" : : : "memory");
	op(arg);
	steps->on = false;
	/* One more step, which sees that it is over. */
	asm volatile("nop" : : : "memory");
	return steps->n;
}

static void nothing(void *arg)
{
	asm volatile("" : : : "memory");
}

/* Instructions of op(arg), its call and return not among them. */
u64 step_count(void (*op)(void *arg), void *arg)
{
	static u64 none;

	if (!none)
		none = step(nothing, NULL) - 1;
	return step(op, arg) - none;
}
