#!/usr/bin/env bash
# The tour: what callers with different roles see, and what is left of it in the log. Each step says what it shows and
# checks it; the exit code is 1 if one did not. demo.sh starts everything and then runs this.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
: "${DEMO_WORK:?is started by demo.sh}"
: "${TOLLGATE:?is started by demo.sh}"
# shellcheck source-path=SCRIPTDIR source=steps.sh
. "$here/steps.sh"
# shellcheck disable=SC1091
. "$DEMO_WORK/tokens.sh"

billing=http://127.0.0.1:$BILLING_PORT
admin=http://127.0.0.1:$MUNICIPAL_ADMIN_PORT
policy=$DEMO_WORK/policies/municipal
json=(-H "Content-Type: application/json")

# How long a changed policy may take to be seen by a request, in milliseconds: the promise is one second, and a curl that
# is started on a busy machine has its share of it.
MOST_RELOAD_MS=2000

the_same_account() {
    chapter "1. One account, three readers"
    note "The billing program itself tells everything to whoever reaches it."
    ask - "$billing/api/accounts/A1001"
    has '"SUBSIDY-TIER": "T2"'
    has '"SSN": "900-11-1001"'

    note "A billing analyst, through the gateway: subsidies are cut out, personal data is redacted (S1.7, S2.5)."
    ask ANALYST "$city/api/accounts/A1001?county=County_A"
    expect 200 ALLOWED
    has_not SUBSIDY-TIER
    has_not ASSISTANCE-ELIGIBILITY
    has_not 900-11-1001
    has '"SSN": "[REDACTED]"'
    has '"BALANCE": 1234.5000' "the balance is the program's own, byte for byte: 1234.5000"

    note "An assistance caseworker: the same request, the whole answer."
    ask CASEWORKER "$city/api/accounts/A1001?county=County_A"
    expect 200 ALLOWED
    has '"SUBSIDY-TIER": "T2"'
    has '"SSN": "900-11-1001"'

    note "Its statements are not quite JSON: leading zeros, a plus, .75, a tab and Latin-1 in a string, a comma too many."
    ask - "$billing/api/statements/A1001"
    has '"SUBSIDY-AMOUNT": 00045.5000'
    note "The module says \`json: tolerant\`: they are masked all the same, and what stays is the program's own."
    ask ANALYST "$city/api/statements/A1001?county=County_A"
    expect 200 ALLOWED
    has_not SUBSIDY-AMOUNT
    has_not 900-11-1001
    has '"BALANCE": +0001234.5000, "LATE-FEE": .75, ' "+0001234.5000 and .75, byte for byte"
    has $'Libert\xe9\tNorthfield' "the tab and the Latin-1"
    has '"PHONE": "[REDACTED]",}' "the last comma"
    metric_becomes 'tollgate_tolerated_total{kind="trailing_comma",module="statements"}' 1

    note "Reading in all modules opens routes, not classified fields."
    ask FINANCE "$city/api/assistance/A1001?county=County_A"
    expect 200 ALLOWED
    has_not SUBSIDY-AMOUNT
    has '"HOUSEHOLD-INCOME": null'

    note "The Java service writes camelCase, in chunks; the archive speaks HTTP/1.0 and ends by closing."
    ask ANALYST "$city/api/forecasts/County_A"
    expect 200 ALLOWED
    has_not subsidyTier
    ask ANALYST "$city/api/archive/1998"
    expect 200 ALLOWED
    has '"ssn": "[REDACTED]"'
}

