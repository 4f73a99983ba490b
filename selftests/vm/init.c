// SPDX-License-Identifier: MIT
/*
 * The first process of the test VM: mounts what programs expect, loads the
 * module, runs one command with its standard streams carried over the second
 * serial port (proto.h), looks for leaks if asked to, and ends the VM.
 *
 * What to do is in /vm/config, a line each:
 *
 *   arg WORD        the command, word for word
 *   cwd DIR         where to run it
 *   env NAME=VALUE
 *   module FILE     insert this module, with the
 *   modargs TEXT    parameters for it
 *   unload          remove the module afterwards; it must be possible
 *   kmemleak        look for memory leaked by the module afterwards
 *   coverage        write what gcov counted, as an archive, to the third port
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "proto.h"

#define MAX_ARGS	4096
#define MAX_ENV		64

/* taints that say something broke: MCE, bad page, oops, warning, lockup */
#define TAINT_BAD	(1ul << 4 | 1ul << 5 | 1ul << 7 | 1ul << 9 | 1ul << 14)

static struct {
	char *argv[MAX_ARGS + 1];
	char *env[MAX_ENV + 1];
	const char *cwd, *module, *modargs;
	bool unload, kmemleak, coverage;
	int argc, envc;
} conf = { .cwd = "/", .modargs = "" };

static int port = -1;

/* The command's standard input: what came for it and is not written yet. */
static struct {
	char buf[VM_WINDOW * 2];
	size_t len;
	int fd;
	bool eof;
} in;

static void write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (n < 0)
			continue;
		p += n;
		len -= n;
	}
}

static void send_frame(enum vm_type type, const void *data, size_t len)
{
	char buf[sizeof(struct vm_frame) + VM_MAX];
	struct vm_frame head = { VM_MAGIC, len, type, { 0 } };

	memcpy(buf, &head, sizeof(head));
	memcpy(buf + sizeof(head), data, len);
	write_all(port, buf, sizeof(head) + len);
}

static void send_u32(enum vm_type type, uint32_t value)
{
	send_frame(type, &value, sizeof(value));
}

__attribute__((format(printf, 2, 3)))
static void send_text(enum vm_type type, const char *fmt, ...)
{
	char text[VM_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(text))
		n = sizeof(text) - 1;
	send_frame(type, text, n);
}

static int put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static void console(const char *text)
{
	put_file("/dev/kmsg", text);
}

