# What all examples share: sourced by their `run`. Starts programs, and ends them with the script.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
examples=$(dirname "$here")
POINTSMAN=${POINTSMAN:-$examples/../target/release/pointsman}
[ -x "$POINTSMAN" ] || { echo "no program at $POINTSMAN; build it (cargo build --release) or set POINTSMAN" >&2; exit 1; }
export POINTSMAN_ADMIN=http://127.0.0.1:19900
# The state and the versions of upgraded programs; gone at the end.
work=$(mktemp -d)
touch "$work/log"
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT

say() { printf '\n== %s\n' "$*"; }
p() { printf '$ pointsman'; printf ' %q' "$@"; echo; "$POINTSMAN" "$@"; }

# upstream PORT VERSION [FAILING]
upstream() {
    free "$1"
    VERSION_FILE=$work/version-$1 "$examples/shop.py" "$@" & started+=($!)
    until_up "127.0.0.1:$1/healthz"
}

# users USERS VISITS [PATH...]
users() { "$examples/users.py" 127.0.0.1:18080 "$@"; }

# The same in the background, until `users_end` says what they saw.
users_begin() { "$examples/users.py" 127.0.0.1:18080 "$@" >"$work/seen" & visitors=$! started+=($!); sleep 1; }
users_end() { kill "$visitors" 2>/dev/null || true; wait "$visitors" || true; cat "$work/seen"; }

proxy() {
    free 18080
    free 19900
    cp "$here/pointsman.toml" "$work/"
    (cd "$work" && exec "$POINTSMAN" run --config pointsman.toml 2>"$work/log") & started+=($!)
    until_up 127.0.0.1:19900/readyz || { cat "$work/log" >&2; exit 1; }
}

# A program that listens there already would be taken for ours.
free() {
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
        echo "port $1 is in use, and this example needs it: end what listens there (ss -ltnp sport = :$1)" >&2
        exit 1
    fi
}

until_up() {
    for _ in $(seq 100); do
        curl --silent --fail --output /dev/null "$1" && return
        sleep 0.1
    done
    echo "nothing answers at $1" >&2
    return 1
}

# The split of a service as the admin API tells it, e.g. `v1=90 v2=10`.
split() {
    curl --silent "$POINTSMAN_ADMIN/v1/services/$1" | python3 -c '
import json, sys
versions = json.load(sys.stdin)["versions"]
print(" ".join("{name}={weight:g}".format_map(version) for version in versions))'
}

# expect WHAT FOUND WANTED: the script ends with 1 when it does not show what it says.
expect() { [ "$2" = "$3" ] || { echo "$1: found $2, want $3" >&2; cat "$work/log" >&2; exit 1; }; }
