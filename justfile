# What there is to do; `.ci/run` calls the same recipes.

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

# Runs every test
test:
    cargo test --workspace

# Plans every query and checks its header
check:
    cargo run --quiet --locked -- check

# Writes the manual of the SQL functions
docs:
    cargo run --quiet --locked -- functions --markdown > docs/functions.md.new
    mv docs/functions.md.new docs/functions.md

# Fails where the manual does not say what the functions say of themselves
docs-check:
    #!/usr/bin/env bash
    set -euo pipefail
    written=$(mktemp)
    trap 'rm -f "$written"' EXIT
    cargo run --quiet --locked -- functions --markdown > "$written"
    diff -u docs/functions.md "$written" || { echo "docs/functions.md is out of date: run just docs" >&2; exit 1; }

# Generates three stores and serves them
demo *args:
    cargo run --release -- demo {{ args }}

# Runs the benches
bench *args:
    cargo bench {{ args }}

# What CI runs
ci: fmt-check lint deny test check docs-check
