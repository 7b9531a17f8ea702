# What run.sh and drills.sh share: the clients' environment, a small demo, and a server with keys. To be sourced.

project=$(dirname "$(dirname "$here")")
kept=${CLIENTS_FOLDER:-$project/target/clients}

# Finds or builds the program, installs the clients, and lands a small demo; everything is gone at the end.
prepare() {
    mkdir -p "$kept"
    if [[ -z ${TRIBUTARY:-} ]]; then
        local manifest=$project/Cargo.toml target
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
    trap 'stop; rm -rf "$work"' EXIT
    export TRIBUTARY_STORAGE_DATA=$work/lake
    "$TRIBUTARY" demo --touchpoints 20000 --orders 2000 --end 2026-11-21 --no-serve
}

# serve_keys STORE OTHER [FLAG ...]: serves every door with a key for each, in $key and $other, and one in $landing that may
# land and not ask; $url, $flight and $postgres say where.
serve_keys() {
    key=$("$TRIBUTARY" keys create --store "$1" --scope query | grep --only-matching 'trb_[0-9a-f]*')
    other=$("$TRIBUTARY" keys create --store "$2" --scope query | grep --only-matching 'trb_[0-9a-f]*')
    landing=$("$TRIBUTARY" keys create --store "$1" --scope land | grep --only-matching 'trb_[0-9a-f]*')
    # The addresses of an earlier server are not to be taken for this one's.
    : > "$work/addresses"
    "$TRIBUTARY" serve --listen 127.0.0.1:0 --flight 127.0.0.1:0 --postgres 127.0.0.1:0 "${@:3}" \
        > "$work/addresses" 2> "$work/log" &
    server=$!
    for _ in $(seq 100); do
        grep --quiet postgresql "$work/addresses" && break
        sleep 0.1
    done
    url=$(grep --only-matching 'https\?://[0-9.:]*' "$work/addresses")
    flight=$(grep --only-matching 'grpc[+tls]*://[0-9.:]*' "$work/addresses")
    postgres=$(grep --only-matching 'postgresql://[0-9.:]*' "$work/addresses")
    postgres=${postgres#postgresql://}
}

stop() {
    [[ -z ${server:-} ]] || kill "$server" 2> /dev/null || true
}

# python SCRIPT ...: runs one of this folder's scripts with the clients at hand.
python() {
    PYTHONDONTWRITEBYTECODE=1 "$kept/venv/bin/python" "$here/$1" "${@:2}"
}