static void __attribute__((noreturn)) power_off(void)
{
	tcdrain(port);
	sync();
	if (!ioperm(VM_DEBUG_PORT, 4, 1))
		outl(VM_DEBUG_DONE, VM_DEBUG_PORT);
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

/* For what keeps the command from being run at all. */
__attribute__((noreturn, format(printf, 1, 2)))
static void give_up(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send_text(VM_BAD, "%s", text);
	power_off();
}

static void *resized(void *p, size_t size)
{
	p = realloc(p, size);
	if (!p)
		give_up("no memory: %zu bytes", size);
	return p;
}

/* Reads a whole file of a virtual file system; the caller frees it. */
static char *get_file(const char *path)
{
	size_t size = 1 << 16, len = 0;
	char *text = resized(NULL, size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	while (fd >= 0 && (n = read(fd, text + len, size - len - 1)) > 0) {
		len += n;
		if (size - len < 4096)
			text = resized(text, size *= 2);
	}
	if (fd >= 0)
		close(fd);
	text[len] = '\0';
	return text;
}

static void try_mount(const char *type, const char *dir, unsigned long flags,
		      const char *data)
{
	mkdir(dir, 0755);
	mount(type, dir, type, flags, data);
}

static void mounts(void)
{
	/* Not every kernel has all of these. */
	try_mount("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
	try_mount("proc", "/proc", MS_NOSUID, NULL);
	try_mount("sysfs", "/sys", MS_NOSUID, NULL);
	try_mount("devpts", "/dev/pts", MS_NOSUID, "ptmxmode=0666,mode=0620");
	try_mount("tmpfs", "/dev/shm", MS_NOSUID, "mode=1777");
	chmod("/tmp", 01777);	/* no mount: files may have come with it */
	try_mount("tmpfs", "/run", MS_NOSUID, "mode=0755");
	try_mount("debugfs", "/sys/kernel/debug", 0, NULL);
	try_mount("tracefs", "/sys/kernel/tracing", 0, NULL);
	try_mount("cgroup2", "/sys/fs/cgroup", 0, NULL);
	put_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	put_file("/sys/fs/cgroup/cgroup.subtree_control", "+pids");
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

static void loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_name = "lo" };

	if (fd < 0)
		return;
	if (!ioctl(fd, SIOCGIFFLAGS, &req)) {
		req.ifr_flags |= IFF_UP;
		ioctl(fd, SIOCSIFFLAGS, &req);
	}
	close(fd);
}

static void open_port(void)
{
	struct termios tio;

	port = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (port < 0) {
		console("<3>kvbm-vm: no /dev/ttyS1\n");
		reboot(RB_AUTOBOOT);
	}
	tcgetattr(port, &tio);
	cfmakeraw(&tio);
	cfsetspeed(&tio, B115200);
	tio.c_cflag |= CLOCAL | CREAD;
	tcsetattr(port, TCSANOW, &tio);
	write_all(port, VM_HELLO, strlen(VM_HELLO));
}

static void read_config(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	FILE *f = fopen("/vm/config", "re");

	if (!f)
		give_up("no /vm/config");
	while ((len = getline(&line, &size, f)) > 0) {
		char *value;

		line[len - 1] = '\0';
		value = strchr(line, ' ');
		value = strdup(value ? value + 1 : "");
		/* newlines in words travel as \001 */
		for (char *p = value; *p; p++)
			if (*p == '\001')
				*p = '\n';
		line[strcspn(line, " ")] = '\0';
		if (!strcmp(line, "arg") && conf.argc < MAX_ARGS)
			conf.argv[conf.argc++] = value;
		else if (!strcmp(line, "env") && conf.envc < MAX_ENV)
			conf.env[conf.envc++] = value;
		else if (!strcmp(line, "cwd"))
			conf.cwd = value;
		else if (!strcmp(line, "module"))
			conf.module = value;
		else if (!strcmp(line, "modargs"))
			conf.modargs = value;
		else if (!strcmp(line, "unload"))
			conf.unload = true;
		else if (!strcmp(line, "kmemleak"))
			conf.kmemleak = true;
		else if (!strcmp(line, "coverage"))
			conf.coverage = true;
		else
			give_up("/vm/config: cannot take '%s'", line);
	}
	free(line);
	fclose(f);
	if (!conf.argc)
		give_up("no command");
}

static unsigned long taint(void)
{
	char *text = get_file("/proc/sys/kernel/tainted");
	unsigned long bits = strtoul(text, NULL, 10);

	free(text);
	return bits;
}

static void load_module(void)
{
	int fd;

	if (!conf.module)
		return;
	fd = open(conf.module, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		give_up("cannot open %s: %s", conf.module, strerror(errno));
	if (syscall(SYS_finit_module, fd, conf.modargs, 0))
		give_up("cannot insert %s %s: %s", conf.module, conf.modargs,
			strerror(errno));
	close(fd);
}

static const char *module_name(void)
{
	static char name[64];
	const char *base = strrchr(conf.module, '/');

	snprintf(name, sizeof(name), "%s", base ? base + 1 : conf.module);
	name[strcspn(name, ".")] = '\0';
	for (char *p = name; *p; p++)
		if (*p == '-')
			*p = '_';
	return name;
}

struct range { unsigned long start, end; };

static struct range module_range(void)
{
	char *text = get_file("/proc/modules"), *line, *save;
	struct range r = { 0, 0 };
	char name[64];
	unsigned long size, at;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "%63s %lu %*s %*s %*s %lx", name, &size,
			   &at) == 3 && !strcmp(name, module_name()))
			r = (struct range){ at, at + size };
	}
	free(text);
	return r;
}

static void unload_module(void)
{
	if (syscall(SYS_delete_module, module_name(), O_NONBLOCK))
		send_text(VM_BAD, "cannot remove %s: %s", module_name(),
			  strerror(errno));
}

/* The module's functions, by /proc/kallsyms, for when it is gone. */
static struct symbol { unsigned long at; char name[60]; } *symbols;
static int nsymbols;

static void keep_symbols(void)
{
	char *text = get_file("/proc/kallsyms"), *line, *save;
	char owner[80], want[80];
	struct symbol s;

	snprintf(want, sizeof(want), "[%s]", module_name());
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "%lx %*c %59s %79s", &s.at, s.name,
			   owner) != 3 || strcmp(owner, want))
			continue;
		symbols = resized(symbols, (nsymbols + 1) * sizeof(s));
		symbols[nsymbols++] = s;
	}
	free(text);
}

static const struct symbol *symbol_of(unsigned long at)
{
	const struct symbol *best = NULL;

	for (int i = 0; i < nsymbols; i++)
		if (symbols[i].at <= at && (!best || symbols[i].at > best->at))
			best = &symbols[i];
	return best;
}

