// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * All programs of weir, in one object so that they share their maps. What each family hooks and why stands at the head of
 * its file; the path of an event is filter -> draft or fixed record -> emit.
 */
#include "include/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "include/records.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Never used: it brings the layouts of all records into the object's BTF, which a test compares with the definition. */
const struct weir_process *layout_process;
const struct weir_file *layout_file;
const struct weir_network *layout_network;
const struct weir_memory *layout_memory;
const struct weir_kernel *layout_kernel;
const struct weir_syscall *layout_syscall;
const struct weir_container *layout_container;

#include "probes/syscalls.h"
#include "probes/paths.h"
#include "probes/process.h"
#include "probes/file.h"
#include "probes/memory.h"
#include "probes/kernel.h"
#include "probes/iterate.h"
#include "probes/network.h"
#include "probes/socketcall.h"
#include "probes/close.h"
#include "probes/container.h"
