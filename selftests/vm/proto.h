/* SPDX-License-Identifier: MIT */
/*
 * What host.c and init.c say to each other over the VM's second serial port.
 *
 * The guest speaks first: VM_HELLO, so that whatever firmware and kernel may
 * have put on the line before is skipped. From then on both sides send
 * frames. Serial ports have no flow control here, so the host sends standard
 * input only as far as the guest has asked for it.
 */
#ifndef VM_PROTO_H
#define VM_PROTO_H

#include <stdint.h>

#define VM_HELLO	"\001kvbm-vm-hello\n"
#define VM_MAGIC	0x4b56
#define VM_MAX		1024	/* bytes of payload in a frame */
#define VM_WINDOW	2048	/* bytes of standard input on their way */

/* printed to the console when the command starts, and when all is done */
#define VM_BEGIN	"kvbm-vm: begin"
#define VM_END		"kvbm-vm: end"

#define VM_DEBUG_PORT	0xf4	/* isa-debug-exit */
#define VM_DEBUG_DONE	0x25	/* QEMU exits with 2 * this + 1 */

enum vm_type {
	/* guest to host */
	VM_OUT = 'o',	/* standard output */
	VM_ERR = 'e',	/* standard error */
	VM_CREDIT = 'c',	/* u32: more bytes of standard input wanted */
	VM_NOTE = 'n',	/* text for the person running this */
	VM_BAD = 'b',	/* text: why this run has failed */
	VM_TAINT = 't',	/* u32: the kernel is tainted by a fault */
	VM_EXIT = 'x',	/* u32: the command's exit status; ends the run */
	/* host to guest */
	VM_IN = 'i',	/* standard input */
	VM_EOF = 'z',	/* end of standard input */
	VM_STUCK = 's',	/* time is up: show what everybody is doing */
};

struct vm_frame {
	uint16_t magic;
	uint16_t len;
	uint8_t type;
	uint8_t zero[3];
};

#endif
