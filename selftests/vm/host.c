// SPDX-License-Identifier: MIT
/*
 * Runs QEMU for the script "run": passes the standard streams on (proto.h),
 * watches the console for what a kernel says when something is broken, and
 * turns it all into one exit status.
 *
 *   host [options] -- QEMU ARGUMENTS...
 *
 *   --timeout S     the command may take this long, from boot to power off
 *                   (default 300)
 *   --boot S        the boot may take this long (default 180)
 *   --console FILE  keep the console's output here
 *   --allow REGEX   lines of the console that are no splat
 *   --own NAME      data races count only if this module is in the report
 *   --workdir DIR   remove this directory at the end
 *   --verbose       show the console on standard error
 *   --tsc           print the time stamp counter's kHz and stop
 *
 * QEMU has the console on the chardev "con" and the protocol on "proto";
 * both are given to it here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "proto.h"

/* Exit statuses of a run that failed on its own account, see run --help. */
enum { SPLAT = 120, STUCK = 121, DIED = 122, BROKEN = 123 };

#define SHOW_LINES	80	/* of a splat */

/* the console's last lines, which are shown when a VM just stops */
#define TAIL_LINES	40

/*
 * What a kernel prints when it found something wrong. Searched for only
 * while the command runs; what a stock kernel says of the emulated hardware
 * while it boots is not our business.
 */
static const char splat_words[] =
	"WARNING: |\\bBUG[ :]|kernel BUG at|UBSAN: |ODEBUG: |DEBUG_LOCKS_WARN"
	"|KASAN|KCSAN|KFENCE|KMSAN|refcount_t: |list_(add|del) corruption"
	"|Oops|general protection fault[,:]|double fault"
	"|stack segment: |divide error: |invalid opcode: |unable to handle"
	"|Kernel panic|soft lockup|hard LOCKUP|workqueue lockup"
	"|INFO: task .* blocked|INFO: rcu|INFO: trying to register"
	"|self-detected stall|detected stalls|detected expedited stalls"
	"|kthread starved|scheduling while atomic"
	"|suspicious RCU usage|possible recursive locking"
	"|possible circular locking|inconsistent lock state"
	"|Invalid wait context|bad unlock balance|held lock freed"
	"|lock held when returning to user|still has locks held"
	"|Objects remaining in|kmem_cache_destroy|Slab 0x"
	"|page allocation failure|vmalloc error"
	"|invoked oom-killer|Bad page |bad: scheduling"
	"|usercopy: Kernel memory|stack-protector|corrupted stack"
	"|tried to init an initialized object|cannot create duplicate"
	"|nobody cared|NMI backtrace|detected buffer overflow"
	"|MAX_LOCK|MAX_STACK_TRACE|turning off the locking correctness";

static struct {
	int timeout, boot;
	const char *console, *workdir;
	char own[80];
	bool verbose;
} opt = { .timeout = 300, .boot = 180 };

static struct {
	char buf[65536];
	size_t len;
	bool hello, done;
	int status, bad;
	uint32_t credit, taint;
} guest;

static regex_t splat_re;
static regex_t allow_re[32];
static int allows;

static pid_t qemu;
static volatile sig_atomic_t interrupted;

static struct {
	char line[2048];
	size_t len;
	FILE *file;
	bool armed;		/* the command runs */
	int left;		/* lines of the splat still to be shown */
	int splats, allowed;
	char *race;		/* a report of KCSAN, as far as it has come */
	size_t race_len;
	int foreign;		/* races that are not ours */
	char tail[TAIL_LINES][160];
	unsigned int lines;
} con;

