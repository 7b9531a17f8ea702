#!/usr/bin/env bash
# Measures Tributary beside DuckDB, Polars, chDB and DataFusion's plain SQL. --help says how.
set -euo pipefail

usage() {
    cat << 'EOF'
Usage: benches/peers/run.sh [--rounds N] [--output FILE] [TOUCHPOINTS...]

Generates the same touchpoints and orders for everyone, lands them in a lake, checks that all
answers agree, and measures whole processes in interleaved rounds. Prints tables in Markdown.

  TOUCHPOINTS    sizes, such as 1000000 20000000 100000000 [default: 1000000]
  --rounds N     rounds that count, after one that warms up [default: 5]
  --output FILE  where the tables go besides, such as benches/RESULTS.md

Environment:
  PEERS_FOLDER  keeps the virtual environment (1.3 GB) and the data (0.1 GB for a million
                touchpoints); what is there is used again [default: target/peers]
  TRIBUTARY     the program [default: built by cargo build --release]

Needs Linux, Python 3.11 or newer and PyPI.
EOF
}

rounds=5
output=/dev/null
sizes=()
arguments=$*
while (($#)); do
    case $1 in
        --help | -h) usage && exit ;;
        --rounds) rounds=${2:?--rounds needs a number} && shift ;;
        --output) output=$(realpath -m "${2:?--output needs a file}") && shift ;;
        *[!0-9]*) usage >&2 && exit 2 ;;
        *) sizes+=("$1") ;;
    esac
    shift
done
((${#sizes[@]})) || sizes=(1000000)

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if ! cmp --silent "$here/requirements.txt" "$work/venv/requirements.txt"; then
    python3 -m venv --clear "$work/venv"
    "$work/venv/bin/pip" install --quiet --no-deps --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$work/venv/"
fi
python=$work/venv/bin/python
# Compiled modules are kept, so that no peer compiles them in every run, but not beside the sources.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX=$work/pycache

folders=()
for size in "${sizes[@]}"; do
    folder=$work/data/$size
    folders+=("$folder")
    # A folder without its mark was left half made.
    if [[ ! -e $folder/generated ]]; then
        echo "generating $size touchpoints" >&2
        rm -rf "$folder"
        "$python" "$here/generate.py" "$size" "$folder"
        touch "$folder/generated"
    fi
    if [[ ! -e $folder/landed ]]; then
        echo "landing $size touchpoints" >&2
        rm -rf "$folder/lake"
        "$python" "$here/tributary.py" "$folder"
        touch "$folder/landed"
    fi
    "$python" "$here/measure.py" "$rounds" "$folder"
done
"$python" "$here/report.py" "benches/peers/run.sh $arguments" "${folders[@]}" | tee "$output"
