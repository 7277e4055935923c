       IDENTIFICATION DIVISION.
       PROGRAM-ID. BILLING.
      *****************************************************************
      * MUNICIPAL BILLING: ENQUIRIES AND LEDGER POSTING, AS CGI.      *
      *                                                               *
      * WHOEVER REACHES THIS PROGRAM MAY DO EVERYTHING. IT NOTES THE  *
      * USER OF HTTP_X_MUNICIPAL_USER IN THE LEDGER AND ASKS NOTHING. *
      *                                                               *
      * BILLING_DATA IS THE FOLDER OF THE DATA FILES.                 *
      *****************************************************************
       ENVIRONMENT DIVISION.
       INPUT-OUTPUT SECTION.
       FILE-CONTROL.
           SELECT ACCOUNT-FILE ASSIGN TO WS-ACCOUNT-PATH
               ORGANIZATION IS LINE SEQUENTIAL
               FILE STATUS IS WS-STATUS.
           SELECT CONSUMPTION-FILE ASSIGN TO WS-CONSUMPTION-PATH
               ORGANIZATION IS LINE SEQUENTIAL
               FILE STATUS IS WS-STATUS.
           SELECT TELEMETRY-FILE ASSIGN TO WS-TELEMETRY-PATH
               ORGANIZATION IS LINE SEQUENTIAL
               FILE STATUS IS WS-STATUS.
           SELECT POSTAL-FILE ASSIGN TO WS-POSTAL-PATH
               ORGANIZATION IS LINE SEQUENTIAL
               FILE STATUS IS WS-STATUS.
       DATA DIVISION.
       FILE SECTION.
       FD  ACCOUNT-FILE.
           COPY ACCTREC.
       FD  CONSUMPTION-FILE.
       01  CONSUMPTION-RECORD.
           05  CN-ACCOUNT-ID               PIC X(8).
           05  CN-PERIOD                   PIC X(8).
           05  CN-KILOWATT-HOURS           PIC 9(7)V9(4).
           05  CN-CUBIC-METERS             PIC 9(7)V9(4).
           05  CN-BILLED                   PIC 9(7)V9(4).
       FD  TELEMETRY-FILE.
       01  TELEMETRY-RECORD.
           05  TL-METER-ID                 PIC X(8).
           05  TL-READ-AT                  PIC X(20).
           05  TL-READING                  PIC 9(7)V9(4).
           05  TL-QUALITY                  PIC X(10).
       FD  POSTAL-FILE.
       01  POSTAL-RECORD.
           05  PO-ZIP                      PIC X(5).
           05  PO-STREET                   PIC X(24).
       WORKING-STORAGE SECTION.
       01  WS-ACCOUNT-PATH                 PIC X(600).
       01  WS-CONSUMPTION-PATH             PIC X(600).
       01  WS-TELEMETRY-PATH               PIC X(600).
       01  WS-POSTAL-PATH                  PIC X(600).
       01  WS-DATA-DIR                     PIC X(512) VALUE SPACES.
       01  WS-STATUS                       PIC XX.
           88  WS-DONE                     VALUE "00" "05" "07".
           88  WS-LOCKED                   VALUE "61".
       01  WS-TRIES                        PIC 9(4) COMP.
       01  WS-NANOSECONDS                  PIC S9(18) COMP-5
                                           VALUE 10000000.

      *    THE REQUEST.
       01  WS-METHOD                       PIC X(16)   VALUE SPACES.
       01  WS-URI                          PIC X(8192) VALUE SPACES.
       01  WS-PATH                         PIC X(8192) VALUE SPACES.
       01  WS-QUERY                        PIC X(8192) VALUE SPACES.
       01  WS-LENGTH-TEXT                  PIC X(16)   VALUE SPACES.
       01  WS-SEGMENTS.
           05  WS-SEGMENT OCCURS 8 TIMES   PIC X(64).
       01  WS-SEGMENT-COUNT                PIC 9(4) COMP.
       01  WS-EXTRA                        PIC X(64).
       01  WS-ROUTE                        PIC X(64).
       01  WS-PAIRS.
           05  WS-PAIR OCCURS 8 TIMES      PIC X(128).
       01  WS-PAIR-NAME                    PIC X(64).
       01  WS-PAIR-VALUE                   PIC X(64).
       01  WS-COUNTY                       PIC X(10)   VALUE SPACES.

      *    ITS BODY.
       01  WS-BODY                         PIC X(65536).
       01  WS-BODY-LENGTH                  PIC 9(6) COMP VALUE 0.
       01  WS-BYTES-READ                   PIC S9(9) COMP-5.
       01  WS-DESCRIPTOR                   PIC S9(9) COMP-5.
       01  WS-BODY-STATE                   PIC X VALUE "?".
           88  WS-BODY-GOOD                VALUE "Y".
           88  WS-BODY-BAD                 VALUE "N".
       01  WS-AT                           PIC 9(6) COMP.
       01  WS-KIND                         PIC X.
       01  WS-TEXT                         PIC X(256).
       01  WS-EXPECT                       PIC X.
       01  WS-STACK                        PIC X(32).
       01  WS-DEPTH                        PIC 9(4) COMP.
       01  WS-KEY                          PIC X(256).
       01  WS-OUTER-KEY                    PIC X(256).
       01  WS-BODY-FIELDS.
           05  BF-COUNTY                   PIC X(10).
           05  BF-ACCOUNT-ID               PIC X(8).
           05  BF-AGENCY                   PIC X(32).
           05  BF-READING                  PIC X(32).
           05  BF-RESULT                   PIC X(16).
           05  BF-ENTRY-ACCOUNT            PIC X(8).
           05  BF-ENTRY-AMOUNT             PIC X(32).
       01  WS-DIGITS                       PIC 9(4) COMP.
       01  WS-DECIMALS                     PIC 9(4) COMP.
       01  WS-POINT                        PIC 9(4) COMP.
       01  WS-AMOUNT-STATE                 PIC X.
           88  WS-AMOUNT-GOOD              VALUE "Y".
           88  WS-AMOUNT-BAD               VALUE "N".

      *    THE ANSWER.
       01  WS-CODE                         PIC X(40).
       01  WS-ERROR                        PIC X(40).
       01  WS-ALLOW                        PIC X(16) VALUE SPACES.
       01  WS-CHUNK                        PIC X(32768).
       01  WS-PTR                          PIC 9(6) COMP VALUE 1.
       01  WS-SEP                          PIC X(2)  VALUE SPACES.
       01  WS-SEP-SIZE                     PIC 9(4) COMP VALUE 0.
       01  WS-NAME                         PIC X(64).
       01  WS-VALUE                        PIC X(8192).
       01  WS-SIZE                         PIC 9(6) COMP.
       01  WS-AMOUNT                       PIC S9(11)V9(4).
       01  WS-EDIT-AMOUNT                  PIC -(11)9.9999.
       01  WS-NUMBER                       PIC S9(9).
       01  WS-EDIT-NUMBER                  PIC -(9)9.
       01  WS-CHAR                         PIC X.
       01  WS-I                            PIC 9(6) COMP.
       01  WS-J                            PIC 9(6) COMP.
       01  WS-DATE                         PIC X(21).

      *    THE STATEMENT, AS IT WAS PRINTED.
       01  ST-SUBSIDY                      PIC 9(5).9(4).
       01  ST-BALANCE                      PIC +9(7).9(4).
       01  ST-FEE                          PIC .99 VALUE .00.

      *    WHAT IS ADDED UP.
       01  WS-FOUND                        PIC X VALUE "N".
           88  FOUND                       VALUE "Y".
       01  WS-COUNTIES.
           05  WS-TOTAL OCCURS 9 TIMES.
               10  CT-COUNTY               PIC X(10).
               10  CT-ACCOUNTS             PIC 9(6).
               10  CT-BALANCE              PIC S9(11)V9(4).
               10  CT-ARREARS              PIC S9(11)V9(4).
               10  CT-SUBSIDIES            PIC S9(11)V9(4).
       01  WS-COUNTY-COUNT                 PIC 9(4) COMP VALUE 0.
       01  WS-ENTRIES                      PIC 9(9) COMP VALUE 0.
       01  WS-SUM                          PIC S9(11)V9(4) VALUE 0.
       01  WS-LAST-ID                      PIC X(9) VALUE SPACES.
       01  WS-HASH                         PIC S9(18) COMP-5 VALUE 17.
       01  WS-HASH-TEXT                    PIC 9(10).
       01  WS-SERIAL                       PIC 9(6).
           COPY LEDGREC.
           COPY LEDGAREA.
       PROCEDURE DIVISION.
       MAIN-PARA.
           PERFORM READ-REQUEST
           PERFORM DISPATCH
           STOP RUN.

      *---------------------------------------------------------------*
      * THE REQUEST                                                   *
      *---------------------------------------------------------------*
       READ-REQUEST.
           ACCEPT WS-DATA-DIR FROM ENVIRONMENT "BILLING_DATA"
           STRING FUNCTION TRIM(WS-DATA-DIR) "/accounts.dat"
               DELIMITED BY SIZE INTO WS-ACCOUNT-PATH
           STRING FUNCTION TRIM(WS-DATA-DIR) "/consumption.dat"
               DELIMITED BY SIZE INTO WS-CONSUMPTION-PATH
           STRING FUNCTION TRIM(WS-DATA-DIR) "/telemetry.dat"
               DELIMITED BY SIZE INTO WS-TELEMETRY-PATH
           STRING FUNCTION TRIM(WS-DATA-DIR) "/postal.dat"
               DELIMITED BY SIZE INTO WS-POSTAL-PATH
           MOVE SPACES TO LEDGER-AREA WS-BODY-FIELDS
           MOVE 0 TO LA-COUNT
           MOVE WS-DATA-DIR TO LA-DATA-DIR
           ACCEPT WS-METHOD FROM ENVIRONMENT "REQUEST_METHOD"
           ACCEPT WS-URI FROM ENVIRONMENT "REQUEST_URI"
           ACCEPT WS-QUERY FROM ENVIRONMENT "QUERY_STRING"
           ACCEPT WS-LENGTH-TEXT FROM ENVIRONMENT "CONTENT_LENGTH"
           ACCEPT LA-USER FROM ENVIRONMENT "HTTP_X_MUNICIPAL_USER"
           ACCEPT LA-KEY FROM ENVIRONMENT "HTTP_X_IDEMPOTENCY_KEY"
           IF WS-METHOD = "HEAD"
               MOVE "GET" TO WS-METHOD
           END-IF
           MOVE FUNCTION CURRENT-DATE TO WS-DATE
           MOVE SPACES TO LA-NOW
           STRING WS-DATE(1:4) "-" WS-DATE(5:2) "-" WS-DATE(7:2) "T"
               WS-DATE(9:2) ":" WS-DATE(11:2) ":" WS-DATE(13:2)
               DELIMITED BY SIZE INTO LA-NOW
           PERFORM SPLIT-PATH
           PERFORM SPLIT-QUERY.

       SPLIT-PATH.
           UNSTRING WS-URI DELIMITED BY "?" INTO WS-PATH
           MOVE SPACES TO WS-SEGMENTS WS-EXTRA
           MOVE 0 TO WS-SEGMENT-COUNT
           UNSTRING WS-PATH(2:) DELIMITED BY "/" OR SPACE
               INTO WS-SEGMENT(1) WS-SEGMENT(2) WS-SEGMENT(3)
                    WS-SEGMENT(4) WS-SEGMENT(5) WS-SEGMENT(6)
                    WS-EXTRA
           IF WS-EXTRA NOT = SPACES
               MOVE "TOO-DEEP" TO WS-SEGMENT(1)
           END-IF
           PERFORM VARYING WS-I FROM 1 BY 1 UNTIL WS-I > 6
               IF WS-SEGMENT(WS-I) NOT = SPACES
                   MOVE WS-I TO WS-SEGMENT-COUNT
               END-IF
           END-PERFORM.

       SPLIT-QUERY.
           MOVE SPACES TO WS-PAIRS
           UNSTRING WS-QUERY DELIMITED BY "&" OR SPACE
               INTO WS-PAIR(1) WS-PAIR(2) WS-PAIR(3) WS-PAIR(4)
                    WS-PAIR(5) WS-PAIR(6) WS-PAIR(7) WS-PAIR(8)
           PERFORM VARYING WS-I FROM 1 BY 1 UNTIL WS-I > 8
               MOVE SPACES TO WS-PAIR-NAME WS-PAIR-VALUE
               UNSTRING WS-PAIR(WS-I) DELIMITED BY "=" OR SPACE
                   INTO WS-PAIR-NAME WS-PAIR-VALUE
               IF WS-PAIR-NAME = "county"
                   MOVE WS-PAIR-VALUE TO WS-COUNTY
               END-IF
           END-PERFORM.

       DISPATCH.
           MOVE SPACES TO WS-ROUTE
           STRING FUNCTION TRIM(WS-SEGMENT(2)) DELIMITED BY SIZE
               INTO WS-ROUTE
           IF WS-SEGMENT(1) NOT = "api"
               MOVE "?" TO WS-ROUTE
           END-IF
           EVALUATE WS-ROUTE ALSO WS-SEGMENT-COUNT
               WHEN "accounts" ALSO 2
                   PERFORM ONLY-GET
                   PERFORM LIST-ACCOUNTS
               WHEN "accounts" ALSO 3
                   PERFORM ONLY-GET
                   PERFORM SHOW-ACCOUNT
               WHEN "statements" ALSO 3
                   PERFORM ONLY-GET
                   PERFORM SHOW-STATEMENT
               WHEN "consumption" ALSO 3
                   PERFORM ONLY-GET
                   PERFORM SHOW-CONSUMPTION
               WHEN "telemetry" ALSO 3
                   PERFORM ONLY-GET
                   PERFORM SHOW-TELEMETRY
               WHEN "telemetry" ALSO 4
                   PERFORM VALIDATE-TELEMETRY
               WHEN "arrears" ALSO 2
                   PERFORM ONLY-GET
                   PERFORM LIST-ARREARS
               WHEN "collections" ALSO 3
                   PERFORM COLLECTIONS
               WHEN "assistance" ALSO 3
                   PERFORM ONLY-GET
                   PERFORM SHOW-ASSISTANCE
               WHEN "assistance" ALSO 4
                   PERFORM VERIFY-ASSISTANCE
               WHEN "ledger" ALSO 3
                   PERFORM LEDGER-REQUEST
               WHEN "ledger" ALSO 5
                   PERFORM LEDGER-TOTALS
               WHEN "revenue" ALSO 3
                   PERFORM REVENUE-SUMMARY
               WHEN "echo" ALSO 2
                   PERFORM ECHO-ENVIRONMENT
               WHEN OTHER
                   PERFORM NOT-FOUND
           END-EVALUATE.

       ONLY-GET.
           IF WS-METHOD NOT = "GET"
               MOVE "GET, HEAD" TO WS-ALLOW
               PERFORM WRONG-METHOD
           END-IF.

       ONLY-POST.
           IF WS-METHOD NOT = "POST"
               MOVE "POST" TO WS-ALLOW
               PERFORM WRONG-METHOD
           END-IF.

      *---------------------------------------------------------------*
      * ACCOUNTS                                                      *
      *---------------------------------------------------------------*
       OPEN-ACCOUNTS.
           MOVE 0 TO WS-TRIES
           PERFORM WITH TEST AFTER
               UNTIL NOT WS-LOCKED OR WS-TRIES >= 1000
               OPEN INPUT ACCOUNT-FILE
               IF WS-LOCKED
                   ADD 1 TO WS-TRIES
                   CALL "CBL_GC_NANOSLEEP" USING WS-NANOSECONDS
               END-IF
           END-PERFORM
           IF NOT WS-DONE
               PERFORM OUT-OF-ORDER
           END-IF.

       READ-ACCOUNT.
           READ ACCOUNT-FILE
               AT END MOVE HIGH-VALUES TO AC-ACCOUNT-ID
           END-READ.

      *    THE ACCOUNT OF SEGMENT 3, OR THE END OF THE RUN.
       FIND-ACCOUNT.
           PERFORM OPEN-ACCOUNTS
           PERFORM READ-ACCOUNT
           PERFORM UNTIL AC-ACCOUNT-ID = HIGH-VALUES OR FOUND
               IF AC-ACCOUNT-ID = WS-SEGMENT(3)
                  AND (WS-COUNTY = SPACES OR WS-COUNTY = AC-COUNTY)
                   SET FOUND TO TRUE
               ELSE
                   PERFORM READ-ACCOUNT
               END-IF
           END-PERFORM
           CLOSE ACCOUNT-FILE
           IF NOT FOUND
               PERFORM NOT-FOUND
           END-IF.

       LIST-ACCOUNTS.
           PERFORM OPEN-ACCOUNTS
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           MOVE "ACCOUNTS" TO WS-NAME
           PERFORM OPEN-LIST
           PERFORM READ-ACCOUNT
           PERFORM UNTIL AC-ACCOUNT-ID = HIGH-VALUES
               IF WS-COUNTY = SPACES OR WS-COUNTY = AC-COUNTY
                   PERFORM OPEN-OBJECT
                   PERFORM PUT-ACCOUNT-HEAD
                   MOVE "CUSTOMER-NAME" TO WS-NAME
                   MOVE AC-CUSTOMER-NAME TO WS-VALUE
                   PERFORM PUT-TEXT
                   MOVE "SUBSIDY-TIER" TO WS-NAME
                   MOVE AC-SUBSIDY-TIER TO WS-VALUE
                   PERFORM PUT-TEXT
                   MOVE "BALANCE" TO WS-NAME
                   MOVE AC-BALANCE TO WS-AMOUNT
                   PERFORM PUT-AMOUNT
                   PERFORM CLOSE-OBJECT
                   PERFORM FLUSH-CHUNK
               END-IF
               PERFORM READ-ACCOUNT
           END-PERFORM
           CLOSE ACCOUNT-FILE
           PERFORM CLOSE-LIST
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       SHOW-ACCOUNT.
           PERFORM FIND-ACCOUNT
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           PERFORM PUT-ACCOUNT-HEAD
           PERFORM PUT-CUSTOMER
           MOVE "ASSISTANCE-ELIGIBILITY" TO WS-NAME
           MOVE AC-ASSISTANCE-ELIGIBILITY TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "SUBSIDY-TIER" TO WS-NAME
           MOVE AC-SUBSIDY-TIER TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "BALANCE" TO WS-NAME
           MOVE AC-BALANCE TO WS-AMOUNT
           PERFORM PUT-AMOUNT
           MOVE "RATE-SCHEDULE" TO WS-NAME
           MOVE AC-RATE-SCHEDULE TO WS-VALUE
           PERFORM PUT-TEXT
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       PUT-ACCOUNT-HEAD.
           MOVE "ACCOUNT-ID" TO WS-NAME
           MOVE AC-ACCOUNT-ID TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "COUNTY" TO WS-NAME
           MOVE AC-COUNTY TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "SERVICE-CLASS" TO WS-NAME
           MOVE AC-SERVICE-CLASS TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "METER-ID" TO WS-NAME
           MOVE AC-METER-ID TO WS-VALUE
           PERFORM PUT-TEXT.

       PUT-CUSTOMER.
           MOVE "CUSTOMER" TO WS-NAME
           PERFORM PUT-NAME
           PERFORM OPEN-OBJECT
           MOVE "CUSTOMER-NAME" TO WS-NAME
           MOVE AC-CUSTOMER-NAME TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "SSN" TO WS-NAME
           MOVE AC-SSN TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "PHONE" TO WS-NAME
           MOVE AC-PHONE TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "ADDRESS" TO WS-NAME
           PERFORM PUT-NAME
           PERFORM OPEN-OBJECT
           MOVE "STREET" TO WS-NAME
           MOVE AC-STREET TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "CITY" TO WS-NAME
           MOVE AC-CITY TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "ZIP" TO WS-NAME
           MOVE AC-ZIP TO WS-VALUE
           PERFORM PUT-TEXT
           PERFORM CLOSE-OBJECT
           PERFORM CLOSE-OBJECT.

      *    MADE OF THE LINES THAT WERE PRINTED ONCE: EDITED NUMBERS, A
      *    TAB, STREETS IN LATIN-1, AND A COMMA AFTER EVERY FIELD.
       SHOW-STATEMENT.
           PERFORM FIND-ACCOUNT
           PERFORM FIND-POSTAL
           MOVE AC-SUBSIDY-AMOUNT TO ST-SUBSIDY
           MOVE AC-BALANCE TO ST-BALANCE
           IF AC-DAYS-OVERDUE > 30
               MOVE .75 TO ST-FEE
           END-IF
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           STRING '{"ACCOUNT-ID": "' FUNCTION TRIM(AC-ACCOUNT-ID)
               '", "SSN": "' AC-SSN
               '", "SUBSIDY-AMOUNT": ' ST-SUBSIDY
               ', "BALANCE": ' ST-BALANCE
               ', "LATE-FEE": ' ST-FEE
               ', "DELIVERY": "' FUNCTION TRIM(PO-STREET) X"09"
               FUNCTION TRIM(AC-CITY)
               '", "PHONE": "' FUNCTION TRIM(AC-PHONE) '",}'
               DELIMITED BY SIZE INTO WS-CHUNK WITH POINTER WS-PTR
           PERFORM END-ANSWER.

       FIND-POSTAL.
           OPEN INPUT POSTAL-FILE
           IF NOT WS-DONE
               PERFORM OUT-OF-ORDER
           END-IF
           MOVE SPACES TO POSTAL-RECORD
           PERFORM UNTIL PO-ZIP = AC-ZIP
               READ POSTAL-FILE
                   AT END
                       MOVE SPACES TO PO-STREET
                       MOVE AC-ZIP TO PO-ZIP
               END-READ
           END-PERFORM
           CLOSE POSTAL-FILE.

      *---------------------------------------------------------------*
      * CONSUMPTION AND METERS                                        *
      *---------------------------------------------------------------*
       SHOW-CONSUMPTION.
           PERFORM FIND-ACCOUNT
           OPEN INPUT CONSUMPTION-FILE
           IF NOT WS-DONE
               PERFORM OUT-OF-ORDER
           END-IF
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           PERFORM PUT-ACCOUNT-HEAD
           MOVE "CONSUMPTION" TO WS-NAME
           PERFORM OPEN-LIST
           PERFORM UNTIL EXIT
               READ CONSUMPTION-FILE
                   AT END EXIT PERFORM
               END-READ
               IF CN-ACCOUNT-ID = AC-ACCOUNT-ID
                   PERFORM OPEN-OBJECT
                   MOVE "PERIOD" TO WS-NAME
                   MOVE CN-PERIOD TO WS-VALUE
                   PERFORM PUT-TEXT
                   MOVE "KILOWATT-HOURS" TO WS-NAME
                   MOVE CN-KILOWATT-HOURS TO WS-AMOUNT
                   PERFORM PUT-AMOUNT
                   MOVE "CUBIC-METERS" TO WS-NAME
                   MOVE CN-CUBIC-METERS TO WS-AMOUNT
                   PERFORM PUT-AMOUNT
                   MOVE "BILLED" TO WS-NAME
                   MOVE CN-BILLED TO WS-AMOUNT
                   PERFORM PUT-AMOUNT
                   PERFORM CLOSE-OBJECT
               END-IF
           END-PERFORM
           CLOSE CONSUMPTION-FILE
           PERFORM CLOSE-LIST
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       FIND-METER.
           OPEN INPUT TELEMETRY-FILE
           IF NOT WS-DONE
               PERFORM OUT-OF-ORDER
           END-IF
           PERFORM UNTIL FOUND
               READ TELEMETRY-FILE
                   AT END EXIT PERFORM
               END-READ
               IF TL-METER-ID = WS-SEGMENT(3)
                   SET FOUND TO TRUE
               END-IF
           END-PERFORM
           CLOSE TELEMETRY-FILE
           IF NOT FOUND
               PERFORM NOT-FOUND
           END-IF.

       SHOW-TELEMETRY.
           PERFORM FIND-METER
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           MOVE "METER-ID" TO WS-NAME
           MOVE TL-METER-ID TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "READ-AT" TO WS-NAME
           MOVE TL-READ-AT TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "READING" TO WS-NAME
           MOVE TL-READING TO WS-AMOUNT
           PERFORM PUT-AMOUNT
           MOVE "QUALITY" TO WS-NAME
           MOVE TL-QUALITY TO WS-VALUE
           PERFORM PUT-TEXT
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       VALIDATE-TELEMETRY.
           IF WS-SEGMENT(4) NOT = "validation"
               PERFORM NOT-FOUND
           END-IF
           PERFORM ONLY-POST
           PERFORM FIND-METER
           PERFORM READ-BODY
           MOVE "VL" TO LA-SERIES
           MOVE "VALIDATION-ID" TO WS-NAME
           PERFORM TAKE-AND-START
           MOVE "METER-ID" TO WS-NAME
           MOVE TL-METER-ID TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "QUALITY" TO WS-NAME
           MOVE "VALIDATED" TO WS-VALUE
           PERFORM PUT-TEXT
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

      *---------------------------------------------------------------*
      * ARREARS AND COLLECTIONS                                       *
      *---------------------------------------------------------------*
       LIST-ARREARS.
           PERFORM OPEN-ACCOUNTS
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           MOVE "ARREARS" TO WS-NAME
           PERFORM OPEN-LIST
           PERFORM READ-ACCOUNT
           PERFORM UNTIL AC-ACCOUNT-ID = HIGH-VALUES
               IF AC-ARREARS > 0
                  AND (WS-COUNTY = SPACES OR WS-COUNTY = AC-COUNTY)
                   PERFORM PUT-ARREARS
                   PERFORM FLUSH-CHUNK
               END-IF
               PERFORM READ-ACCOUNT
           END-PERFORM
           CLOSE ACCOUNT-FILE
           PERFORM CLOSE-LIST
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       PUT-ARREARS.
           PERFORM OPEN-OBJECT
           PERFORM PUT-ACCOUNT-HEAD
           MOVE "CUSTOMER-NAME" TO WS-NAME
           MOVE AC-CUSTOMER-NAME TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "PHONE" TO WS-NAME
           MOVE AC-PHONE TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "ASSISTANCE-ELIGIBILITY" TO WS-NAME
           MOVE AC-ASSISTANCE-ELIGIBILITY TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "AMOUNT-OVERDUE" TO WS-NAME
           MOVE AC-ARREARS TO WS-AMOUNT
           PERFORM PUT-AMOUNT
           MOVE "DAYS-OVERDUE" TO WS-NAME
           MOVE AC-DAYS-OVERDUE TO WS-NUMBER
           PERFORM PUT-NUMBER
           PERFORM CLOSE-OBJECT.

       COLLECTIONS.
           EVALUATE WS-SEGMENT(3)
               WHEN "routing"
                   MOVE "CR" TO LA-SERIES
                   MOVE "ROUTING-ID" TO WS-NAME
               WHEN "contact"
                   MOVE "NT" TO LA-SERIES
                   MOVE "NOTICE-ID" TO WS-NAME
               WHEN OTHER
                   PERFORM NOT-FOUND
           END-EVALUATE
           PERFORM ONLY-POST
           PERFORM READ-BODY
           IF BF-COUNTY = SPACES OR BF-ACCOUNT-ID = SPACES
               MOVE "COUNTY-OR-ACCOUNT-ID-MISSING" TO WS-ERROR
               PERFORM BAD-REQUEST
           END-IF
           MOVE BF-COUNTY TO WS-COUNTY
           MOVE BF-ACCOUNT-ID TO WS-SEGMENT(3)
           PERFORM FIND-ACCOUNT
           PERFORM TAKE-AND-START
           MOVE "ACCOUNT-ID" TO WS-NAME
           MOVE AC-ACCOUNT-ID TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "COUNTY" TO WS-NAME
           MOVE AC-COUNTY TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "AMOUNT-OVERDUE" TO WS-NAME
           MOVE AC-ARREARS TO WS-AMOUNT
           PERFORM PUT-AMOUNT
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

      *---------------------------------------------------------------*
      * ASSISTANCE                                                    *
      *---------------------------------------------------------------*
       SHOW-ASSISTANCE.
           PERFORM FIND-ACCOUNT
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           PERFORM PUT-ACCOUNT-HEAD
           PERFORM PUT-CUSTOMER
           MOVE "ASSISTANCE-ELIGIBILITY" TO WS-NAME
           MOVE AC-ASSISTANCE-ELIGIBILITY TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "SUBSIDY-TIER" TO WS-NAME
           MOVE AC-SUBSIDY-TIER TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "SUBSIDY-AMOUNT" TO WS-NAME
           MOVE AC-SUBSIDY-AMOUNT TO WS-AMOUNT
           PERFORM PUT-AMOUNT
           MOVE "HOUSEHOLD-INCOME" TO WS-NAME
           MOVE AC-HOUSEHOLD-INCOME TO WS-AMOUNT
           PERFORM PUT-AMOUNT
           MOVE "INCOME-DOCUMENTS" TO WS-NAME
           PERFORM OPEN-LIST
           STRING '"W2-2025-' FUNCTION TRIM(AC-ACCOUNT-ID)
               '.PDF", "STUB-2026-01-' FUNCTION TRIM(AC-ACCOUNT-ID)
               '.PDF"'
               DELIMITED BY SIZE INTO WS-CHUNK WITH POINTER WS-PTR
           PERFORM CLOSE-LIST
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       VERIFY-ASSISTANCE.
           IF WS-SEGMENT(4) NOT = "verify"
               PERFORM NOT-FOUND
           END-IF
           PERFORM ONLY-POST
           PERFORM FIND-ACCOUNT
           PERFORM READ-BODY
           MOVE "VR" TO LA-SERIES
           MOVE "VERIFICATION-ID" TO WS-NAME
           PERFORM TAKE-AND-START
           MOVE "ACCOUNT-ID" TO WS-NAME
           MOVE AC-ACCOUNT-ID TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "ASSISTANCE-ELIGIBILITY" TO WS-NAME
           MOVE AC-ASSISTANCE-ELIGIBILITY TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "VERIFIED-AT" TO WS-NAME
           MOVE LA-NOW TO WS-VALUE
           PERFORM PUT-TEXT
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

      *---------------------------------------------------------------*
      * THE LEDGER                                                    *
      *---------------------------------------------------------------*
       LEDGER-REQUEST.
           EVALUATE WS-SEGMENT(3)
               WHEN "state"
                   PERFORM ONLY-GET
                   PERFORM LEDGER-STATE
               WHEN "entries"
                   PERFORM ONLY-GET
                   PERFORM LEDGER-ENTRIES
               WHEN "sync"
                   PERFORM ONLY-POST
                   PERFORM LEDGER-SYNC
               WHEN OTHER
                   PERFORM NOT-FOUND
           END-EVALUATE.

       OPEN-LEDGER.
           MOVE "OPEN" TO LA-FUNCTION
           CALL "LEDGER" USING LEDGER-AREA
           PERFORM LEDGER-OR-STOP.

       NEXT-POSTING.
           MOVE "NEXT" TO LA-FUNCTION
           CALL "LEDGER" USING LEDGER-AREA
           MOVE LA-POSTING TO LEDGER-RECORD.

       CLOSE-LEDGER.
           MOVE "CLOSE" TO LA-FUNCTION
           CALL "LEDGER" USING LEDGER-AREA.

       LEDGER-OR-STOP.
           EVALUATE TRUE
               WHEN LA-OK
                   CONTINUE
               WHEN LA-BUSY
                   MOVE "503 Service Unavailable" TO WS-CODE
                   MOVE "LEDGER-BUSY" TO WS-ERROR
                   PERFORM ANSWER-ERROR
               WHEN OTHER
                   PERFORM OUT-OF-ORDER
           END-EVALUATE.

       LEDGER-STATE.
           PERFORM OPEN-LEDGER
           PERFORM NEXT-POSTING
           PERFORM UNTIL NOT LA-OK
               ADD 1 TO WS-ENTRIES
               ADD LR-AMOUNT TO WS-SUM
               MOVE LR-TRANSACTION-ID TO WS-LAST-ID
               MOVE LR-TRANSACTION-ID(4:6) TO WS-SERIAL
               COMPUTE WS-HASH = FUNCTION MOD(WS-HASH * 65599
                   + WS-SERIAL * 7919 + LR-AMOUNT * 10000, 4294967291)
               PERFORM NEXT-POSTING
           END-PERFORM
           PERFORM CLOSE-LEDGER
           MOVE WS-HASH TO WS-HASH-TEXT
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           MOVE "VERSION-HASH" TO WS-NAME
           MOVE SPACES TO WS-VALUE
           STRING "LV" WS-HASH-TEXT DELIMITED BY SIZE INTO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "ENTRIES" TO WS-NAME
           MOVE WS-ENTRIES TO WS-NUMBER
           PERFORM PUT-NUMBER
           MOVE "TOTAL" TO WS-NAME
           MOVE WS-SUM TO WS-AMOUNT
           PERFORM PUT-AMOUNT
           MOVE "LAST-TRANSACTION-ID" TO WS-NAME
           MOVE WS-LAST-ID TO WS-VALUE
           PERFORM PUT-TEXT
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       LEDGER-ENTRIES.
           PERFORM OPEN-LEDGER
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           MOVE "ENTRIES" TO WS-NAME
           PERFORM OPEN-LIST
           PERFORM NEXT-POSTING
           PERFORM UNTIL NOT LA-OK
               IF WS-COUNTY = SPACES OR WS-COUNTY = LR-COUNTY
                   PERFORM PUT-POSTING
                   PERFORM FLUSH-CHUNK
               END-IF
               PERFORM NEXT-POSTING
           END-PERFORM
           PERFORM CLOSE-LEDGER
           PERFORM CLOSE-LIST
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       PUT-POSTING.
           PERFORM OPEN-OBJECT
           MOVE "TRANSACTION-ID" TO WS-NAME
           MOVE LR-TRANSACTION-ID TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "POSTED-AT" TO WS-NAME
           MOVE LR-POSTED-AT TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "COUNTY" TO WS-NAME
           MOVE LR-COUNTY TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "ACCOUNT-ID" TO WS-NAME
           MOVE LR-ACCOUNT-ID TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "AMOUNT" TO WS-NAME
           MOVE LR-AMOUNT TO WS-AMOUNT
           PERFORM PUT-AMOUNT
           MOVE "POSTED-BY" TO WS-NAME
           MOVE LR-POSTED-BY TO WS-VALUE
           PERFORM PUT-TEXT
           PERFORM CLOSE-OBJECT.

       LEDGER-TOTALS.
           IF WS-SEGMENT(3) NOT = "counties"
              OR WS-SEGMENT(5) NOT = "totals"
               PERFORM NOT-FOUND
           END-IF
           PERFORM ONLY-GET
           PERFORM OPEN-LEDGER
           PERFORM NEXT-POSTING
           PERFORM UNTIL NOT LA-OK
               IF LR-COUNTY = WS-SEGMENT(4)
                   ADD 1 TO WS-ENTRIES
                   ADD LR-AMOUNT TO WS-SUM
               END-IF
               PERFORM NEXT-POSTING
           END-PERFORM
           PERFORM CLOSE-LEDGER
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           MOVE "COUNTY" TO WS-NAME
           MOVE WS-SEGMENT(4) TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "ENTRIES" TO WS-NAME
           MOVE WS-ENTRIES TO WS-NUMBER
           PERFORM PUT-NUMBER
           MOVE "TOTAL" TO WS-NAME
           MOVE WS-SUM TO WS-AMOUNT
           PERFORM PUT-AMOUNT
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       LEDGER-SYNC.
           PERFORM READ-BODY
           IF BF-COUNTY = SPACES
               MOVE "COUNTY-MISSING" TO WS-ERROR
               PERFORM BAD-REQUEST
           END-IF
           IF LA-COUNT = 0
               MOVE "ENTRIES-MISSING" TO WS-ERROR
               PERFORM BAD-REQUEST
           END-IF
           MOVE BF-COUNTY TO LA-COUNTY
           MOVE "POST" TO LA-FUNCTION
           CALL "LEDGER" USING LEDGER-AREA
           PERFORM LEDGER-OR-STOP
           PERFORM VARYING WS-I FROM 1 BY 1 UNTIL WS-I > LA-COUNT
               ADD LA-AMOUNT(WS-I) TO WS-SUM
           END-PERFORM
           MOVE "201 Created" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           MOVE "TRANSACTION-ID" TO WS-NAME
           MOVE LA-ID TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "COUNTY" TO WS-NAME
           MOVE LA-COUNTY TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "ENTRIES" TO WS-NAME
           MOVE LA-COUNT TO WS-NUMBER
           PERFORM PUT-NUMBER
           MOVE "TOTAL" TO WS-NAME
           MOVE WS-SUM TO WS-AMOUNT
           PERFORM PUT-AMOUNT
           MOVE "POSTED-AT" TO WS-NAME
           MOVE LA-NOW TO WS-VALUE
           PERFORM PUT-TEXT
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

      *    A NUMBER OF LA-SERIES, AND AN ANSWER THAT STARTS WITH IT.
       TAKE-AND-START.
           MOVE "NUMBER" TO LA-FUNCTION
           CALL "LEDGER" USING LEDGER-AREA
           PERFORM LEDGER-OR-STOP
           MOVE "201 Created" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           MOVE LA-ID TO WS-VALUE
           PERFORM PUT-TEXT.

      *---------------------------------------------------------------*
      * REVENUE                                                       *
      *---------------------------------------------------------------*
       REVENUE-SUMMARY.
           IF WS-SEGMENT(3) NOT = "summary"
               PERFORM NOT-FOUND
           END-IF
           PERFORM ONLY-GET
           PERFORM OPEN-ACCOUNTS
           PERFORM READ-ACCOUNT
           PERFORM UNTIL AC-ACCOUNT-ID = HIGH-VALUES
               PERFORM ADD-TO-COUNTY
               PERFORM READ-ACCOUNT
           END-PERFORM
           CLOSE ACCOUNT-FILE
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           MOVE "AS-OF" TO WS-NAME
           MOVE LA-NOW TO WS-VALUE
           PERFORM PUT-TEXT
           MOVE "COUNTIES" TO WS-NAME
           PERFORM OPEN-LIST
           PERFORM VARYING WS-I FROM 1 BY 1
               UNTIL WS-I > WS-COUNTY-COUNT
               PERFORM OPEN-OBJECT
               MOVE "COUNTY" TO WS-NAME
               MOVE CT-COUNTY(WS-I) TO WS-VALUE
               PERFORM PUT-TEXT
               MOVE "ACCOUNTS" TO WS-NAME
               MOVE CT-ACCOUNTS(WS-I) TO WS-NUMBER
               PERFORM PUT-NUMBER
               MOVE "OUTSTANDING" TO WS-NAME
               MOVE CT-BALANCE(WS-I) TO WS-AMOUNT
               PERFORM PUT-AMOUNT
               MOVE "OVERDUE" TO WS-NAME
               MOVE CT-ARREARS(WS-I) TO WS-AMOUNT
               PERFORM PUT-AMOUNT
               MOVE "SUBSIDY-ALLOCATION" TO WS-NAME
               MOVE CT-SUBSIDIES(WS-I) TO WS-AMOUNT
               PERFORM PUT-AMOUNT
               PERFORM CLOSE-OBJECT
           END-PERFORM
           PERFORM CLOSE-LIST
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       ADD-TO-COUNTY.
           PERFORM VARYING WS-I FROM 1 BY 1
               UNTIL WS-I > WS-COUNTY-COUNT
                  OR CT-COUNTY(WS-I) = AC-COUNTY
               CONTINUE
           END-PERFORM
           IF WS-I > 9
               PERFORM OUT-OF-ORDER
           END-IF
           IF WS-I > WS-COUNTY-COUNT
               MOVE WS-I TO WS-COUNTY-COUNT
               MOVE AC-COUNTY TO CT-COUNTY(WS-I)
               MOVE 0 TO CT-ACCOUNTS(WS-I) CT-BALANCE(WS-I)
                   CT-ARREARS(WS-I) CT-SUBSIDIES(WS-I)
           END-IF
           ADD 1 TO CT-ACCOUNTS(WS-I)
           ADD AC-BALANCE TO CT-BALANCE(WS-I)
           ADD AC-ARREARS TO CT-ARREARS(WS-I)
           ADD AC-SUBSIDY-AMOUNT TO CT-SUBSIDIES(WS-I).

      *---------------------------------------------------------------*
      * WHAT THE PROGRAM IS TOLD: THE REQUEST'S PART OF ITS           *
      * ENVIRONMENT, NAME BY NAME.                                    *
      *---------------------------------------------------------------*
       ECHO-ENVIRONMENT.
           MOVE "200 OK" TO WS-CODE
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           CALL "open" USING BY REFERENCE Z"/proc/self/environ"
               BY VALUE 0 RETURNING WS-DESCRIPTOR
           MOVE 0 TO WS-BODY-LENGTH
           MOVE 1 TO WS-BYTES-READ
           PERFORM UNTIL WS-BYTES-READ <= 0
               COMPUTE WS-AT = WS-BODY-LENGTH + 1
               COMPUTE WS-SIZE = LENGTH OF WS-BODY - WS-BODY-LENGTH
               CALL "read" USING BY VALUE WS-DESCRIPTOR
                   BY REFERENCE WS-BODY(WS-AT:1)
                   BY VALUE WS-SIZE RETURNING WS-BYTES-READ
               IF WS-BYTES-READ > 0
                   ADD WS-BYTES-READ TO WS-BODY-LENGTH
               END-IF
           END-PERFORM
           MOVE 1 TO WS-AT
           PERFORM UNTIL WS-AT > WS-BODY-LENGTH
               PERFORM ECHO-VARIABLE
           END-PERFORM
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       ECHO-VARIABLE.
           MOVE SPACES TO WS-NAME WS-VALUE
           MOVE 0 TO WS-I WS-J
           PERFORM VARYING WS-AT FROM WS-AT BY 1
               UNTIL WS-AT > WS-BODY-LENGTH
                  OR WS-BODY(WS-AT:1) = LOW-VALUE
               MOVE WS-BODY(WS-AT:1) TO WS-CHAR
               EVALUATE TRUE
                   WHEN WS-J = 0 AND WS-CHAR = "="
                       MOVE 1 TO WS-J
                       MOVE 0 TO WS-SIZE
                   WHEN WS-J = 0
                       ADD 1 TO WS-I
                       IF WS-I <= LENGTH OF WS-NAME
                           MOVE WS-CHAR TO WS-NAME(WS-I:1)
                       END-IF
                   WHEN WS-SIZE < LENGTH OF WS-VALUE
                       ADD 1 TO WS-SIZE
                       MOVE WS-CHAR TO WS-VALUE(WS-SIZE:1)
               END-EVALUATE
           END-PERFORM
           ADD 1 TO WS-AT
           IF WS-NAME(1:5) = "HTTP_" OR WS-NAME = "REQUEST_METHOD"
              OR "REQUEST_URI" OR "QUERY_STRING" OR "PATH_INFO"
              OR "CONTENT_TYPE" OR "CONTENT_LENGTH" OR "REMOTE_ADDR"
               PERFORM PUT-TEXT
               PERFORM FLUSH-CHUNK
           END-IF.

      *---------------------------------------------------------------*
      * THE BODY                                                      *
      *---------------------------------------------------------------*
       READ-BODY.
           IF WS-LENGTH-TEXT = SPACES
               MOVE "0" TO WS-LENGTH-TEXT
           END-IF
           IF FUNCTION TEST-NUMVAL(WS-LENGTH-TEXT) NOT = 0
              OR FUNCTION NUMVAL(WS-LENGTH-TEXT) > LENGTH OF WS-BODY
               MOVE "413 Content Too Large" TO WS-CODE
               MOVE "BODY-TOO-LARGE" TO WS-ERROR
               PERFORM ANSWER-ERROR
           END-IF
           COMPUTE WS-SIZE = FUNCTION NUMVAL(WS-LENGTH-TEXT)
           MOVE 1 TO WS-BYTES-READ
           PERFORM UNTIL WS-SIZE = 0 OR WS-BYTES-READ <= 0
               COMPUTE WS-AT = WS-BODY-LENGTH + 1
               CALL "read" USING BY VALUE 0
                   BY REFERENCE WS-BODY(WS-AT:1)
                   BY VALUE WS-SIZE RETURNING WS-BYTES-READ
               IF WS-BYTES-READ > 0
                   ADD WS-BYTES-READ TO WS-BODY-LENGTH
                   SUBTRACT WS-BYTES-READ FROM WS-SIZE
               END-IF
           END-PERFORM
           IF WS-SIZE > 0
               MOVE "BODY-BROKE-OFF" TO WS-ERROR
               PERFORM BAD-REQUEST
           END-IF
           PERFORM PARSE-BODY
           IF NOT WS-BODY-GOOD
               MOVE "BODY-NOT-UNDERSTOOD" TO WS-ERROR
               PERFORM BAD-REQUEST
           END-IF.

      *    WS-EXPECT: V VALUE  A VALUE OR ]  K KEY OR }  M KEY
      *               C COLON  D COMMA OR CLOSE  E END
       PARSE-BODY.
           MOVE 1 TO WS-AT
           MOVE 0 TO WS-DEPTH
           MOVE SPACES TO WS-STACK WS-KEY WS-OUTER-KEY
           MOVE "V" TO WS-EXPECT
           PERFORM UNTIL WS-BODY-GOOD OR WS-BODY-BAD
               CALL "JSONTOK" USING WS-BODY WS-BODY-LENGTH WS-AT
                   WS-KIND WS-TEXT
               PERFORM TAKE-TOKEN
           END-PERFORM.

       TAKE-TOKEN.
           EVALUATE TRUE
               WHEN WS-KIND = "E" AND WS-EXPECT = "E"
                   SET WS-BODY-GOOD TO TRUE
               WHEN (WS-KIND = "{" OR "[")
                AND (WS-EXPECT = "V" OR "A") AND WS-DEPTH < 32
                   PERFORM GO-DOWN
               WHEN WS-KIND = "}" AND (WS-EXPECT = "K" OR "D")
                AND WS-DEPTH > 0 AND WS-STACK(WS-DEPTH:1) = "{"
                   PERFORM END-OBJECT
                   SUBTRACT 1 FROM WS-DEPTH
                   PERFORM VALUE-DONE
               WHEN WS-KIND = "]" AND (WS-EXPECT = "A" OR "D")
                AND WS-DEPTH > 0 AND WS-STACK(WS-DEPTH:1) = "["
                   SUBTRACT 1 FROM WS-DEPTH
                   PERFORM VALUE-DONE
               WHEN WS-KIND = "," AND WS-EXPECT = "D"
                   IF WS-STACK(WS-DEPTH:1) = "{"
                       MOVE "M" TO WS-EXPECT
                   ELSE
                       MOVE "V" TO WS-EXPECT
                   END-IF
               WHEN WS-KIND = ":" AND WS-EXPECT = "C"
                   MOVE "V" TO WS-EXPECT
               WHEN WS-KIND = "S" AND (WS-EXPECT = "K" OR "M")
                   MOVE WS-TEXT TO WS-KEY
                   INSPECT WS-KEY REPLACING ALL "_" BY "-"
                   MOVE FUNCTION UPPER-CASE(WS-KEY) TO WS-KEY
                   MOVE "C" TO WS-EXPECT
               WHEN (WS-KIND = "S" OR "N" OR "L")
                AND (WS-EXPECT = "V" OR "A")
                   PERFORM TAKE-VALUE
                   PERFORM VALUE-DONE
               WHEN OTHER
                   SET WS-BODY-BAD TO TRUE
           END-EVALUATE.

       GO-DOWN.
           IF WS-DEPTH = 1
               MOVE WS-KEY TO WS-OUTER-KEY
           END-IF
           ADD 1 TO WS-DEPTH
           MOVE WS-KIND TO WS-STACK(WS-DEPTH:1)
           IF WS-KIND = "{"
               MOVE "K" TO WS-EXPECT
           ELSE
               MOVE "A" TO WS-EXPECT
           END-IF
           MOVE SPACES TO BF-ENTRY-ACCOUNT BF-ENTRY-AMOUNT.

       VALUE-DONE.
           IF WS-DEPTH = 0
               MOVE "E" TO WS-EXPECT
           ELSE
               MOVE "D" TO WS-EXPECT
           END-IF.

       TAKE-VALUE.
           IF WS-DEPTH = 1 AND WS-STACK(1:1) = "{"
               EVALUATE WS-KEY
                   WHEN "COUNTY"     MOVE WS-TEXT TO BF-COUNTY
                   WHEN "ACCOUNT-ID" MOVE WS-TEXT TO BF-ACCOUNT-ID
                   WHEN "AGENCY"     MOVE WS-TEXT TO BF-AGENCY
                   WHEN "READING"    MOVE WS-TEXT TO BF-READING
                   WHEN "RESULT"     MOVE WS-TEXT TO BF-RESULT
               END-EVALUATE
           END-IF
           IF WS-DEPTH = 3 AND WS-STACK(1:3) = "{[{"
              AND WS-OUTER-KEY = "ENTRIES"
               EVALUATE WS-KEY
                   WHEN "ACCOUNT-ID" MOVE WS-TEXT TO BF-ENTRY-ACCOUNT
                   WHEN "AMOUNT"     MOVE WS-TEXT TO BF-ENTRY-AMOUNT
               END-EVALUATE
           END-IF.

      *    AN ENTRY OF THE BATCH IS COMPLETE, OR THE BATCH IS BAD.
       END-OBJECT.
           IF WS-DEPTH = 3 AND WS-STACK(1:3) = "{[{"
              AND WS-OUTER-KEY = "ENTRIES"
               PERFORM CHECK-AMOUNT
               IF WS-AMOUNT-BAD OR BF-ENTRY-ACCOUNT = SPACES
                  OR LA-COUNT >= 500
                   MOVE "BAD-ENTRY" TO WS-ERROR
                   PERFORM BAD-REQUEST
               END-IF
               ADD 1 TO LA-COUNT
               MOVE BF-ENTRY-ACCOUNT TO LA-ACCOUNT-ID(LA-COUNT)
               COMPUTE LA-AMOUNT(LA-COUNT) =
                   FUNCTION NUMVAL(BF-ENTRY-AMOUNT)
           END-IF.

      *    AN OPTIONAL MINUS, 1-9 DIGITS, UP TO 4 DECIMALS.
       CHECK-AMOUNT.
           SET WS-AMOUNT-GOOD TO TRUE
           MOVE 0 TO WS-DIGITS WS-DECIMALS WS-POINT
           PERFORM VARYING WS-J FROM 1 BY 1
               UNTIL WS-J > LENGTH OF BF-ENTRY-AMOUNT
                  OR BF-ENTRY-AMOUNT(WS-J:1) = SPACE
               MOVE BF-ENTRY-AMOUNT(WS-J:1) TO WS-CHAR
               EVALUATE TRUE
                   WHEN WS-CHAR = "-" AND WS-J = 1
                       CONTINUE
                   WHEN WS-CHAR = "." AND WS-POINT = 0
                    AND WS-DIGITS > 0
                       MOVE 1 TO WS-POINT
                   WHEN WS-CHAR >= "0" AND WS-CHAR <= "9"
                       IF WS-POINT = 0
                           ADD 1 TO WS-DIGITS
                       ELSE
                           ADD 1 TO WS-DECIMALS
                       END-IF
                   WHEN OTHER
                       SET WS-AMOUNT-BAD TO TRUE
               END-EVALUATE
           END-PERFORM
           IF WS-J <= LENGTH OF BF-ENTRY-AMOUNT
              AND BF-ENTRY-AMOUNT(WS-J:) NOT = SPACES
               SET WS-AMOUNT-BAD TO TRUE
           END-IF
           IF WS-DIGITS = 0 OR WS-DIGITS > 9 OR WS-DECIMALS > 4
              OR (WS-POINT = 1 AND WS-DECIMALS = 0)
               SET WS-AMOUNT-BAD TO TRUE
           END-IF.

      *---------------------------------------------------------------*
      * THE ANSWER                                                    *
      *---------------------------------------------------------------*
       START-ANSWER.
           DISPLAY "Status: " FUNCTION TRIM(WS-CODE)
           DISPLAY "Content-Type: application/json"
           IF WS-ALLOW NOT = SPACES
               DISPLAY "Allow: " FUNCTION TRIM(WS-ALLOW)
           END-IF
           DISPLAY "X-Program: BILLING"
           DISPLAY X"0A" WITH NO ADVANCING
           MOVE 1 TO WS-PTR
           MOVE 0 TO WS-SEP-SIZE.

       END-ANSWER.
           STRING X"0A" DELIMITED BY SIZE
               INTO WS-CHUNK WITH POINTER WS-PTR
           PERFORM FLUSH-CHUNK
           STOP RUN.

       FLUSH-CHUNK.
           IF WS-PTR > 1
               DISPLAY WS-CHUNK(1:WS-PTR - 1) WITH NO ADVANCING
           END-IF
           MOVE 1 TO WS-PTR.

       NOT-FOUND.
           MOVE "404 Not Found" TO WS-CODE
           MOVE "NOT-FOUND" TO WS-ERROR
           PERFORM ANSWER-ERROR.

       WRONG-METHOD.
           MOVE "405 Method Not Allowed" TO WS-CODE
           MOVE "METHOD-NOT-ALLOWED" TO WS-ERROR
           PERFORM ANSWER-ERROR.

       BAD-REQUEST.
           MOVE "400 Bad Request" TO WS-CODE
           PERFORM ANSWER-ERROR.

       OUT-OF-ORDER.
           MOVE "500 Internal Server Error" TO WS-CODE
           MOVE "FILE-STATUS" TO WS-ERROR
           PERFORM ANSWER-ERROR.

       ANSWER-ERROR.
           PERFORM START-ANSWER
           PERFORM OPEN-OBJECT
           MOVE "ERROR" TO WS-NAME
           MOVE WS-ERROR TO WS-VALUE
           PERFORM PUT-TEXT
           PERFORM CLOSE-OBJECT
           PERFORM END-ANSWER.

       PUT-SEPARATOR.
           IF WS-SEP-SIZE > 0
               STRING ", " DELIMITED BY SIZE
                   INTO WS-CHUNK WITH POINTER WS-PTR
           END-IF
           MOVE 2 TO WS-SEP-SIZE.

       OPEN-OBJECT.
           PERFORM PUT-SEPARATOR
           STRING "{" DELIMITED BY SIZE
               INTO WS-CHUNK WITH POINTER WS-PTR
           MOVE 0 TO WS-SEP-SIZE.

       CLOSE-OBJECT.
           STRING "}" DELIMITED BY SIZE
               INTO WS-CHUNK WITH POINTER WS-PTR
           MOVE 2 TO WS-SEP-SIZE.

       OPEN-LIST.
           PERFORM PUT-NAME
           STRING "[" DELIMITED BY SIZE
               INTO WS-CHUNK WITH POINTER WS-PTR
           MOVE 0 TO WS-SEP-SIZE.

       CLOSE-LIST.
           STRING "]" DELIMITED BY SIZE
               INTO WS-CHUNK WITH POINTER WS-PTR
           MOVE 2 TO WS-SEP-SIZE.

      *    A NAME WHOSE VALUE COMES NEXT.
       PUT-NAME.
           PERFORM PUT-SEPARATOR
           STRING '"' FUNCTION TRIM(WS-NAME) '": ' DELIMITED BY SIZE
               INTO WS-CHUNK WITH POINTER WS-PTR
           MOVE 0 TO WS-SEP-SIZE.

       PUT-AMOUNT.
           MOVE WS-AMOUNT TO WS-EDIT-AMOUNT
           PERFORM PUT-NAME
           STRING FUNCTION TRIM(WS-EDIT-AMOUNT) DELIMITED BY SIZE
               INTO WS-CHUNK WITH POINTER WS-PTR
           MOVE 2 TO WS-SEP-SIZE.

       PUT-NUMBER.
           MOVE WS-NUMBER TO WS-EDIT-NUMBER
           PERFORM PUT-NAME
           STRING FUNCTION TRIM(WS-EDIT-NUMBER) DELIMITED BY SIZE
               INTO WS-CHUNK WITH POINTER WS-PTR
           MOVE 2 TO WS-SEP-SIZE.

       PUT-TEXT.
           PERFORM PUT-NAME
           STRING '"' DELIMITED BY SIZE
               INTO WS-CHUNK WITH POINTER WS-PTR
           IF WS-VALUE NOT = SPACES
               MOVE FUNCTION LENGTH(FUNCTION TRIM(WS-VALUE TRAILING))
                   TO WS-SIZE
               PERFORM VARYING WS-J FROM 1 BY 1 UNTIL WS-J > WS-SIZE
                   MOVE WS-VALUE(WS-J:1) TO WS-CHAR
                   PERFORM PUT-CHARACTER
               END-PERFORM
           END-IF
           STRING '"' DELIMITED BY SIZE
               INTO WS-CHUNK WITH POINTER WS-PTR
           MOVE 2 TO WS-SEP-SIZE.

       PUT-CHARACTER.
           EVALUATE TRUE
               WHEN WS-CHAR = QUOTE OR WS-CHAR = "\"
                   STRING "\" WS-CHAR DELIMITED BY SIZE
                       INTO WS-CHUNK WITH POINTER WS-PTR
               WHEN WS-CHAR < SPACE
                   STRING "?" DELIMITED BY SIZE
                       INTO WS-CHUNK WITH POINTER WS-PTR
               WHEN OTHER
                   STRING WS-CHAR DELIMITED BY SIZE
                       INTO WS-CHUNK WITH POINTER WS-PTR
           END-EVALUATE.
