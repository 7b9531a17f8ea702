#!/usr/bin/env bash
# Asks the doors for BI tools with the clients that people use. --help says how.
set -euo pipefail

usage() {
    cat << 'EOF'
Usage: tests/clients/run.sh

Lands a small demo, serves it with keys, and checks the answers that real clients get.

Environment:
  CLIENTS_FOLDER  keeps the virtual environment (0.6 GB) [default: target/clients]
  TRIBUTARY       the program [default: built by cargo build]

Needs Python 3.11 or newer and PyPI.
EOF
}

if (($#)); then
    usage
    [[ $1 == --help || $1 == -h ]] && exit
    exit 2
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$(dirname "$here")")
kept=${CLIENTS_FOLDER:-$project/target/clients}
mkdir -p "$kept"

if [[ -z ${TRIBUTARY:-} ]]; then
    manifest=$project/Cargo.toml
    cargo build --manifest-path "$manifest"
    target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$manifest" \
        | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    TRIBUTARY=$target/debug/tributary
fi
TRIBUTARY=$(realpath "$TRIBUTARY")

if ! cmp --silent "$here/requirements.txt" "$kept/venv/requirements.txt"; then
    python3 -m venv --clear "$kept/venv"
    "$kept/venv/bin/pip" install --quiet --no-deps --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$kept/venv/"
fi

work=$(mktemp -d)
trap 'kill "${server:-}" 2> /dev/null || true; rm -rf "$work"' EXIT
export TRIBUTARY_STORAGE_DATA=$work/lake
"$TRIBUTARY" demo --touchpoints 20000 --orders 2000 --end 2026-11-21 --no-serve
key=$("$TRIBUTARY" keys create --store demo --scope query | grep --only-matching 'trb_[0-9a-f]*')
other=$("$TRIBUTARY" keys create --store demo-eu --scope query | grep --only-matching 'trb_[0-9a-f]*')
"$TRIBUTARY" serve --listen 127.0.0.1:0 --flight 127.0.0.1:0 > "$work/addresses" &
server=$!
for _ in $(seq 100); do
    grep --quiet grpc "$work/addresses" && break
    sleep 0.1
done
url=$(grep --only-matching 'http://[0-9.:]*' "$work/addresses")
flight=$(grep --only-matching 'grpc://[0-9.:]*' "$work/addresses")
"$kept/venv/bin/python" "$here/flight_sql.py" "$flight" "$key" "$other" "$url"
