#!/usr/bin/env bash
# Drills against a running server: escapes, killers, and the same answers through every door. --help says how.
set -euo pipefail

usage() {
    cat << 'EOF'
Usage: tests/clients/drills.sh [escape] [same_answers] [killers]

Lands a small demo and a store full of canaries, serves both with keys, and runs the drills named, or all.

  escape        tries to see the other store through every door
  same_answers  compares what every door says to the same statements
  killers       sends SQL and other requests that kill servers, while another key runs dashboards; wants a release build,
                and 4,096 open files (ulimit -n)

Environment: CLIENTS_FOLDER and TRIBUTARY, as run.sh has them.
EOF
}

if [[ ${1:-} == -* ]]; then
    usage
    [[ $1 == --help || $1 == -h ]] && exit
    exit 2
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/server.sh"
prepare

# Every text of the other store has a canary in it.
canary() {
    "$TRIBUTARY" land "$1" - --format ndjson --store canary-store-zq > /dev/null
}
for n in $(seq 20); do
    echo "{\"order_id\":\"CANARY7F3A-o$n\",\"customer_id\":\"CANARY7F3A-c$n\",\"ordered_at\":\"2026-11-1${n: -1}T10:00:00Z\",\"status\":\"completed\",\"currency\":\"USD\",\"revenue\":\"987654.4321\",\"utm_source\":\"CANARY7F3A\"}"
done | canary orders
for n in $(seq 20); do
    echo "{\"touch_id\":\"CANARY7F3A-t$n\",\"customer_id\":\"CANARY7F3A-c$n\",\"touched_at\":\"2026-11-0${n: -1}T10:00:00Z\",\"channel\":\"CANARY7F3A\",\"campaign\":\"CANARY7F3A\",\"cost\":\"987654.4321\"}"
done | sed 's/-00T/-09T/' | canary touchpoints
echo '{"customer_id":"CANARY7F3A-c1","segment":"CANARY7F3A"}' | canary customers
echo '{"channel":"CANARY7F3A","name":"CANARY7F3A"}' | canary channels
echo '{"name":"CANARY7F3A","currency":"USD","timezone":"UTC"}' | canary stores
"$TRIBUTARY" nightly --store canary-store-zq > /dev/null

serve_keys demo canary-store-zq
drills=("$@")
((${#drills[@]})) || drills=(escape same_answers killers)
for drill in "${drills[@]}"; do
    echo "== $drill"
    case $drill in
        escape) python escape.py "$url" "$flight" "$key" "$other" "$TRIBUTARY_STORAGE_DATA" "$postgres" ;;
        same_answers) python same_answers.py "$url" "$flight" "$key" "$TRIBUTARY" "$TRIBUTARY_STORAGE_DATA" "$postgres" ;;
        killers)
            # A server with little memory, so that its limit is seen.
            stop
            export TRIBUTARY_LIMITS_QUERY_MEMORY_BYTES=$((512 << 20)) TRIBUTARY_LIMITS_CACHE_MEMORY_BYTES=$((64 << 20))
            serve_keys demo demo-eu
            trickle=$("$TRIBUTARY" keys create --store demo --scope land | grep --only-matching 'trb_[0-9a-f]*')
            admin=$("$TRIBUTARY" keys create --store demo --scope admin | grep --only-matching 'trb_[0-9a-f]*')
            python killers.py --url "$url" --flight "$flight" --postgres "$postgres" --query-key "$key" --land-key "$landing" \
                --trickle-key "$trickle" --admin-key "$admin" --other-key "$other" --pid "$server" --limit-mb 1024 || {
                echo "the end of the server's log:" >&2
                grep --invert-match ' INFO ' "$work/log" | tail --lines=20 >&2
                exit 1
            }
            ;;
        *)
            usage
            exit 2
            ;;
    esac
done
