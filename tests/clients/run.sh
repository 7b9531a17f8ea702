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
source "$here/server.sh"
prepare
python delta.py "$TRIBUTARY_STORAGE_DATA" "$TRIBUTARY"
serve_keys demo demo-eu
python flight_sql.py "$flight" "$key" "$other" "$url"
python postgres.py "$postgres" "$key" "$other" "$landing" "$url"
python spreadsheet.py "$url" "$key"
python guides.py "$flight" "$key" "$postgres"
stop
tls=$project/tests/it/tls
serve_keys demo demo-eu --tls-cert "$tls/certificate.pem" --tls-key "$tls/key.pem"
python encrypted.py "$url" "$flight" "$postgres" "$key" "$tls/authority.pem" "$TRIBUTARY"
