#!/usr/bin/env bash
# Measures Markov chains beside ChannelAttribution and MAM. --help says how.
set -euo pipefail

usage() {
    cat << 'EOF'
Usage: benches/peers/models.sh [--rounds N] [--output FILE] [JOURNEYS]

Generates journeys for everyone, lands them in a lake, checks that the shares agree, and measures in
interleaved rounds. Prints a table in Markdown.

  JOURNEYS       how many [default: 1000000]
  --rounds N     rounds that count, after one that warms up [default: 3]
  --output FILE  where the table goes besides, such as benches/RESULTS-models.md

Environment:
  PEERS_FOLDER  keeps the virtual environment (0.8 GB) and the data (0.5 GB for a million journeys)
                [default: target/peers]
  TRIBUTARY     the program [default: built by cargo build --release]

Needs Linux, Python 3.11 or newer, a C++ compiler and PyPI.
EOF
}

rounds=3
output=/dev/null
journeys=1000000
while (($#)); do
    case $1 in
        --help | -h) usage && exit ;;
        --rounds) rounds=${2:?--rounds needs a number} && shift ;;
        --output) output=$(realpath -m "${2:?--output needs a file}") && shift ;;
        *[!0-9]*) usage >&2 && exit 2 ;;
        *) journeys=$1 ;;
    esac
    shift
done

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

requirements=$here/requirements-models.txt
if ! cmp --silent "$requirements" "$work/venv-models/requirements.txt"; then
    python3 -m venv --clear "$work/venv-models"
    "$work/venv-models/bin/pip" install --quiet --requirement "$requirements"
    cp "$requirements" "$work/venv-models/requirements.txt"
fi
"$work/venv-models/bin/python" "$here/models.py" "$journeys" "$rounds" "$work/models/$journeys" | grep -v '^[*][*][*] Looking\|^Version:' | tee "$output"
