# shellcheck shell=bash
# How a step of the tour is shown and checked; sourced by demo.sh and tour.sh. Knows nothing of what the steps are.

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' PLAIN=$'\e[0m'
else
    BOLD='' DIM='' RED='' GREEN='' YELLOW='' PLAIN=''
fi

# Where things are; demo.sh exports what it was told.
city=http://127.0.0.1:${MUNICIPAL_PORT:-8080}
fleet=http://127.0.0.1:${FLEET_PORT:-8081}
city_audit=$DEMO_WORK/audit/municipal.jsonl
fleet_audit=$DEMO_WORK/audit/fleet.jsonl
scratch=$DEMO_WORK/tmp

# Of an answer's body, so much is shown, in characters.
SHOWN=700

say() { printf '%s\n' "${DIM}demo: $*$PLAIN"; }
say_bad() { printf '%s\n' "${RED}demo: $*$PLAIN" >&2; }
bold() { printf '%s' "$BOLD$*$PLAIN"; }

mismatches=0

chapter() { printf '\n%s\n' "$BOLD── $*$PLAIN"; }
note() { printf '%s\n' "$DIM   $*$PLAIN"; }

good() { printf '   %s %s\n' "${GREEN}✓$PLAIN" "$*"; }
mismatch() {
    printf '   %s\n' "${RED}✗ MISMATCH: $*$PLAIN"
    mismatches=$((mismatches + 1))
}

# An argument as a person would type it.
typed() {
    case $1 in
        *[!A-Za-z0-9_./:=@%+,-]*)
            if [ "${1#*\$}" != "$1" ] && [ "${1#*Bearer}" != "$1" ]; then
                printf '"%s"' "$1"
            else
                printf "'%s'" "${1//\'/\'\\\'\'}"
            fi
            ;;
        *) printf '%s' "$1" ;;
    esac
}

show_command() { # WORD…
    local word line='$'
    for word in "$@"; do line+=" $(typed "$word")"; done
    printf '%s\n' "$YELLOW$line$PLAIN"
}

# Asks as the holder of a token (the name of its variable, or - for none), and shows the question and the answer:
# STATUS, HEAD, BODY and DECISION, which is what the audit line of the request says.
ask() { # TOKEN [CURL_ARGUMENT…] URL
    local token=$1 url=${!#} words=() real=()
    set -- "${@:2:$#-2}"
    if [ "$token" != - ]; then
        words=(-H "Authorization: Bearer \$$token")
        real=(-H "Authorization: Bearer ${!token}")
    fi
    echo
    show_command curl "${words[@]}" "$@" "$url"
    STATUS=$(curl -sS --max-time 15 -D "$scratch/head" -o "$scratch/body" -w '%{http_code}' "${real[@]}" "$@" "$url") || STATUS=000
    HEAD=$(tr -d '\r' <"$scratch/head")
    BODY=$(cat "$scratch/body")
    find_decision "$url"
    printf '   %s %s\n' "$BOLD$STATUS$PLAIN" "$DECISION"
    if [ ${#BODY} -gt $SHOWN ]; then
        printf '   %s …\n' "${BODY:0:SHOWN}"
    else
        printf '%s\n' "$BODY" | sed 's/^/   /'
    fi
}

# A line may come to the log just after its answer; it is waited for, two seconds at most.
find_decision() { # URL
    local log=$city_audit id line tenths
    DECISION=''
    case $1 in "$fleet"/*) log=$fleet_audit ;; "$city"/*) ;; *) return ;; esac
    id=$(printf '%s\n' "$HEAD" | sed -n 's/^[Xx]-[Rr]equest-[Ii]d: *//p' | head -n 1)
    if [ -z "$id" ]; then return; fi
    for ((tenths = 0; tenths < 20; tenths++)); do
        if line=$(grep -F "\"request_id\":\"$id\"" "$log"); then
            DECISION=$(printf '%s\n' "$line" | sed -n 's/.*"decision":"\([A-Z_]*\)".*/\1/p' | head -n 1)
            return
        fi
        sleep 0.1
    done
}

expect() { # STATUS DECISION
    if [ "$STATUS" = "$1" ] && [ "$DECISION" = "$2" ]; then
        good "$1 $2"
    else
        mismatch "expected $1 $2, got $STATUS ${DECISION:-no audit line}"
    fi
}

has() { # TEXT [WHY]
    if [ "${BODY#*"$1"}" != "$BODY" ]; then good "${2:-has $1}"; else mismatch "the answer has no $1"; fi
}

has_not() { # TEXT [WHY]
    if [ "${BODY#*"$1"}" = "$BODY" ]; then good "${2:-no $1}"; else mismatch "the answer has $1"; fi
}

head_has() { # TEXT
    if printf '%s\n' "$HEAD" | grep -qiF -- "$1"; then good "header $1"; else mismatch "no header $1"; fi
}

# Runs a command, shows it and what it prints (OUTPUT), and checks its exit code.
run() { # EXIT_CODE SHOWN_COMMAND COMMAND…
    local expected=$1 shown=$2 code=0
    shift 2
    printf '\n%s\n' "$YELLOW\$ $shown$PLAIN"
    OUTPUT=$("$@" 2>&1) || code=$?
    printf '%s\n' "$OUTPUT" | sed "s|$DEMO_WORK/|${DEMO_SHOWN:-target/demo}/|g; s/^/   /"
    if [ "$code" -eq "$expected" ]; then good "exit code $code"; else mismatch "exit code $code, expected $expected"; fi
}

output_has() { # TEXT
    if [ "${OUTPUT#*"$1"}" != "$OUTPUT" ]; then good "says $1"; else mismatch "does not say $1"; fi
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
