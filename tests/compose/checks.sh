# What has to be true of the running services; sourced by `run`. Each function succeeds or fails, and waits only as long as
# its condition may take.
# shellcheck shell=bash
: "${scratch:?set by run}" "${weir:?set by run}"

passed=0 failed=0

# check SENTENCE COMMAND..: one test.
check() {
    local sentence=$1
    shift
    if "$@" >"$scratch/output" 2>&1; then
        echo "test $sentence ... ok"
        passed=$((passed + 1))
    else
        echo "test $sentence ... FAILED (the end of its output follows)"
        tail -n 20 "$scratch/output" | cut -c 1-400 | sed 's/^/    /'
        failed=$((failed + 1))
    fi
}

# within COMMAND..: tries until it succeeds.
within() {
    local end=$((SECONDS + WAIT_S_MAX))
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.5
    done
}

# The paths that `open_markers` opens, and nothing else on the machine does.
marker() { echo "$scratch/marker-$1-"; }

# open_markers PHASE: tries to open files that are not there.
open_markers() {
    local i
    for ((i = 0; i < MARKERS; i++)); do
        { : <"$(marker "$1")$i"; } 2>/dev/null || true
    done
}

# Each marker exactly once.
has_all() { [ "$1" = "$MARKERS $MARKERS" ] || { echo "rows and markers: $1, and $MARKERS of both are right"; return 1; }; }

arrived() {
    local paths
    paths=$(cat "$scratch/$1"/*.jsonl | grep -c "\"path\":\"$(marker "$2")[0-9]*\"")
    has_all "$paths $(cat "$scratch/$1"/*.jsonl | grep -o "\"path\":\"$(marker "$2")[0-9]*" | sort -u | wc -l)"
}

arrive() { within arrived "$1" "$2"; }

arrived_in_duckdb() {
    local counts
    counts=$(sql "SELECT count(*) AS n, count(DISTINCT path) AS paths FROM file WHERE path LIKE '$(marker "$1")%'")
    has_all "$(grep -o '[0-9]*' <<<"$counts" | xargs)"
}

arrive_in_duckdb() { within arrived_in_duckdb "$1"; }

all_healthy() {
    local states
    states=$(compose ps --all --format '{{.Service}} {{.Health}}' | sort | xargs)
    echo "$states"
    [ "$states" = 'collector healthy kafka healthy nats healthy query healthy' ]
}

capabilities_are_few() {
    local added wanted='CAP_BPF CAP_DAC_READ_SEARCH CAP_PERFMON CAP_SYS_PTRACE'
    ! engine_is_old || wanted='CAP_DAC_READ_SEARCH CAP_SYS_ADMIN CAP_SYS_PTRACE'
    added=$(client inspect --format '{{.HostConfig.Privileged}} {{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}}' "$(compose ps --quiet collector)")
    echo "$added, and false [ALL] [$wanted] is right"
    [ "$added" = "false [ALL] [$wanted]" ]
}

# delivery_is_left_out: files are opened inside a broker's container, then outside of all containers; the rows of the latter
# show that those of the former would be there. With cgroup v2 other containers are recorded.
delivery_is_left_out() {
    local image inside
    inside=$(marker inside)
    compose exec -T nats sh -c "cat ${inside}1; cat ${inside}2" || true
    image=$(client inspect --format '{{.Image}}' "$(compose ps --quiet query)")
    client run --rm --network none --entrypoint cat "$image" "$(marker other)1" || true
    { : <"$(marker outside)1"; } || true
    within seen outside 1 || return 1
    seen inside 0 && if [ "$generation" = 2 ]; then seen other 1; else seen other 0; fi
}

seen() { sql "SELECT count(*) AS n FROM file WHERE path LIKE '$(marker "$1")%'" | tee -a /dev/stderr | grep -q "\"n\":$2}"; }

metrics_match() {
    "$cache/python/bin/python" "$here/metrics.py" "http://127.0.0.1:$PORT_METRICS/metrics" "$repository/docs/operating.md" \
        "$repository"/deploy/grafana/dashboards/*.json "$repository/deploy/prometheus/weir.rules.yml"
}

# Grafana has no stand-in.
prometheus_scrapes() {
    compose --profile monitoring up --detach --no-build --wait --wait-timeout "$UP_S_MAX" prometheus || return
    within prometheus_says 'up{job="weir"} == 1' && within prometheus_says 'sum(weir_sink_rows_total) > 0' && prometheus_has_rules
}

# prometheus_says EXPRESSION: whether it has a value.
prometheus_says() {
    python3 - "http://127.0.0.1:$PORT_PROMETHEUS/api/v1/query" "$1" <<'PYTHON'
import json, sys, urllib.parse, urllib.request
answer = json.load(urllib.request.urlopen(sys.argv[1] + "?" + urllib.parse.urlencode({"query": sys.argv[2]}), timeout=10))
print(answer)
sys.exit(not answer["data"]["result"])
PYTHON
}

prometheus_has_rules() { compose exec -T prometheus wget -q -O - http://127.0.0.1:9090/api/v1/rules | grep -q '"name":"WeirLosesEvents"'; }

# verified CONSUMER: until the ends of all sequences have come.
verified() { within verified_now "$1"; }

verified_now() {
    python3 "$repository/examples/consumers/merge.py" "$scratch/$1" | "$weir" verify -
}

arrow_is_json() { python3 "$here/same_rows.py" "$scratch/kafka" "$scratch/kafka-arrow"; }

parquet_verified() {
    client cp "$(compose ps --all --quiet collector):/var/lib/weir/parquet" "$scratch/parquet"
    "$weir" verify "$scratch/parquet"
}
