/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filter by path prefix, asked of file records before they are sent.
 *
 * A text that is not plain (`..`, `.`, doubled slashes) cannot be judged here: it passes, and the collector decides.
 */

struct prefix_key {
	__u32 bits;
	char text[PREFIX_BYTES_MAX];
};

#define PREFIXES(name_)                                                                            \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);                                               \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__uint(max_entries, LIST_MAX);                                                     \
		__type(key, struct prefix_key);                                                    \
		__type(value, __u8);                                                               \
	} name_ SEC(".maps")

PREFIXES(prefixes);
PREFIXES(not_prefixes);

static __always_inline bool passes_path(struct draft *draft, struct weir_file *record)
{
	return true;
}