/*
 * Sends a kmemleak report if it is about the module, whose addresses it
 * cannot name when the module has been removed: we can.
 */
static bool show_report(char *report, struct range r)
{
	char out[VM_MAX], tag[80], *line, *save;
	bool ours = false;
	size_t len = 0;

	snprintf(tag, sizeof(tag), "[%s]", module_name());
	for (line = strtok_r(report, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		const char *p = strstr(line, " 0xffff");
		unsigned long at = p ? strtoul(p, NULL, 16) : 0;
		const struct symbol *s = NULL;

		if (at >= r.start && at < r.end)
			s = symbol_of(at);
		ours |= s || strstr(line, tag);
		if (len < sizeof(out) && s)
			len += snprintf(out + len, sizeof(out) - len,
					"%s %s+%#lx\n", line, s->name,
					at - s->at);
		else if (len < sizeof(out))
			len += snprintf(out + len, sizeof(out) - len, "%s\n",
					line);
	}
	if (ours)
		send_text(VM_NOTE, "%s", out);
	return ours;
}

static void leak_check(void)
{
	static const char start[] = "unreferenced object";
	struct range r = module_range();
	char *text, *p;
	int i, found = 0;

	if (!r.start)
		give_up("no module to look for leaks of");
	keep_symbols();
	unload_module();
	/* Objects younger than 5 s are not reported, nor are those that
	 * only one scan has seen.
	 */
	sleep(6);
	for (i = 0; i < 2; i++) {
		int err = put_file("/sys/kernel/debug/kmemleak", "scan");

		if (err) {
			send_text(VM_BAD, "kmemleak does not work: %s",
				  strerror(-err));
			return;
		}
	}
	text = get_file("/sys/kernel/debug/kmemleak");
	for (p = strstr(text, start); p; ) {
		char *next = strstr(p + 1, start);

		if (next)
			next[-1] = '\0';
		found += show_report(p, r);
		p = next;
	}
	free(text);
	if (found)
		send_text(VM_BAD, "kmemleak: %d leaked objects", found);
}

/* The counters' files have no size until they are read: copy them first. */
static void send_coverage(void)
{
	static const char script[] =
		"cd /sys/kernel/debug/gcov && stty -F /dev/ttyS2 raw && "
		"find . -name '*.gcda' | while read -r f; do "
		"mkdir -p /run/gcov/${f%/*} && cat $f >/run/gcov/$f || exit; done"
		" && tar -cz -C /run/gcov . >/dev/ttyS2";

	if (system(script))
		send_text(VM_BAD, "cannot tell what gcov counted\n");
}

/* Tells where every process of the command is, and what the kernel does. */
static void show_tasks(void)
{
	struct dirent *d;
	DIR *dir = opendir("/proc");

	while (dir && (d = readdir(dir))) {
		char path[300], *name, *stack;

		if (atoi(d->d_name) <= 1)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/cmdline", d->d_name);
		name = get_file(path);
		snprintf(path, sizeof(path), "/proc/%s/stack", d->d_name);
		stack = get_file(path);
		if (name[0])
			send_text(VM_NOTE, "%s %.200s\n%.700s", d->d_name,
				  name, stack);
		free(name);
		free(stack);
	}
	if (dir)
		closedir(dir);
	put_file("/proc/sysrq-trigger", "l");
	put_file("/proc/sysrq-trigger", "w");
}

/* Takes frames out of what came from the host. */
static void from_host(void)
{
	static char buf[VM_WINDOW * 4];
	static size_t len;
	struct vm_frame head;
	ssize_t n = read(port, buf + len, sizeof(buf) - len);

	if (n <= 0)
		return;
	len += n;
	while (len >= sizeof(head)) {
		memcpy(&head, buf, sizeof(head));
		if (head.magic != VM_MAGIC || head.len > VM_MAX)
			give_up("bad frame from the host");
		if (len < sizeof(head) + head.len)
			return;
		switch (head.type) {
		case VM_IN:
			if (in.len + head.len > sizeof(in.buf))
				give_up("more input than was asked for");
			memcpy(in.buf + in.len, buf + sizeof(head), head.len);
			in.len += head.len;
			break;
		case VM_EOF:
			in.eof = true;
			break;
		case VM_STUCK:
			show_tasks();
			break;
		}
		len -= sizeof(head) + head.len;
		memmove(buf, buf + sizeof(head) + head.len, len);
	}
}

/* Hands the command what there is of its standard input. */
static void feed(void)
{
	ssize_t n = in.len;

	if (in.fd >= 0 && in.len)
		n = write(in.fd, in.buf, in.len);
	if (n < 0 && errno == EPIPE) {
		/* nobody reads: swallow what still comes */
		close(in.fd);
		in.fd = -1;
		n = in.len;
	}
	if (n > 0) {
		in.len -= n;
		memmove(in.buf, in.buf + n, in.len);
		send_u32(VM_CREDIT, n);
	}
	if (in.fd >= 0 && in.eof && !in.len) {
		close(in.fd);
		in.fd = -1;
	}
}

/* Returns false at the end of the stream. */
static bool pump(int fd, enum vm_type type)
{
	char buf[VM_MAX];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n > 0)
		send_frame(type, buf, n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static pid_t start(int *out, int *err)
{
	int p[3][2];
	pid_t pid;

	for (int i = 0; i < 3; i++)
		if (pipe2(p[i], O_CLOEXEC))
			give_up("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		give_up("fork: %s", strerror(errno));
	if (!pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		setsid();
		dup2(p[0][0], 0);
		dup2(p[1][1], 1);
		dup2(p[2][1], 2);
		clearenv();
		for (int i = 0; i < conf.envc; i++)
			putenv(conf.env[i]);
		if (chdir(conf.cwd))
			dprintf(2, "%s: %s\n", conf.cwd, strerror(errno));
		execvp(conf.argv[0], conf.argv);
		dprintf(2, "%s: %s\n", conf.argv[0], strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	close(p[0][0]);
	close(p[1][1]);
	close(p[2][1]);
	in.fd = p[0][1];
	*out = p[1][0];
	*err = p[2][0];
	fcntl(in.fd, F_SETFL, O_NONBLOCK);
	fcntl(*out, F_SETFL, O_NONBLOCK);
	fcntl(*err, F_SETFL, O_NONBLOCK);
	return pid;
}

/* Runs the command and returns its exit status as a shell would name it. */
static int run(int sigfd)
{
	int out, err, status = -1;
	pid_t pid = start(&out, &err);

	send_u32(VM_CREDIT, VM_WINDOW);
	while (status < 0) {
		struct pollfd p[] = {
			{ .fd = port, .events = POLLIN },
			{ .fd = out, .events = POLLIN },
			{ .fd = err, .events = POLLIN },
			{ .fd = in.len ? in.fd : -1, .events = POLLOUT },
			{ .fd = sigfd, .events = POLLIN },
		};
		struct signalfd_siginfo info;
		pid_t dead;
		int st;

		poll(p, 5, -1);
		if (p[0].revents)
			from_host();
		if (p[1].revents && !pump(out, VM_OUT)) {
			close(out);
			out = -1;
		}
		if (p[2].revents && !pump(err, VM_ERR)) {
			close(err);
			err = -1;
		}
		if (p[3].revents || in.fd < 0 || in.eof)
			feed();
		if (!p[4].revents ||
		    read(sigfd, &info, sizeof(info)) != sizeof(info))
			continue;
		while ((dead = waitpid(-1, &st, WNOHANG)) > 0)
			if (dead == pid)
				status = WIFEXITED(st) ? WEXITSTATUS(st) :
					 128 + WTERMSIG(st);
	}
	/* What the command itself wrote is in the pipes by now. */
	for (int i = 0; i < 2; i++) {
		struct pollfd p = { .fd = i ? err : out, .events = POLLIN };

		while (p.fd >= 0 && poll(&p, 1, 0) > 0 &&
		       pump(p.fd, i ? VM_ERR : VM_OUT))
			;
	}
	return status;
}

int main(void)
{
	unsigned long before, after;
	sigset_t mask;
	char text[80];
	int sigfd, status;

	mounts();
	open_port();
	read_config();
	loopback_up();
	sethostname("vm", 2);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	sigfd = signalfd(-1, &mask, SFD_CLOEXEC);

	/* From here on the console shows everything, and a splat counts. */
	put_file("/proc/sys/kernel/printk", "8");
	before = taint();
	console("<4>" VM_BEGIN "\n");
	load_module();
	status = run(sigfd);

	/* Leftovers of the command end before the module is looked at. */
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	if (conf.kmemleak)
		leak_check();
	else if (conf.unload)
		unload_module();
	if (conf.coverage)
		send_coverage();
	after = taint();
	if (after & ~before & TAINT_BAD)
		send_u32(VM_TAINT, after);
	snprintf(text, sizeof(text), "<4>" VM_END " status=%d taint=%#lx\n",
		 status, after);
	console(text);
	send_u32(VM_EXIT, status);
	power_off();
}
