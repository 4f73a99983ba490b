# SPDX-License-Identifier: MIT
#
# make            build library, tools and the module for the running kernel
# make demo       build all, boot a virtual machine, replay a trace in it
# make test       everything that must pass before a commit
# make help       the rest

PREFIX ?= /usr/local
KDIR ?= /lib/modules/$(shell uname -r)/build

.PHONY: all lib tools module demo test test-full test-matrix test-engines check \
	bench-native bench-vm bench-longest bench-waiting bench-check \
	bench-record bench-plot figures \
	install uninstall install-module uninstall-module clean help

all: lib tools module

lib:
	$(MAKE) -C userlib

tools: lib
	$(MAKE) -C tools

module:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

demo:
	./scripts/demo

test:
	./scripts/test

test-full:
	./scripts/test --full

test-matrix:
	./scripts/test --matrix

test-engines:
	./scripts/test-engines

check:
	./scripts/check

bench-native bench-vm bench-longest bench-waiting bench-check bench-record \
bench-plot figures:
	$(MAKE) -C bench $@

install: lib tools
	$(MAKE) -C userlib install PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)
	$(MAKE) -C tools install PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)
	$(MAKE) -C packaging install PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)

uninstall:
	$(MAKE) -C userlib uninstall PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)
	$(MAKE) -C tools uninstall PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)
	$(MAKE) -C packaging uninstall PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)

install-module: module
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install
	depmod -a $(notdir $(patsubst %/build,%,$(KDIR)))

uninstall-module:
	find $(patsubst %/build,%,$(KDIR)) -name 'kvbm.ko*' -delete
	-rmdir $(patsubst %/build,%,$(KDIR))/updates/module \
		$(patsubst %/build,%,$(KDIR))/extra/module 2>/dev/null
	depmod -a $(notdir $(patsubst %/build,%,$(KDIR)))

clean:
	rm -rf build
	-$(MAKE) -C $(KDIR) M=$(CURDIR) clean

help:
	@sed -n '3,/^$$/s/^# \?//p' Makefile
	@echo 'make check        static analysis'
	@echo 'make test-full    all tests, long runs, debug and KCSAN kernels'
	@echo 'make test-matrix  the selftests on every supported kernel'
	@echo 'make test-engines the tiers with each engine release, and code of routers'
	@echo 'make bench-native | bench-vm | bench-longest | bench-waiting'
	@echo 'make bench-check | bench-record | bench-plot | figures'
	@echo 'make install      library, tools, udev rule (PREFIX, DESTDIR)'
	@echo 'make install-module   module for KDIR, by default the running kernel'
