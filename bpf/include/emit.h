/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a record gets its room, its number and its time.
 *
 * With interrupts off: reserve, then the number by an atomic add (a full barrier), then the time. So ring order is number
 * order is time order, and a reader that takes the clock before the positions has an exact watermark. Kernels before 6.14
 * have no way to turn interrupts off here: there a record can be overtaken by one of an interrupt, and the reader sorts.
 * An attempt without room takes a number too, and is remembered in lost_log.
 */
#ifndef WEIR_EMIT_H
#define WEIR_EMIT_H

#include "maps.h"

extern void bpf_local_irq_save(unsigned long *) __weak __ksym;
extern void bpf_local_irq_restore(unsigned long *) __weak __ksym;

#define bpf_barrier_var(v) asm volatile("" : "+r"(v))

static __always_inline struct cpu_state *this_cpu(void)
{
	return &cpus[bpf_get_smp_processor_id() & (CPUS_MAX - 1)];
}

static __always_inline void lose(struct cpu_state *state, __u32 cpu, __u16 action, enum weir_reason reason)
{
	__u32 at = cpu * LOST_LOG_ENTRIES + (state->lost & (LOST_LOG_ENTRIES - 1));
	__u32 *entry = bpf_map_lookup_elem(&lost_log, &at);

	if (entry)
		*entry = action | (__u32)reason << 16;
	state->lost++;
}

/* Room for lifecycle records is kept by refusing all others once a ring is filled up to it. */
static __always_inline bool has_room(void *ring, __u16 action)
{
	if (action >> 8 == WEIR_CLASS_PROCESS)
		return true;
	return bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) < config.ring_bytes - config.lifecycle_bytes;
}

/* Room for `size` bytes (a constant), numbered and stamped; NULL when there is none, which is then counted. */
static __always_inline struct weir_header *take(__u64 size, __u16 action)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = &cpus[cpu & (CPUS_MAX - 1)];
	enum weir_reason reason = WEIR_LOST_NO_RING;
	struct weir_header *header = NULL;
	void *ring = bpf_map_lookup_elem(&rings, &cpu);
	unsigned long irq;
	__u64 seq;

	if (bpf_ksym_exists(bpf_local_irq_save))
		bpf_local_irq_save(&irq);
	if (ring) {
		reason = WEIR_LOST_RING_FULL;
		if (has_room(ring, action))
			header = bpf_ringbuf_reserve(ring, size, 0);
	}
	seq = __sync_fetch_and_add(&state->seq, 1);
	if (header) {
		header->seq = seq;
		header->ktime_ns = bpf_ktime_get_boot_ns();
	} else {
		lose(state, cpu, action, reason);
	}
	if (bpf_ksym_exists(bpf_local_irq_save))
		bpf_local_irq_restore(&irq);
	if (header)
		header->cpu = cpu;
	return header;
}

/* The flag is read behind the barrier of the number: a reader that saw no record is seen asleep. */
static __always_inline void submit(void *record)
{
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (*(volatile __u32 *)&reader.sleeping && __sync_lock_test_and_set(&reader.sleeping, 0)) {
		flags = BPF_RB_FORCE_WAKEUP;
		this_cpu()->forced_wakeups++;
	}
	bpf_ringbuf_submit(record, flags);
}

/* A fixed record: room of the size of its struct, zeroed but for number and time. */
#define take_fixed(type, action_)                                                                  \
	({                                                                                         \
		struct type *record_ = (void *)take(sizeof(struct type), action_);                 \
		if (record_) {                                                                     \
			__builtin_memset((void *)record_ + sizeof(struct weir_header), 0,           \
					 sizeof(struct type) - sizeof(struct weir_header));         \
			record_->header.size = sizeof(struct type);                                \
			record_->header.action = action_;                                          \
			record_->header.context = 0;                                               \
		}                                                                                  \
		record_;                                                                           \
	})

/* One size class of a variable record: all but number, time and CPU comes from the draft. */
#define EMIT_CLASS(bytes)                                                                          \
	if (size <= bytes) {                                                                       \
		struct weir_header *header = take(bytes, from->action);                            \
		if (header) {                                                                      \
			__u64 seq = header->seq, ktime = header->ktime_ns;                         \
			__u32 cpu = header->cpu;                                                   \
			bpf_probe_read_kernel(header, size, from);                                 \
			header->seq = seq;                                                         \
			header->ktime_ns = ktime;                                                  \
			header->cpu = cpu;                                                         \
			submit(header);                                                            \
		}                                                                                  \
		return;                                                                            \
	}

/* Sends the variable record of `size` bytes that stands in a draft. */
static __noinline void emit_draft(struct weir_header *from, __u32 size)
{
	from->size = size;
	EMIT_CLASS(192)
	EMIT_CLASS(256)
	EMIT_CLASS(320)
	EMIT_CLASS(448)
	EMIT_CLASS(640)
	EMIT_CLASS(1024)
	EMIT_CLASS(2048)
	EMIT_CLASS(4096)
	EMIT_CLASS(8192)
	EMIT_CLASS(16384)
	EMIT_CLASS(32768)
	EMIT_CLASS(65536)
}

#endif
