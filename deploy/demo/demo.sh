#!/usr/bin/env bash
# Starts a COBOL billing program, a Java service and two gateways before them, walks through what callers with different
# roles see (tour.sh), and stays up until Ctrl-C.
#
#   make demo                  or deploy/demo/demo.sh
#   DEMO_ONCE=1 make demo      ends after the tour; exit code 1 if a step did not show what it says
#
# From the environment: MUNICIPAL_PORT FLEET_PORT MUNICIPAL_ADMIN_PORT FLEET_ADMIN_PORT BILLING_PORT RATES_PORT
# ARCHIVE_PORT; DEMO_WORK, the folder of the run; DEMO_TOLLGATE, a program to use in place of building one.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
# Servers live in sbin, which is not in everybody's PATH, and cargo in its own folder.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin"

export DEMO_WORK=${DEMO_WORK:-$root/target/demo}
export MUNICIPAL_PORT=${MUNICIPAL_PORT:-8080} MUNICIPAL_ADMIN_PORT=${MUNICIPAL_ADMIN_PORT:-9901}
export FLEET_PORT=${FLEET_PORT:-8081} FLEET_ADMIN_PORT=${FLEET_ADMIN_PORT:-9902}
export BILLING_PORT=${BILLING_PORT:-9000} RATES_PORT=${RATES_PORT:-9010} ARCHIVE_PORT=${ARCHIVE_PORT:-9011}

# How long a process may take to be ready, and to stop, in tenths of a second.
READY_TENTHS=300
STOP_TENTHS=100
# Tokens live 15 minutes; while the demo stays up they are made anew before that.
TOKEN_TTL=15m
TOKEN_RENEWAL_SECONDS=600

# shellcheck source-path=SCRIPTDIR source=steps.sh
. "$here/steps.sh"

# -- processes: what this script started, and nothing else, is stopped by it

pids=()
names=()

start() { # NAME COMMAND…
    local name=$1
    shift
    "$@" >"$DEMO_WORK/logs/$name.log" 2>&1 </dev/null &
    pids+=("$!")
    names+=("$name")
}

any_alive() {
    local pid
    for pid in "${pids[@]}"; do
        if kill -0 "$pid" 2>/dev/null; then return 0; fi
    done
    return 1
}

