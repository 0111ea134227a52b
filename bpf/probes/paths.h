/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filter by path prefix, asked of file records before they are sent; paid only when it is set.
 *
 * A prefix is whole components: `/etc` stands for /etc and all below it. The tries hold it with a slash at its end, and
 * paths are looked up with one. A path is put together forward, in the upper half of the draft, as the reader will do:
 * the kernel's walk turned round, or a directory's walk and the program's text.
 *
 * What cannot be judged here passes, and the collector decides: texts with `.`, `..` or doubled slashes, a target of a
 * symbolic link that is relative to the link, walks that were cut, all on kernels before 5.17.
 * Of two paths (rename, link, symlink; the file behind a shared descriptor and the text that was opened) one that matches is
 * enough for `only`; `except` leaves out what has both inside.
 * A row without a path matches nothing, nor does one whose path is outside of its mount namespace.
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

#define IN_PREFIXES 1
#define IN_NOT_PREFIXES 2
#define NOT_JUDGED 4

/*
 * The upper half of a draft while a path is judged. Counters stand there too: on the stack the verifier would follow
 * every value that they can have.
 */
struct judging {
	__u32 at, end;	   /* what is left to look at, in the lower half */
	__u32 to;	   /* where the last name that was turned begins, in `forward` */
	__u32 bytes, dots; /* of a component of a text */
	__u32 odd;
	struct {
		__u32 bits; /* a prefix_key */
		char forward[4 * WALK_BYTES_MAX];
	};
	char name[256];
};

#define JUDGING(draft) ((struct judging *)((draft)->bytes + WEIR_RECORD_BYTES_MAX))
#define LOWER(draft, i) ((draft)->bytes + ((i) & (WEIR_RECORD_BYTES_MAX - 1)))
#define FORWARD(judging, i) ((judging)->forward + ((i) & (2 * WALK_BYTES_MAX - 1)))

struct judged {
	struct draft *draft;
};

static long turn_step(__u32 i, struct judged *judged)
{
	struct judging *judging = JUDGING(judged->draft);
	long bytes;

	if (judging->at >= judging->end)
		return 1;
	bytes = bpf_probe_read_kernel_str(judging->name, sizeof(judging->name), LOWER(judged->draft, judging->at));
	if (bytes <= 0)
		return 1;
	judging->at += bytes;
	judging->to -= bytes;
	*FORWARD(judging, judging->to) = '/';
	bpf_probe_read_kernel(FORWARD(judging, judging->to + 1), (bytes - 1) & (sizeof(judging->name) - 1), judging->name);
	return 0;
}

static __always_inline void end_component(struct judging *judging)
{
	if (judging->bytes && judging->bytes <= 2 && judging->bytes == judging->dots)
		judging->odd = 1;
}

static long plain_step(__u32 i, struct judged *judged)
{
	struct judging *judging = JUDGING(judged->draft);

	if (judging->at >= judging->end)
		return 1;
	if (*LOWER(judged->draft, judging->at) == '/') {
		end_component(judging);
		if (!judging->bytes && i)
			judging->odd = 1;
		judging->bytes = judging->dots = 0;
	} else {
		judging->bytes++;
		judging->dots += *LOWER(judged->draft, judging->at) == '.';
	}
	judging->at++;
	return judging->odd ? 1 : 0;
}

/* Whether a text has neither `.` nor `..` nor an empty component inside; a slash at its end is none. */
static __always_inline bool is_plain(struct draft *draft, __u32 at, __u32 bytes)
{
	struct judging *judging = JUDGING(draft);
	struct judged judged = { draft };

	judging->at = at;
	judging->end = at + bytes;
	judging->bytes = judging->dots = judging->odd = 0;
	bpf_loop(TEXT_BYTES_MAX, plain_step, &judged, 0);
	end_component(judging);
	return !judging->odd && judging->at >= judging->end;
}

/* Puts the walk forward, `bytes` long from the start of the key's text; false when it is not a whole one. */
static __always_inline bool turn_round(struct draft *draft, __u32 at, __u32 bytes)
{
	struct judging *judging = JUDGING(draft);
	struct judged judged = { draft };

	judging->at = at;
	judging->end = at + bytes;
	judging->to = bytes;
	bpf_loop(WALK_STEPS_MAX * WALK_STEP_NAMES, turn_step, &judged, 0);
	return judging->to == 0;
}

