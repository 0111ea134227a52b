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

#define RING_HEADER_BYTES 8 /* what the ring itself puts before a record */

/*
 * Room for process records is kept by refusing all others once a ring is filled up to it. How far it is filled is asked
 * only when the room that was known is used up: the reader can only have added some.
 */
static __always_inline bool has_room(struct cpu_state *state, void *ring, __u16 action, __u32 bytes)
{
	__u32 limit = config.ring_bytes - config.lifecycle_bytes;

	bytes += RING_HEADER_BYTES;
	if (state->room < bytes) {
		__u64 filled = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);

		state->room = filled < limit ? limit - filled : 0;
	}
	if (state->room < bytes)
		return action >> 8 == WEIR_CLASS_PROCESS || action >> 8 == WEIR_CLASS_CONTAINER;
	state->room -= bytes;
	return true;
}

#define irq_off(flags)                                                                             \
	if (bpf_ksym_exists(bpf_local_irq_save))                                                   \
	bpf_local_irq_save(flags)
#define irq_on(flags)                                                                              \
	if (bpf_ksym_exists(bpf_local_irq_save))                                                   \
	bpf_local_irq_restore(flags)

/* Numbers and stamps what was reserved; NULL is a loss. The loss first: who sees the number sees the loss. */
static __always_inline void stamp(struct weir_header *header, struct cpu_state *state, __u32 cpu, __u16 action, void *ring)
{
	__u64 seq;

	if (!header)
		lose(state, cpu, action, ring ? WEIR_LOST_RING_FULL : WEIR_LOST_NO_RING);
	seq = __sync_fetch_and_add(&state->seq, 1);
	if (header) {
		header->seq = seq;
		header->ktime_ns = bpf_ktime_get_boot_ns();
	}
}

/* Room for `size` bytes (a constant), numbered and stamped; NULL when there is none, which is then counted. */
static __always_inline struct weir_header *take(__u64 size, __u16 action)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = &cpus[cpu & (CPUS_MAX - 1)];
	struct weir_header *header = NULL;
	void *ring = bpf_map_lookup_elem(&rings, &cpu);
	unsigned long irq;

	irq_off(&irq);
	if (ring && has_room(state, ring, action, size))
		header = bpf_ringbuf_reserve(ring, size, 0);
	stamp(header, state, cpu, action, ring);
	irq_on(&irq);
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

/*
 * Zeroes a record behind its header. By words: the compiler does not know that records are aligned and would store bytes.
 */
#define zero_fields(record)                                                                        \
	__builtin_memset(__builtin_assume_aligned((void *)(record) + sizeof(struct weir_header), 8), 0, \
			 sizeof(*(record)) - sizeof(struct weir_header))

/* A fixed record: room of the size of its struct, zeroed but for number and time. */
#define take_fixed(type, action_)                                                                  \
	({                                                                                         \
		struct type *record_ = (void *)take(sizeof(struct type), action_);                 \
		if (record_) {                                                                     \
			zero_fields(record_);                                                      \
			record_->header.size = sizeof(struct type);                                \
			record_->header.action = action_;                                          \
			record_->header.context = 0;                                               \
		}                                                                                  \
		record_;                                                                           \
	})

/* A ring gives room by constants only. Up to WORDS_BYTES_MAX in steps of COPY_BYTES. */
#define SIZE_CLASSES(F)                                                                            \
	F(192) F(256) F(320) F(384) F(448) F(512) F(768) F(1024) F(2048) F(4096) F(8192) F(16384) F(32768) F(65536)
#define SIZE_CLASS(bytes) (size <= bytes) ? bytes :
#define RESERVE_CLASS(bytes)                                                                       \
	if (class == bytes)                                                                        \
		header = bpf_ringbuf_reserve(ring, bytes, 0);                                      \
	else

#define WORDS_BYTES_MAX 512 /* records up to this size are copied by words, which costs less than a helper */
#define COPY_BYTES 64

/* Word i of a header is its sequence number, word i + 1 its time: those are the record's own. */
#define SEQ_WORD (__builtin_offsetof(struct weir_header, seq) / 8)

static __always_inline void copy_record(struct weir_header *to, const struct weir_header *from, __u32 size, __u32 class)
{
	const __u64 *words = (const __u64 *)from;
	__u64 *out = (__u64 *)to;

	if (class > WORDS_BYTES_MAX) {
		__u64 seq = to->seq, ktime = to->ktime_ns;

		bpf_barrier_var(size); /* it has been on the stack, where the verifier of 6.1 forgets its bound */
		if (size <= class)
			bpf_probe_read_kernel(to, size, from);
		to->seq = seq;
		to->ktime_ns = ktime;
		return;
	}
	for (__u32 at = 0; at < WORDS_BYTES_MAX && at < class; at += COPY_BYTES)
#pragma unroll
		for (__u32 i = at / 8; i < (at + COPY_BYTES) / 8; i++)
			if (i != SEQ_WORD && i != SEQ_WORD + 1)
				out[i] = words[i];
}

/* Sends the variable record of `size` bytes that stands in a draft. */
static __always_inline void emit_draft_inline(struct weir_header *from, __u32 size)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = &cpus[cpu & (CPUS_MAX - 1)];
	struct weir_header *header = NULL;
	void *ring = bpf_map_lookup_elem(&rings, &cpu);
	__u32 class = SIZE_CLASSES(SIZE_CLASS) 0;
	unsigned long irq;

	from->size = size;
	from->cpu = cpu;
	irq_off(&irq);
	if (ring && has_room(state, ring, from->action, class)) {
		SIZE_CLASSES(RESERVE_CLASS)
		(void)0;
	}
	stamp(header, state, cpu, from->action, ring);
	irq_on(&irq);
	if (!header)
		return;
	copy_record(header, from, size, class);
	submit(header);
}

static __noinline void emit_draft(struct weir_header *from, __u32 size)
{
	emit_draft_inline(from, size);
}

#endif