static void say(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list ap;

	fputs("vm: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void print_tsc(void)
{
	double start = now();
	unsigned long long c = __rdtsc();

	usleep(50000);
	c = __rdtsc() - c;
	printf("%.0f\n", c / (now() - start) / 1000);
}

static void on_signal(int sig)
{
	interrupted = sig;
}

static void clean_up(void)
{
	int status;
	pid_t pid;

	if (qemu > 0) {
		kill(qemu, SIGKILL);
		waitpid(qemu, &status, 0);
	}
	if (!opt.workdir)
		return;
	pid = fork();
	if (!pid) {
		execlp("rm", "rm", "-rf", "--", opt.workdir, NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
}

static void __attribute__((noreturn)) finish(int status)
{
	if (con.file)
		fclose(con.file);
	clean_up();
	exit(status);
}

static void splat(void)
{
	if (!con.splats++)
		say("the kernel reports:");
	if (con.splats <= 5)
		con.left = SHOW_LINES;
}

static void show(const char *line)
{
	if (con.left && !opt.verbose) {
		con.left--;
		fprintf(stderr, "| %s\n", line);
	}
}

/*
 * A KCSAN kernel finds races all over the kernel, which are not ours to mend:
 * a report is kept back until it is whole, and counts if the module is in it,
 * other than as what an interrupt came upon. Returns false for lines that belong
 * to no such report.
 */
static bool race_line(const char *line)
{
	static bool ours, interrupted;
	static FILE *f;

	if (!f) {
		if (!opt.own[0] || !strstr(line, "BUG: KCSAN: "))
			return false;
		f = open_memstream(&con.race, &con.race_len);
		ours = false;
		interrupted = false;
	}
	if (!strstr(line, "==========")) {
		/* A stack begins; where an interrupt does; a frame. */
		if (strstr(line, " on cpu "))
			interrupted = false;
		else if (strstr(line, " asm_sysvec_") ||
			 strstr(line, " asm_common_interrupt"))
			interrupted = true;
		else if (!interrupted && strstr(line, opt.own))
			ours = true;
		fprintf(f, "%s\n", line);
		return true;
	}
	fclose(f);
	f = NULL;
	/* 6.1 clears non_rcu of credentials that threads share, each time. */
	if (ours &&
	    !strstr(con.race, " in __alloc_file / __alloc_file")) {
		splat();
		for (char *p = strtok(con.race, "\n"); p;
		     p = strtok(NULL, "\n"))
			show(p);
		con.left = 0;
	} else {
		con.foreign++;
	}
	free(con.race);
	return true;
}

static void console_line(const char *line)
{
	char *tail = con.tail[con.lines++ % TAIL_LINES];
	size_t len = strnlen(line, sizeof(con.tail[0]) - 1);

	memcpy(tail, line, len);
	tail[len] = '\0';
	if (con.file)
		fprintf(con.file, "%s\n", line);
	if (opt.verbose)
		fprintf(stderr, "| %s\n", line);
	if (strstr(line, VM_BEGIN))
		con.armed = true;
	if (con.armed && race_line(line))
		return;
	/* A panic counts whenever it comes. */
	if ((con.armed || strstr(line, "Kernel panic")) &&
	    !regexec(&splat_re, line, 0, NULL, 0)) {
		for (int i = 0; i < allows; i++)
			if (!regexec(&allow_re[i], line, 0, NULL, 0)) {
				con.allowed++;
				return;
			}
		splat();
	}
	if (strstr(line, VM_END))
		con.left = 0;
	show(line);
}

/* Returns false at the end of the stream. */
static bool from_console(int fd)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] == '\n' || con.len == sizeof(con.line) - 1) {
			con.line[con.len] = '\0';
			con.len = 0;
			console_line(con.line);
		} else if (buf[i] != '\r' && buf[i]) {
			con.line[con.len++] = buf[i];
		}
	}
	return true;
}

static void show_tail(void)
{
	unsigned int i = con.lines > TAIL_LINES ? con.lines - TAIL_LINES : 0;

	/* A report is on the screen already, but not one of the boot. */
	if (opt.verbose || (con.splats && guest.hello))
		return;
	say("the console's last lines:");
	for (; i < con.lines; i++)
		fprintf(stderr, "| %s\n", con.tail[i % TAIL_LINES]);
}

static bool write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);
		struct pollfd pfd = { .fd = fd, .events = POLLOUT };

		if (n < 0 && errno == EAGAIN)
			poll(&pfd, 1, 1000);
		else if (n < 0 && errno != EINTR)
			return false;
		if (interrupted)
			return false;
		if (n > 0) {
			p += n;
			len -= n;
		}
	}
	return true;
}

static void send_frame(int fd, enum vm_type type, const void *data, size_t len)
{
	char buf[sizeof(struct vm_frame) + VM_MAX];
	struct vm_frame head = { VM_MAGIC, len, type, { 0 } };

	memcpy(buf, &head, sizeof(head));
	if (len)
		memcpy(buf + sizeof(head), data, len);
	write_all(fd, buf, sizeof(head) + len);
}