stop_all() {
    trap '' INT TERM HUP
    local tenths
    if [ ${#pids[@]} -eq 0 ]; then return; fi
    kill -TERM "${pids[@]}" 2>/dev/null || true
    for ((tenths = 0; tenths < STOP_TENTHS; tenths++)); do
        if ! any_alive; then break; fi
        sleep 0.1
    done
    if any_alive; then kill -KILL "${pids[@]}" 2>/dev/null || true; fi
    wait 2>/dev/null || true
}

fail() {
    say_bad "$*"
    exit 1
}

wait_for() { # NAME URL
    local name=$1 url=$2 tenths
    for ((tenths = 0; tenths < READY_TENTHS; tenths++)); do
        if ! kill -0 "${pids[-1]}" 2>/dev/null; then break; fi
        if curl -sf -o /dev/null --max-time 2 "$url"; then return; fi
        sleep 0.1
    done
    tail -n 20 "$DEMO_WORK/logs/$name.log" >&2 || true
    fail "$name did not become ready; its log is $DEMO_WORK/logs/$name.log"
}

# -- what has to be there

require_programs() {
    local program missing=()
    for program in cobc lighttpd javac java curl openssl gcc; do
        if ! command -v "$program" >/dev/null 2>&1; then missing+=("$program"); fi
    done
    if [ ${#missing[@]} -gt 0 ]; then
        say "missing: ${missing[*]}; deploy/packages.sh installs what has them"
        "$root/deploy/packages.sh"
    fi
    for program in "${missing[@]}"; do
        command -v "$program" >/dev/null 2>&1 || fail "$program is still not there"
    done
    if [ -z "${DEMO_TOLLGATE:-}" ] && ! command -v cargo >/dev/null 2>&1; then
        fail "there is no cargo: install a Rust toolchain of 1.95 or later (https://rustup.rs)"
    fi
}

require_free_ports() {
    local name taken=()
    for name in MUNICIPAL_PORT FLEET_PORT MUNICIPAL_ADMIN_PORT FLEET_ADMIN_PORT BILLING_PORT RATES_PORT ARCHIVE_PORT; do
        if (exec 3<>"/dev/tcp/127.0.0.1/${!name}") 2>/dev/null; then
            taken+=("$name=${!name}")
        fi
    done
    if [ ${#taken[@]} -gt 0 ]; then
        fail "taken: ${taken[*]}. Name other ports, for example: ${taken[0]%=*}=$((${taken[0]#*=} + 10000)) make demo"
    fi
}

build() {
    if [ -n "${DEMO_TOLLGATE:-}" ]; then
        TOLLGATE=$(cd "$(dirname "$DEMO_TOLLGATE")" && pwd)/$(basename "$DEMO_TOLLGATE")
    else
        say "building tollgate (the first time takes minutes)"
        (cd "$root" && cargo build --release --locked)
        TOLLGATE=$(cd "$root" && cd "${CARGO_TARGET_DIR:-target}" && pwd)/release/tollgate
    fi
    export TOLLGATE
    say "building the backends"
    cobc -x -I "$here/cobol/copy" -o "$DEMO_WORK/cgi/billing.cgi" \
        "$here/cobol/BILLING.cob" "$here/cobol/LEDGER.cob" "$here/cobol/JSONTOK.cob"
    javac -d "$DEMO_WORK/classes" "$here/java/Backends.java"
}

# A folder of the run, with nothing of the run before in it.
lay_out() {
    local folder
    for folder in audit cgi classes data keys logs policies state tmp www; do
        rm -rf "${DEMO_WORK:?}/$folder"
        mkdir -p "$DEMO_WORK/$folder"
    done
    cp "$here"/cobol/data/*.dat "$DEMO_WORK/data/"
    cp -R "$root/policies/municipal" "$root/policies/fleet" "$DEMO_WORK/policies/"
    sed -e "s|@PORT@|$BILLING_PORT|; s|@WORK@|$DEMO_WORK|g" "$here/cobol/lighttpd.conf.in" >"$DEMO_WORK/lighttpd.conf"
}

# The issuers' keys: made for this run, so that only its tokens are good.
make_keys() {
    local old
    old=$(umask)
    umask 077
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$DEMO_WORK/keys/issuer.key" 2>/dev/null
    openssl rand -base64 48 | tr -d '\n' >"$DEMO_WORK/policies/fleet/keys/portal.secret"
    umask "$old"
    openssl pkey -in "$DEMO_WORK/keys/issuer.key" -pubout -out "$DEMO_WORK/policies/municipal/keys/issuer.pem"
}

# -- tokens

city_token() { # NAME USER ROLES COUNTIES [MORE_CLAIMS]: the lists are the insides of JSON lists
    local token
    token=$("$TOLLGATE" token --key "$DEMO_WORK/keys/issuer.key" --ttl "$TOKEN_TTL" --claims \
        "{\"iss\":\"https://idp.city.example\",\"aud\":\"billing-api\",\"sub\":\"$2\",\"roles\":[$3],\"jurisdiction_scope\":[$4]${5:-}}")
    printf 'export %s=%s\n' "$1" "$token"
}

fleet_token() { # NAME USER ROLE
    local token
    token=$("$TOLLGATE" token --secret-file "$DEMO_WORK/policies/fleet/keys/portal.secret" --ttl "$TOKEN_TTL" --claims \
        "{\"iss\":\"https://portal.fleet.example\",\"aud\":\"fleet-portal\",\"sub\":\"$2\",\"role\":\"$3\"}")
    printf 'export %s=%s\n' "$1" "$token"
}

make_tokens() {
    local now
    now=$(date +%s)
    (
        umask 077
        {
            echo "# Tokens of the demo, one a role. In a shell: . $DEMO_WORK/tokens.sh"
            city_token ANALYST ana '"billing_analyst"' '"County_A"'
            city_token RATE_ADMINISTRATOR rita '"rate_administrator"' '"County_A"'
            city_token OPERATOR ops7 '"reconciliation_operator"' '"County_A"'
            city_token VIEWER vera '"finance_viewer"' '"County_A","County_B"'
            city_token VALIDATOR vic '"meter_validator"' '"County_A"'
            city_token RATE_ENGINEER ron '"rate_engineer"' '"County_A"'
            city_token AGENT cole '"collections_agent"' '"County_A"'
            city_token CASEWORKER cara '"assistance_caseworker"' '"County_A"'
            city_token FINANCE fay '"finance_admin"' '"County_A"'
            city_token FINANCE_AND_VALIDATOR mix '"finance_admin","meter_validator"' '"County_A"'
            city_token RATES_AND_COLLECTIONS odd '"rate_engineer","collections_agent"' '"County_A"'
            city_token EXPIRED ana '"billing_analyst"' '"County_A"' ",\"iat\":$((now - 3600)),\"exp\":$((now - 2700))"
            fleet_token ADMIN a-1 admin
            fleet_token MANAGER m-1 manager
            fleet_token DISPATCHER s-1 dispatcher
            fleet_token DRIVER d-7 driver
        } >"$DEMO_WORK/tokens.new"
    )
    mv "$DEMO_WORK/tokens.new" "$DEMO_WORK/tokens.sh"
}

# -- the run

start_all() {
    say "starting the backends"
    start lighttpd lighttpd -D -f "$DEMO_WORK/lighttpd.conf"
    wait_for lighttpd "http://127.0.0.1:$BILLING_PORT/api/ledger/state"
    start java java -Xmx96m -XX:+UseSerialGC -cp "$DEMO_WORK/classes" Backends "$RATES_PORT" "$ARCHIVE_PORT"
    wait_for java "http://127.0.0.1:$RATES_PORT/api/rates"
    say "starting the gateways"
    start municipal "$TOLLGATE" serve --config "$here/tollgate-municipal.yaml"
    wait_for municipal "http://127.0.0.1:$MUNICIPAL_ADMIN_PORT/readyz"
    start fleet "$TOLLGATE" serve --config "$here/tollgate-fleet.yaml"
    wait_for fleet "http://127.0.0.1:$FLEET_ADMIN_PORT/readyz"
}

# In the background and waited for, so that a signal is heard at once. 0 = every step showed what it says.
tour() {
    "$here/tour.sh" &
    local pid=$!
    pids+=("$pid")
    names+=(tour)
    local result=0
    wait "$pid" || result=$?
    unset 'pids[-1]' 'names[-1]'
    return "$result"
}

stay_up() {
    local path=$DEMO_SHOWN
    cat <<TEXT

$(bold "Everything stays up until Ctrl-C. In another terminal:")

  . $path/tokens.sh         # ANALYST OPERATOR VIEWER VALIDATOR AGENT CASEWORKER FINANCE … ADMIN MANAGER DISPATCHER DRIVER
  curl -H "Authorization: Bearer \$CASEWORKER" 'http://127.0.0.1:$MUNICIPAL_PORT/api/accounts/A1005?county=County_A'
  curl -H "Authorization: Bearer \$AGENT" 'http://127.0.0.1:$MUNICIPAL_PORT/api/arrears?county=County_A'
  curl -H "Authorization: Bearer \$VIEWER" http://127.0.0.1:$MUNICIPAL_PORT/api/revenue/summary
  curl -H "Authorization: Bearer \$DISPATCHER" http://127.0.0.1:$FLEET_PORT/portal/wst
  curl http://127.0.0.1:$BILLING_PORT/api/accounts/A1005     # the program itself, as whoever reaches it would see it

  $path/policies/municipal/      edit it; what does not load does not come into force
  tail -f $path/audit/municipal.jsonl
  curl http://127.0.0.1:$MUNICIPAL_ADMIN_PORT/metrics
TEXT
    while :; do
        sleep "$TOKEN_RENEWAL_SECONDS" &
        local pause=$! at
        pids+=("$pause")
        wait -n "${pids[@]}" || true
        for at in "${!names[@]}"; do
            if ! kill -0 "${pids[$at]}" 2>/dev/null; then fail "${names[$at]} has ended; its log is $path/logs/${names[$at]}.log"; fi
        done
        unset 'pids[-1]'
        make_tokens
    done
}

main() {
    mkdir -p "$DEMO_WORK"
    DEMO_WORK=$(cd "$DEMO_WORK" && pwd)
    # As a person in the repository would write it.
    export DEMO_SHOWN=${DEMO_WORK#"$root"/}
    trap stop_all EXIT
    # Ctrl-C is how the demo is meant to end.
    trap 'echo; say "stopping"; exit 0' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    require_programs
    require_free_ports
    lay_out
    build
    make_keys
    make_tokens
    start_all
    local result=0
    tour || result=$?
    if [ -n "${DEMO_ONCE:-}" ]; then exit "$result"; fi
    stay_up
}

main