denials() {
    chapter "2. Who is turned away"
    note "No token, and one that was good an hour ago (S1.1)."
    ask - "$city/api/accounts/A1001?county=County_A"
    expect 401 DENIED_TOKEN
    has '"missing_token"'
    head_has "WWW-Authenticate: Bearer"
    ask EXPIRED "$city/api/accounts/A1001?county=County_A"
    expect 401 DENIED_TOKEN
    has '"expired_token"'

    note "A scope that the role has not (S2.2)."
    ask ANALYST -X PUT "${json[@]}" -d '{"tariffId":"RES-1"}' "$city/api/tariffs/RES-1"
    expect 403 DENIED_SCOPE
    has "Insufficient permissions. Required: tariffs:write"

    note "Deny wins: finance_admin could read arrears, but meter_validator is kept out of collections (S2.2)."
    ask FINANCE_AND_VALIDATOR "$city/api/arrears?county=County_A"
    expect 403 DENIED_MODULE
    ask FINANCE "$city/api/arrears?county=County_A"
    expect 200 ALLOWED

    note "Separation of duties: nobody sets rates and collects (S2.1)."
    ask RATES_AND_COLLECTIONS "$city/api/tariffs"
    expect 403 DENIED_ROLE
    has '"conflicting_roles"'

    note "Another county (S1.5): by the path, by the query, by the body."
    ask FINANCE "$city/api/ledger/counties/County_B/totals"
    expect 403 DENIED_JURISDICTION
    has '"jurisdiction_mismatch"'
    has '"allowed_scope":["County_A"]'
    ask FINANCE "$city/api/ledger/entries?county=County_B"
    expect 403 DENIED_JURISDICTION
    note "An account of another county is out of reach under its own county's name and under ours."
    ask ANALYST "$city/api/accounts/B2001?county=County_B"
    expect 403 DENIED_JURISDICTION
    ask ANALYST "$city/api/accounts/B2001?county=County_A"
    expect 404 ALLOWED
    has_not "555-"
    ask OPERATOR "${json[@]}" -H "X-Idempotency-Key: tour-other-county" \
        -d '{"county":"County_B","entries":[{"account_id":"B2001","amount":"1.00"}]}' "$city/api/ledger/sync"
    expect 403 DENIED_JURISDICTION

    note "What no policy names does not exist."
    ask FINANCE "$city/api/payroll"
    expect 404 DENIED_ROUTE
}

pretences() {
    chapter "3. What a client cannot pretend"
    note "The program believes X-Municipal-Role. It gets the gateway's, in whatever spelling the client sends its own,"
    note "and never the token."
    ask ANALYST -H "X-Municipal-Role: finance_admin" -H "X_Municipal_Role: finance_admin" \
        -H "x-municipal-user: root" "$city/api/echo"
    expect 200 ALLOWED
    has '"HTTP_X_MUNICIPAL_ROLE": "billing_analyst"'
    has '"HTTP_X_MUNICIPAL_USER": "ana"'
    has_not finance_admin
    has_not root
    has_not HTTP_AUTHORIZATION

    note "A path that another program could read differently is refused, never tidied up."
    local path
    for path in /api/accounts/../ledger/state /api/accounts/%2e%2e/ledger/state /api//accounts/A1001 \
        /api/accounts%2fA1001 '/api/accounts/A1001;x=1'; do
        ask ANALYST --path-as-is "$city$path"
        expect 400 DENIED_REQUEST
    done
}

writes_once() {
    chapter "4. A write happens once (S1.8)"
    local key batch='{"county":"County_A","entries":[{"account_id":"A1001","amount":"12.30"},{"account_id":"A1002","amount":"-12.30"}]}'
    key="month-end-$$"
    note "What would it do? A dry run adds it up, and the program never hears of it (S1.10)."
    ask OPERATOR "${json[@]}" -d "$batch" "$city/api/ledger/sync?dry_run=true"
    expect 200 DRY_RUN
    has '{"account":"A1002","delta":"-12.30"}'
    has '"total":"0.00"'

    note "Without a key, nothing is forwarded."
    ask OPERATOR "${json[@]}" -d "$batch" "$city/api/ledger/sync"
    expect 400 DENIED_IDEMPOTENCY
    has '"idempotency_key_missing"'

    note "The first time."
    ask OPERATOR "${json[@]}" -H "X-Idempotency-Key: $key" -d "$batch" "$city/api/ledger/sync"
    expect 201 ALLOWED
    local id
    id=$(printf '%s\n' "$BODY" | sed -n 's/.*"TRANSACTION-ID": "\(TX-[0-9]*\)".*/\1/p')
    has "\"TRANSACTION-ID\": \"$id\"" "transaction ${id:-?}"

    note "The same again: 409, with the id of the first."
    ask OPERATOR "${json[@]}" -H "X-Idempotency-Key: $key" -d "$batch" "$city/api/ledger/sync"
    expect 409 DENIED_IDEMPOTENCY
    has '"duplicate_request"'
    has "\"original_transaction_id\":\"$id\""
    head_has "X-Original-Transaction-Id: $id"

    note "The same key for something else: 422."
    ask OPERATOR "${json[@]}" -H "X-Idempotency-Key: $key" -d "${batch//12.30/99.99}" "$city/api/ledger/sync"
    expect 422 DENIED_IDEMPOTENCY
    has '"idempotency_key_reused"'

    note "In the program's own file the batch stands once, with the user that the gateway named."
    run 0 "cat $DEMO_SHOWN/data/ledger.dat" cat "$DEMO_WORK/data/ledger.dat"
    local lines
    lines=$(grep -c "$key" "$DEMO_WORK/data/ledger.dat" || true)
    if [ "$lines" = 2 ]; then good "two entries, one batch"; else mismatch "$lines entries, expected 2"; fi
    output_has ops7
}