static void frame(const struct vm_frame *head, const char *data)
{
	uint32_t value = 0;

	if (head->len >= sizeof(value))
		memcpy(&value, data, sizeof(value));
	switch (head->type) {
	case VM_OUT:
	case VM_ERR:
		if (!write_all(head->type == VM_OUT ? 1 : 2, data, head->len))
			finish(interrupted ? 128 + interrupted :
			       128 + SIGPIPE);
		break;
	case VM_CREDIT:
		guest.credit += value;
		break;
	case VM_NOTE:
		fprintf(stderr, "%.*s", head->len, data);
		break;
	case VM_BAD:
		guest.bad++;
		say("%.*s", head->len, data);
		break;
	case VM_TAINT:
		guest.taint = value;
		break;
	case VM_EXIT:
		guest.done = true;
		guest.status = value;
		break;
	default:
		say("unknown frame from the guest");
		guest.bad++;
	}
}

/* Returns false at the end of the stream. */
static bool from_guest(int fd)
{
	ssize_t n = read(fd, guest.buf + guest.len,
			 sizeof(guest.buf) - guest.len);
	struct vm_frame head;
	size_t at = 0;

	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	guest.len += n;
	if (!guest.hello) {
		char *p = memmem(guest.buf, guest.len, VM_HELLO,
				 strlen(VM_HELLO));

		if (!p)
			return true;
		guest.hello = true;
		at = p - guest.buf + strlen(VM_HELLO);
	}
	while (guest.len - at >= sizeof(head)) {
		memcpy(&head, guest.buf + at, sizeof(head));
		if (head.magic != VM_MAGIC || head.len > VM_MAX) {
			say("the line to the guest is garbled");
			finish(BROKEN);
		}
		if (guest.len - at < sizeof(head) + head.len)
			break;
		frame(&head, guest.buf + at + sizeof(head));
		at += sizeof(head) + head.len;
	}
	guest.len -= at;
	memmove(guest.buf, guest.buf + at, guest.len);
	return true;
}

static void start_qemu(char **argv, int argc, int *proto, int *console)
{
	char con_arg[64];
	char **args = calloc(argc + 8, sizeof(*args));
	int pair[2], pipefd[2];
	pid_t parent = getpid();

	if (!args || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ||
	    pipe2(pipefd, O_CLOEXEC)) {
		say("cannot start QEMU: %s", strerror(errno));
		finish(BROKEN);
	}
	memcpy(args, argv, argc * sizeof(*args));
	snprintf(con_arg, sizeof(con_arg), "file,id=con,path=/dev/fd/%d",
		 pipefd[1]);
	args[argc++] = "-chardev";
	args[argc++] = con_arg;
	args[argc++] = "-chardev";
	args[argc++] = "stdio,id=proto,signal=off";
	qemu = fork();
	if (!qemu) {
		/* A VM must not outlive this, nor see the terminal's ^C. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		setpgid(0, 0);
		signal(SIGPIPE, SIG_DFL);
		dup2(pair[1], 0);
		dup2(pair[1], 1);
		fcntl(pipefd[1], F_SETFD, 0);
		execvp(args[0], args);
		fprintf(stderr, "vm: %s: %s\n", args[0], strerror(errno));
		_exit(127);
	}
	free(args);
	close(pair[1]);
	close(pipefd[1]);
	*proto = pair[0];
	*console = pipefd[0];
	fcntl(*proto, F_SETFL, O_NONBLOCK);
	fcntl(*console, F_SETFL, O_NONBLOCK);
}

/* Standard input of a job in the background must be left alone. */
static bool may_read_stdin(void)
{
	return !isatty(0) || tcgetpgrp(0) == getpgrp();
}

/* Carries everything to and fro until the VM is gone. Returns the reason for
 * an early end, or 0.
 */
static int relay(int proto, int console)
{
	double start = now(), begun = 0, sent_stuck = 0;
	bool eof = false;
	char buf[VM_MAX];

	while (proto >= 0 || console >= 0) {
		bool take = guest.credit && !eof && !guest.done;
		struct pollfd p[] = {
			{ .fd = proto, .events = POLLIN },
			{ .fd = console, .events = POLLIN },
			{ .fd = take && may_read_stdin() ? 0 : -1,
			  .events = POLLIN },
		};

		poll(p, 3, 200);
		if (interrupted)
			return 128 + interrupted;
		if (p[1].revents && !from_console(console)) {
			close(console);
			console = -1;
		}
		if (p[0].revents && !from_guest(proto)) {
			close(proto);
			proto = -1;
		}
		if (p[2].revents && proto >= 0) {
			size_t want = guest.credit < sizeof(buf) ?
				      guest.credit : sizeof(buf);
			ssize_t n = read(0, buf, want);

			if (n > 0) {
				send_frame(proto, VM_IN, buf, n);
				guest.credit -= n;
			} else if (!n || errno != EINTR) {
				send_frame(proto, VM_EOF, NULL, 0);
				eof = true;
			}
		}
		if (!guest.hello) {
			if (now() - start > opt.boot) {
				say("no sign of life after %d s", opt.boot);
				return STUCK;
			}
			continue;
		}
		if (!begun)
			begun = now();
		/* Out of time: what is everybody waiting for? */
		if (now() - begun > opt.timeout && !sent_stuck) {
			say("still running after %d s; the tasks:",
			    opt.timeout);
			sent_stuck = now();
			con.left = 400;
			con.armed = false;
			if (proto >= 0)
				send_frame(proto, VM_STUCK, NULL, 0);
		}
		if (sent_stuck && now() - sent_stuck > 3)
			return STUCK;
	}
	return sent_stuck ? STUCK : 0;
}

static void add_allow(const char *text)
{
	if (allows == 32 || regcomp(&allow_re[allows], text,
				    REG_EXTENDED | REG_NOSUB)) {
		say("--allow: bad expression '%s'", text);
		exit(2);
	}
	allows++;
}

static void options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "boot", required_argument, NULL, 'b' },
		{ "console", required_argument, NULL, 'c' },
		{ "allow", required_argument, NULL, 'a' },
		{ "own", required_argument, NULL, 'o' },
		{ "workdir", required_argument, NULL, 'w' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "tsc", no_argument, NULL, 'T' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		switch (c) {
		case 't': opt.timeout = atoi(optarg); break;
		case 'b': opt.boot = atoi(optarg); break;
		case 'c': opt.console = optarg; break;
		case 'a': add_allow(optarg); break;
		case 'o':
			snprintf(opt.own, sizeof(opt.own), "[%s]", optarg);
			break;
		case 'w': opt.workdir = optarg; break;
		case 'v': opt.verbose = true; break;
		case 'T': print_tsc(); exit(0);
		default: exit(2);
		}
	}
	if (optind == argc || opt.timeout <= 0) {
		say("host: see run --help");
		exit(2);
	}
}

