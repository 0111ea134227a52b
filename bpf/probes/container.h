/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Class container: the cgroups that containers live in.
 *
 * Hooks: tp_btf cgroup_mkdir, cgroup_rename (cgroup v1 only) and cgroup_rmdir.
 * Why these: the directory is made before the first task of a container is in it, so its path is known before the first
 * record that names the cgroup; every record has the cgroup's id and needs no text. Which paths are containers, the
 * collector decides: the record of another cgroup becomes no row.
 * Kernel floor: 5.15 with BTF. Without them: containers that start later have no id.
 */

static __always_inline void cgroup_changed(struct cgroup *cgroup, const char *path, __u16 action)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct weir_container *record;
	struct draft *draft;

	if (!selected(action) || POINTER(cgroup, root)->hierarchy_id != config.container_hierarchy_id)
		return;
	record = draft_of(draft, weir_container, action);
	if (!record)
		return;
	fill_task(&record->header, task);
	/* of the filters by containers the container counts, and not who makes it */
	if (!passes(task, config.filters & ~(FILTER_CONTAINERS | FILTER_NOT_CONTAINERS | FILTER_CONTAINER_IDS)))
		record->header.context |= WEIR_CONTEXT_LEFT_OUT;
	record->header.container_cgroup = POINTER(cgroup, kn)->id;
	record->cgroup_path_len = add_kernel_text(draft, path);
	draft_send(draft);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(weir_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	cgroup_changed(cgroup, path, WEIR_CONTAINER_START);
	return 0;
}

/* Of v1: from here on it is what its new name says, as if it had been made. */
SEC("tp_btf/cgroup_rename")
int BPF_PROG(weir_cgroup_rename, struct cgroup *cgroup, const char *path)
{
	cgroup_changed(cgroup, path, WEIR_CONTAINER_START);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(weir_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	cgroup_changed(cgroup, path, WEIR_CONTAINER_DIE);
	return 0;
}
