# The services of docker-compose.yml under test, and the consumers beside them; sourced by `run`.
# shellcheck shell=bash
: "${repository:?set by run}" "${here:?set by run}" "${target:?set by run}" "${cache:?set by run}"

readonly PROJECT=weir-test
# The first engine that knows the capabilities BPF and PERFMON is newer than this one.
readonly ENGINE_WITHOUT_CAP_BPF=20
consumers=()

fetch_all() {
    "$here/fetch" "$cache"
    if [ -z "${WEIR_TEST_KAFKA:-}" ]; then
        export WEIR_TEST_KAFKA=$target/kafka-libs
        "$repository/tests/kafka/fetch" "$WEIR_TEST_KAFKA"
    fi
    if [ -z "${WEIR_TEST_NATS_SERVER:-}" ]; then
        WEIR_TEST_NATS_SERVER=$("$repository/tests/nats/fetch" "$target/nats")
        export WEIR_TEST_NATS_SERVER
    fi
}

free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

engine_is_old() { [ "$(client version --format '{{.Server.Version}}' | cut -d . -f 1)" -le "$ENGINE_WITHOUT_CAP_BPF" ]; }

# stack_prepare: the files and the environment of this run: ports that nobody has, Parquet files that close soon, and one
# more sink, with Arrow messages.
stack_prepare() {
    local variable
    for variable in PORT_KAFKA PORT_NATS PORT_METRICS PORT_PROMETHEUS; do
        export "$variable=$(free_port)"
    done
    sed 's/^file_age = .*/file_age = "2s"/' "$repository/deploy/weir.toml" - >"$scratch/weir.toml" <<'TOML'

[[sink]]
name = "kafka-arrow"
type = "kafka"
brokers = ["kafka:9093"]
topic = "weir-arrow.{class}"
format = "arrow"
create_topics = true
TOML
    cat >"$scratch/test.yml" <<YAML
services:
  collector:
    volumes: ["$scratch/weir.toml:/etc/weir/weir.toml:ro"]
YAML
    stack_files=(--file "$repository/docker-compose.yml" --file "$scratch/test.yml")
    ! engine_is_old || stack_files+=(--file "$repository/deploy/compose.sys-admin.yml")
    [ "$generation" = 2 ] || stack_files+=(--file "$repository/deploy/compose.cgroup-v1.yml")
}

compose() {
    client compose --progress plain --project-name "$PROJECT" --project-directory "$repository" "${stack_files[@]}" "$@"
}

# stack COMMAND..: its messages go to a log.
stack() { "$@" >>"$scratch/compose.log" 2>&1; }

# stack_up SERVICE..: starts these, or all, and waits until they are healthy.
stack_up() {
    stack compose up --detach --no-build --wait --wait-timeout "$UP_S_MAX" "$@" && return
    tail -n 30 "$scratch/compose.log" >&2
    compose logs --tail 30 "$@" >&2
    return 1
}

stack_stop() {
    consumers_stop
    [ -z "${stack_files+set}" ] || [ -z "${engine_pid:-}" ] || stack compose --profile monitoring down --volumes --timeout 10 || true
}

# consumers_start: the examples, as anyone would run them.
consumers_start() {
    export PYTHONDONTWRITEBYTECODE=1
    consumer kafka kafka_consumer.py --brokers "localhost:$PORT_KAFKA"
    consumer kafka-arrow kafka_consumer.py --brokers "localhost:$PORT_KAFKA" --topics '^weir-arrow\..*' --group arrow
    consumer nats nats_consumer.py --server "nats://localhost:$PORT_NATS"
}

# consumer NAME EXAMPLE ARGUMENT..
consumer() {
    local name=$1 example=$2
    shift 2
    "$cache/python/bin/python" "$repository/examples/consumers/$example" "$@" --out "$scratch/$name" >"$scratch/$name.log" 2>&1 &
    consumers+=($!)
}

consumers_stop() {
    local pid
    for pid in ${consumers[@]+"${consumers[@]}"}; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    consumers=()
}

# sql STATEMENT: its rows as JSON lines.
sql() { compose exec -T query query --json "$1"; }