# Requests one after the other until told to stop; a line with the status of each.
ask_all_the_time() {
    while [ ! -e "$scratch/stop" ] && kill -0 $$ 2>/dev/null; do
        curl -s -o /dev/null --max-time 10 -w '%{http_code}\n' -H "Authorization: Bearer $ANALYST" \
            "$city/api/consumption/A1001?county=County_A" >>"$scratch/codes" || true
    done
}

metric() { # NAME
    curl -s "$admin/metrics" | sed -n "s/^$1 //p"
}

# Waits for a metric to have a value; two seconds at most.
metric_becomes() { # NAME VALUE
    local tenths value=
    for ((tenths = 0; tenths < MOST_RELOAD_MS / 100; tenths++)); do
        value=$(metric "$1")
        if [ "$value" = "$2" ]; then
            good "metric $1 $2"
            return
        fi
        sleep 0.1
    done
    mismatch "metric $1 is ${value:-absent}, expected $2"
}

policy_edits() {
    chapter "5. The policy changes under running requests"
    ask ANALYST "$city/api/revenue/summary"
    expect 403 DENIED_SCOPE

    note "While an analyst asks for consumption without a pause, roles.yaml lets analysts read revenue, too."
    rm -f "$scratch/stop" "$scratch/codes"
    ask_all_the_time &
    loop=$!
    cp "$policy/roles.yaml" "$scratch/roles.yaml"
    sleep 0.3
    printf '\n%s\n' "${YELLOW}\$ sed -i 's/archive:read, echo:read]/archive:read, echo:read, revenue:read]/' $DEMO_SHOWN/policies/municipal/roles.yaml$PLAIN"
    sed -i '0,/archive:read, echo:read]/s//archive:read, echo:read, revenue:read]/' "$policy/roles.yaml"
    local from now code=
    from=$(milliseconds)
    while :; do
        code=$(curl -s -o /dev/null --max-time 5 -w '%{http_code}' -H "Authorization: Bearer $ANALYST" "$city/api/revenue/summary") || true
        now=$(milliseconds)
        if [ "$code" = 200 ] || [ $((now - from)) -gt $((MOST_RELOAD_MS * 3)) ]; then break; fi
    done
    if [ "$code" = 200 ] && [ $((now - from)) -le $MOST_RELOAD_MS ]; then
        good "seen by a request after $((now - from)) ms"
    else
        mismatch "after $((now - from)) ms the answer is $code"
    fi
    sleep 0.3
    touch "$scratch/stop"
    wait "$loop" || true
    loop=
    local all bad
    all=$(grep -c . "$scratch/codes" || true)
    bad=$(grep -cv '^200$' "$scratch/codes" || true)
    if [ "$all" -gt 0 ] && [ "$bad" = 0 ]; then
        good "of $all requests meanwhile 0 were anything but 200"
    else
        mismatch "of $all requests meanwhile $bad were not 200"
    fi
    ask ANALYST "$city/api/revenue/summary"
    expect 200 ALLOWED
    has_not SUBSIDY-ALLOCATION "without subsidies: never_to holds whatever is granted (S1.7)"

    note "An edit with a slip: a scope that no role grants. It does not come into force, and the old policy stays."
    cp "$policy/fields.yaml" "$scratch/fields.yaml"
    printf '\n%s\n' "${YELLOW}\$ sed -i 's/customer:pii_read/customer:pi_read/' $DEMO_SHOWN/policies/municipal/fields.yaml$PLAIN"
    sed -i 's/customer:pii_read/customer:pi_read/' "$policy/fields.yaml"
    metric_becomes tollgate_policy_reload_failed 1
    run 1 "tollgate check --config deploy/demo/tollgate-municipal.yaml" \
        "$TOLLGATE" check --config "$here/tollgate-municipal.yaml"
    output_has 'fields.yaml:'
    output_has 'customer:pi_read'
    run 0 "curl $admin/readyz" curl -sf "$admin/readyz"
    ask CASEWORKER "$city/api/accounts/A1001?county=County_A"
    expect 200 ALLOWED
    has '"SSN": "900-11-1001"' "the policy before the slip is in force"

    cp "$scratch/fields.yaml" "$policy/fields.yaml"
    cp "$scratch/roles.yaml" "$policy/roles.yaml"
    metric_becomes tollgate_policy_reload_failed 0
}