/* From QEMU's start to its end. Returns what relay() returns. */
static int run_vm(char **argv, int argc, int *status)
{
	int proto, console, early;

	start_qemu(argv, argc, &proto, &console);
	early = relay(proto, console);
	if (early > 128)
		return early;
	if (early) {
		kill(qemu, SIGKILL);
		close(proto);
		close(console);
	}
	while (waitpid(qemu, status, 0) < 0 && errno == EINTR)
		;
	qemu = 0;
	return early;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int early, status = 0;

	options(argc, argv);
	if (regcomp(&splat_re, splat_words, REG_EXTENDED | REG_NOSUB)) {
		say("bad splat expression");
		return BROKEN;
	}
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (opt.console) {
		con.file = fopen(opt.console, "we");
		if (!con.file) {
			say("%s: %s", opt.console, strerror(errno));
			finish(BROKEN);
		}
	}
	early = run_vm(argv + optind, argc - optind, &status);
	if (!guest.hello && (early == STUCK || early == 0)) {
		/*
		 * Nothing of what is to be tested has run yet. QEMU's
		 * emulation is not without faults: once in many boots a
		 * kernel dies of one of them.
		 */
		show_tail();
		say("the boot failed, trying once more");
		memset(&guest, 0, sizeof(guest));
		con.splats = 0;
		con.left = 0;
		con.lines = 0;
		early = run_vm(argv + optind, argc - optind, &status);
	}
	if (early > 128)
		finish(early);
	if (early == STUCK) {
		if (!guest.hello)
			show_tail();
		finish(STUCK);
	}

	/* A panic, too, makes QEMU exit: with the guest's last word missing. */
	if (!guest.done || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 2 * VM_DEBUG_DONE + 1) {
		if (guest.bad && !con.splats)
			finish(BROKEN);
		say("the VM died before the command was done");
		show_tail();
		finish(DIED);
	}
	if (con.splats)
		say("%d kernel reports; the command's exit status was %d",
		    con.splats, guest.status);
	if (con.foreign)
		say("%d data races elsewhere in the kernel do not count",
		    con.foreign);
	/* A report that was allowed leaves its taint, too. */
	if (guest.taint && !con.splats && !con.allowed) {
		say("the kernel is tainted (%#x) and did not say why",
		    guest.taint);
		guest.bad++;
	}
	if (con.splats || guest.bad)
		finish(SPLAT);
	finish(guest.status);
}
