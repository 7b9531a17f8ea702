# What there is to do; `.ci/run` calls the same recipes.

# The program as the tests build it: by itself it would be built with other features, and all it stands on again
program := `cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'` / "debug/tributary"

# Lists the recipes
default:
    @just --list

# Formats every file
fmt:
    cargo fmt --all

# Fails where a file is not formatted
fmt-check:
    cargo fmt --all --check

# Lints everything; a warning is an error
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Checks licences, sources and that the arrow family is there once
deny:
    cargo deny --locked check bans licenses sources

# Builds the tests and the program
build:
    cargo test --workspace --locked --no-run --quiet

# Runs every test
test:
    cargo test --workspace

# Plans every query and checks its header
check: build
    {{ program }} check

# Writes the manual of the SQL functions
docs: build
    {{ program }} functions --markdown > docs/functions.md.new
    mv docs/functions.md.new docs/functions.md

# Fails where the manual does not say what the functions say of themselves
docs-check: build
    #!/usr/bin/env bash
    set -euo pipefail
    written=$(mktemp)
    trap 'rm -f "$written"' EXIT
    {{ program }} functions --markdown > "$written"
    diff -u docs/functions.md "$written" || { echo "docs/functions.md is out of date: run just docs" >&2; exit 1; }

# Asks every door with the clients that people use, which come from PyPI
clients: build
    CLIENTS_FOLDER="$(dirname "$(dirname "{{ program }}")")/clients" TRIBUTARY="{{ program }}" tests/clients/run.sh
    CLIENTS_FOLDER="$(dirname "$(dirname "{{ program }}")")/clients" TRIBUTARY="{{ program }}" tests/clients/drills.sh escape same_answers

# Starts, kills and starves processes on one lake; `just drills --long` takes hours
drills *args: (drill "drills.py" args)

# Brings known faults back, and sees that tests and drills find them
planted *args: (drill "planted.py" args)

# Builds the program with the drills' features, under a name of its own, and runs a script of tests/drills with it
[private]
drill script *args:
    #!/usr/bin/env bash
    set -euo pipefail
    folder="$(dirname "$(dirname "{{ program }}")")/drills"
    cargo test --workspace --locked --no-run --quiet --features failpoints,planted-bugs
    mkdir -p "$folder"
    cp "{{ program }}" "$folder/tributary.new"
    mv "$folder/tributary.new" "$folder/tributary"
    if ! cmp --silent tests/drills/requirements.txt "$folder/requirements.txt"; then
        python3 -m venv "$folder"
        "$folder/bin/pip" install --quiet --requirement tests/drills/requirements.txt
        cp tests/drills/requirements.txt "$folder/"
    fi
    TRIBUTARY="$folder/tributary" PYTHONDONTWRITEBYTECODE=1 "$folder/bin/python" tests/drills/{{ script }} {{ args }}

# Generates three stores and serves them
demo *args:
    cargo run --release -- demo {{ args }}

# Runs the benches
bench *args:
    cargo bench {{ args }}

# What CI runs
ci: fmt-check lint deny test check docs-check