the_fleet() {
    chapter "6. The same gateway before a fleet's portal (S3)"
    ask DRIVER "$fleet/portal/variable-invoices"
    expect 403 DENIED_SCOPE
    has "Insufficient permissions. Required: view_variable_invoices"
    ask MANAGER "$fleet/portal/variable-invoices"
    expect 200 ALLOWED
    has '"bankAccount": "US00-TEST-0007"'

    note "A manager is not a smaller admin."
    ask MANAGER "$fleet/portal/users"
    expect 403 DENIED_SCOPE
    ask ADMIN "$fleet/portal/users"
    expect 200 ALLOWED

    note "A dispatcher sees hours and no money."
    ask DISPATCHER "$fleet/portal/wst"
    expect 200 ALLOWED
    has '"worked": 38.5'
    has '"hourlyRate": "[REDACTED]"'

    note "A driver sees rows of their own (S3.4)."
    ask DRIVER "$fleet/portal/schedule/d-7"
    expect 200 ALLOWED
    ask DRIVER "$fleet/portal/schedule/d-8"
    expect 403 DENIED_JURISDICTION
    ask DRIVER "$fleet/portal/assignments"
    expect 403 DENIED_SCOPE
}

what_is_left() {
    chapter "7. What all this has left"
    note "One line a request, in a chain of hashes. The last denied one:"
    local line count
    line=$(grep '"decision":"DENIED_' "$city_audit" | tail -n 1)
    printf '   %s\n' "$line"
    note "How often which decision was made:"
    sed -n 's/.*"decision":"\([A-Z_]*\)".*/\1/p' "$city_audit" | sort | uniq -c | sort -rn
    for count in DENIED_TOKEN DENIED_ROLE DENIED_SCOPE DENIED_MODULE DENIED_JURISDICTION DENIED_REQUEST DENIED_ROUTE DENIED_IDEMPOTENCY; do
        if ! grep -q "\"decision\":\"$count\"" "$city_audit"; then mismatch "no line says $count"; fi
    done

    note "No line has a token, a number of social security, a name, a subsidy (S1.11)."
    local secret before=$mismatches
    for secret in 900-11-1001 'Rosa Delgado' "${ANALYST##*.}" "${OPERATOR##*.}" '"T2"' eyJ; do
        if grep -qF -- "$secret" "$city_audit" "$fleet_audit"; then mismatch "the log has ${secret:0:16}"; fi
    done
    if [ "$mismatches" = "$before" ]; then good "none"; fi

    run 0 "curl -s $admin/metrics | grep -E '_(decisions|masked_fields|tolerated|idempotency)_total'" \
        bash -c "curl -s '$admin/metrics' | grep -E '^tollgate_(decisions|masked_fields|tolerated|idempotency)_total' | grep -v ' 0\$'"
    output_has 'tollgate_masked_fields_total{class="subsidy"}'
    output_has 'tollgate_tolerated_total{kind="raw_byte",module="statements"} 1'
    output_has 'tollgate_decisions_total{decision="DENIED_JURISDICTION",module="ledger"}'

    run 0 "tollgate audit verify $DEMO_SHOWN/audit/municipal.jsonl" "$TOLLGATE" audit verify "$city_audit"
    note "In a copy, one denial becomes an approval."
    sed '0,/"decision":"DENIED_[A-Z]*"/s//"decision":"ALLOWED"/' "$city_audit" >"$scratch/tampered.jsonl"
    run 1 "tollgate audit verify $DEMO_SHOWN/tmp/tampered.jsonl" "$TOLLGATE" audit verify "$scratch/tampered.jsonl"
}

loop=
stop() {
    touch "$scratch/stop"
    if [ -n "$loop" ]; then kill "$loop" 2>/dev/null || true; fi
}
trap stop EXIT
trap 'exit 143' TERM INT HUP

the_same_account
denials
pretences
writes_once
policy_edits
the_fleet
what_is_left

echo
if [ "$mismatches" -gt 0 ]; then
    printf '%s\n' "${RED}The tour is over; $mismatches steps did not show what they say.$PLAIN"
    exit 1
fi
printf '%s\n' "${GREEN}The tour is over; every step showed what it says.$PLAIN"
