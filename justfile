# What there is to do; `.ci/run` calls the same recipes.

# The program as the tests build it: by itself it would be built with other features, and all it stands on again
program := `cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'` / "debug/tributary"
# The same with what the drills ask of it
drills_program := parent_directory(parent_directory(program)) / "drills-program/tributary"
drills_python := parent_directory(parent_directory(program)) / "drills/bin/python"

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
drills *args: drills-program drills-python
    TRIBUTARY="{{ drills_program }}" PYTHONDONTWRITEBYTECODE=1 "{{ drills_python }}" tests/drills/drills.py {{ args }}

# Brings known faults back, and sees that the tests and the drills find each of them
planted *args: drills-program drills-python
    TRIBUTARY="{{ drills_program }}" PYTHONDONTWRITEBYTECODE=1 "{{ drills_python }}" tests/drills/planted.py {{ args }}

# Runs the tests of landing and of the lake, and the drill `bucket`, against SeaweedFS
bucket: build drills-python
    PYTHONDONTWRITEBYTECODE=1 "{{ drills_python }}" tests/drills/in_bucket.py cargo test --workspace --test it -- erasure:: fsck:: http:: http_keys:: journeys:: lake:: versions::
    just drills bucket

# Builds the program with what the drills ask of it, under a name of its own
[private]
drills-program:
    cargo test --workspace --locked --no-run --quiet --features failpoints,planted-bugs
    mkdir -p "$(dirname "{{ drills_program }}")"
    cp "{{ program }}" "{{ drills_program }}.new"
    mv "{{ drills_program }}.new" "{{ drills_program }}"

# Installs what the drills need, which comes from PyPI
[private]
drills-python:
    #!/usr/bin/env bash
    set -euo pipefail
    folder="$(dirname "$(dirname "{{ drills_python }}")")"
    if ! cmp --silent tests/drills/requirements.txt "$folder/requirements.txt"; then
        python3 -m venv --clear "$folder"
        "$folder/bin/pip" install --quiet --requirement tests/drills/requirements.txt
        cp tests/drills/requirements.txt "$folder/"
    fi

# Generates three stores and serves them
demo *args:
    cargo run --release -- demo {{ args }}

# Runs the benches
bench *args:
    cargo bench {{ args }}

# What CI runs
ci: fmt-check lint deny test check docs-check