/* The key of one path, of a walk and a text behind it (either may be empty). Verified once per program. */
__noinline __u32 put_together(struct draft *draft, __u32 walk_at, __u32 walk_bytes, __u32 text_at, __u32 text_bytes)
{
	struct judging *judging;
	__u32 bytes;

	if (!draft || !HAS_LOOP)
		return NOT_JUDGED;
	judging = JUDGING(draft);
	if (walk_bytes && *LOWER(draft, walk_at) == '/') /* the root: the only name with a slash */
		walk_bytes = 0;
	bytes = walk_bytes & (2 * WALK_BYTES_MAX - 1);
	text_bytes &= TEXT_BYTES_MAX - 1;
	if (!turn_round(draft, walk_at, bytes))
		return NOT_JUDGED;
	if (text_bytes) {
		if (!is_plain(draft, text_at, text_bytes))
			return NOT_JUDGED;
		if (*LOWER(draft, text_at) != '/')
			*FORWARD(judging, bytes++) = '/';
		bpf_probe_read_kernel(FORWARD(judging, bytes), text_bytes, LOWER(draft, text_at));
		bytes += text_bytes;
	}
	*FORWARD(judging, bytes++) = '/';
	judging->bits = 8 * (bytes < PREFIX_BYTES_MAX ? bytes : PREFIX_BYTES_MAX);
	return 0;
}

/* Which tries the path is in. Not part of the function above, because a key must not come from the memory of an argument. */
static __noinline __u32 judge(struct draft *draft, __u32 walk_at, __u32 walk_bytes, __u32 text_at, __u32 text_bytes)
{
	__u32 verdict = put_together(draft, walk_at, walk_bytes, text_at, text_bytes);
	void *key = &JUDGING(draft)->bits;

	if (verdict)
		return verdict;
	if (bpf_map_lookup_elem(&prefixes, key))
		verdict |= IN_PREFIXES;
	if (bpf_map_lookup_elem(&not_prefixes, key))
		verdict |= IN_NOT_PREFIXES;
	return verdict;
}

/* A path argument whose text and directory stand at these places of the draft. */
static __always_inline __u32 judge_argument(struct draft *draft, __u32 raw_at, __u32 raw_bytes, __u32 dir_bytes)
{
	if (!raw_bytes)
		return 0;
	if (!dir_bytes && !is_absolute(draft, raw_at, raw_bytes))
		return NOT_JUDGED;
	return judge(draft, raw_at + raw_bytes, dir_bytes, raw_at, raw_bytes);
}

static __always_inline bool has_two_paths(__u16 action)
{
	return action == WEIR_FILE_RENAME || action == WEIR_FILE_LINK || action == WEIR_FILE_SYMLINK ||
	       action == WEIR_FILE_PIVOT_ROOT;
}

static __always_inline bool passes_path(struct draft *draft, struct weir_file *record)
{
	__u32 at = sizeof(*record), first, second;

	bool has_text = record->path_source == SOURCE_DESCRIPTOR && record->path_raw_len;
	bool has_new = has_two_paths(record->header.action);

	if (record->path_state & PATH_TRUNCATED)
		return true;
	if (record->path_state & PATH_UNREACHABLE)
		return has_new || !(config.filters & FILTER_PATH);
	first = record->path_source == SOURCE_ARGUMENT
			? judge_argument(draft, at, record->path_raw_len, record->path_dir_len)
			: judge(draft, at, record->path_len, 0, 0);
	second = first;
	at += record->path_len;
	if (has_text)
		second = judge_argument(draft, at, record->path_raw_len, record->path_dir_len);
	at += record->path_raw_len + record->path_dir_len;
	if (has_new)
		second = judge_argument(draft, at, record->new_path_raw_len, record->new_path_dir_len);
	if ((first | second) & NOT_JUDGED)
		return true;
	if (config.filters & FILTER_PATH && !((first | second) & IN_PREFIXES))
		return false;
	return !(config.filters & FILTER_NOT_PATH && first & second & IN_NOT_PREFIXES);
}
