/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How the memory of the kernel is read: by direct loads, a fifth of the cost of probe reads.
 */
#ifndef WEIR_LOAD_H
#define WEIR_LOAD_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

extern void *bpf_rdonly_cast(const void *, __u32) __weak __ksym;

/* Before 6.2 nothing turns an address into a typed pointer: there every load through one is a probe read. */
#define CAST(type, address)                                                                        \
	((struct type *)(bpf_ksym_exists(bpf_rdonly_cast)                                          \
				 ? bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(struct type)) \
				 : (void *)(address)))

#define LOAD(pointer, field)                                                                       \
	(bpf_ksym_exists(bpf_rdonly_cast) ? (pointer)->field : BPF_CORE_READ(pointer, field))

/*
 * A field that is a pointer, of what a hook or a helper hands over. Of each pointer that is loaded through a trusted one the
 * verifier asks whether it is trusted, too, by its type's name in a list of all the kernel's types (from 6.2 to 6.18): four
 * fifths of the time of a start. Through a pointer that was cast it does not ask. Storages and kfuncs do not take the result.
 */
#define POINTER(from, field)                                                                       \
	(((typeof(from))(bpf_ksym_exists(bpf_rdonly_cast)                                          \
				 ? bpf_rdonly_cast(from, bpf_core_type_id_kernel(typeof(*(from)))) \
				 : (void *)(from)))                                                \
		 ->field)

#endif
