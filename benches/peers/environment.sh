# Sourced by run.sh and models.sh: where data is kept (`work`), and the program that is measured (`TRIBUTARY`).

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$(dirname "$here")")
work=${PEERS_FOLDER:-$project/target/peers}
mkdir -p "$work/data"
work=$(cd "$work" && pwd)

if [[ -z ${TRIBUTARY:-} ]]; then
    manifest=$project/Cargo.toml
    cargo build --release --manifest-path "$manifest"
    target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$manifest" \
        | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    TRIBUTARY=$target/release/tributary
fi
TRIBUTARY=$(realpath "$TRIBUTARY")
export TRIBUTARY
