# A Docker engine of the test's own, with its own data and socket; sourced by `run`.
# shellcheck shell=bash
: "${scratch:?set by run}" "${cache:?set by run}"

readonly ENGINE_START_S_MAX=60
# Not the ranges that an engine of the machine would take.
readonly ENGINE_POOL=base=10.213.0.0/16,size=24

# What the engine's own mount namespace has. Generation 2: only cgroup v2, as a current distribution mounts it; the engine
# then makes its groups where the probes look for them. Generation 1: what the machine has. The bpffs is its own, so what a
# collector pins there and leaves goes with the namespace.
engine_mounts='
set -e
mount --make-rprivate /
mount -t bpf bpf /sys/fs/bpf
grep -q " /sys/kernel/tracing tracefs " /proc/mounts || mount -t tracefs tracefs /sys/kernel/tracing
if [ "$1" = 2 ] && ! grep -q " /sys/fs/cgroup cgroup2 " /proc/mounts; then
    awk "\$2 ~ /^\/sys\/fs\/cgroup/ { print \$2 }" /proc/mounts | sort -r | xargs -r umount
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
shift
exec "$@"
'

# engine_start GENERATION: fills $engine_pid, and DOCKER_HOST for every client.
engine_start() {
    export DOCKER_HOST=unix://$scratch/docker.sock DOCKER_CONFIG=$cache/client DOCKER_BUILDKIT=1
    setsid unshare --mount bash -c "$engine_mounts" engine "$1" \
        dockerd --data-root "$cache/engine" --exec-root "$scratch/exec" --host "$DOCKER_HOST" \
        --pidfile "$scratch/dockerd.pid" --default-address-pool "$ENGINE_POOL" --bridge none \
        </dev/null >"$scratch/dockerd.log" 2>&1 &
    engine_pid=$!
    local end=$((SECONDS + ENGINE_START_S_MAX))
    until client version >/dev/null 2>&1; do
        if ! kill -0 "$engine_pid" 2>/dev/null || [ $SECONDS -ge $end ]; then
            tail -n 20 "$scratch/dockerd.log" >&2
            return 1
        fi
        sleep 0.2
    done
}

engine_stop() {
    [ -n "${engine_pid:-}" ] || return 0
    kill "$engine_pid" 2>/dev/null || true
    wait "$engine_pid" 2>/dev/null || true
    engine_pid=
}

# client WORD..: the engine's own client, which knows its BuildKit; another one on the path may need plugins for it.
client() { /usr/bin/docker "$@"; }
