       IDENTIFICATION DIVISION.
       PROGRAM-ID. LEDGER.
      *****************************************************************
      * THE LEDGER FILE AND THE SERIES OF NUMBERS.                    *
      *                                                               *
      * EVERY CGI PROCESS IS A RUN OF ITS OWN. WHO WANTS TO WRITE     *
      * HOLDS COUNTERS.DAT WITH LOCK UNTIL THE LEDGER IS CLOSED, SO   *
      * THAT TWO RUNS NEITHER TAKE ONE NUMBER NOR MIX THEIR LINES.    *
      * THE COUNTER IS REWRITTEN FIRST: A RUN THAT DIES LEAVES A GAP  *
      * IN THE NUMBERS, NEVER A NUMBER THAT IS GIVEN OUT TWICE.       *
      *                                                               *
      * FUNCTIONS: POST    APPENDS LA-ENTRY(1) TO (LA-COUNT)          *
      *            NUMBER  TAKES A NUMBER OF LA-SERIES                *
      *            OPEN, NEXT, CLOSE   READ THE LEDGER                *
      *****************************************************************
       ENVIRONMENT DIVISION.
       INPUT-OUTPUT SECTION.
       FILE-CONTROL.
           SELECT COUNTER-FILE ASSIGN TO WS-COUNTER-PATH
               ORGANIZATION IS SEQUENTIAL
               ACCESS MODE IS SEQUENTIAL
               FILE STATUS IS WS-STATUS.
           SELECT OPTIONAL LEDGER-FILE ASSIGN TO WS-LEDGER-PATH
               ORGANIZATION IS LINE SEQUENTIAL
               FILE STATUS IS WS-STATUS.
       DATA DIVISION.
       FILE SECTION.
       FD  COUNTER-FILE.
       01  COUNTER-RECORD.
           05  CT-TRANSACTION              PIC 9(6).
           05  CT-VALIDATION               PIC 9(6).
           05  CT-ROUTING                  PIC 9(6).
           05  CT-NOTICE                   PIC 9(6).
           05  CT-VERIFICATION             PIC 9(6).
           05  FILLER                      PIC X(50).
       FD  LEDGER-FILE.
           COPY LEDGREC.
       WORKING-STORAGE SECTION.
       01  WS-COUNTER-PATH                 PIC X(600).
       01  WS-LEDGER-PATH                  PIC X(600).
       01  WS-STATUS                       PIC XX.
           88  WS-DONE                     VALUE "00" "05" "07".
           88  WS-LOCKED                   VALUE "61".
       01  WS-NUMBER                       PIC 9(6).
       01  WS-I                            PIC 9(4) COMP.
      *    SOMEBODY ELSE'S LOCK IS WAITED FOR 1000 TIMES 10 MS.
       01  WS-TRIES                        PIC 9(4) COMP.
       01  WS-MOST-TRIES                   PIC 9(4) COMP VALUE 1000.
       01  WS-NANOSECONDS                  PIC S9(18) COMP-5
                                           VALUE 10000000.
       LINKAGE SECTION.
           COPY LEDGAREA.
       PROCEDURE DIVISION USING LEDGER-AREA.
       MAIN-PARA.
           MOVE SPACES TO WS-COUNTER-PATH WS-LEDGER-PATH
           STRING FUNCTION TRIM(LA-DATA-DIR) "/counters.dat"
               DELIMITED BY SIZE INTO WS-COUNTER-PATH
           STRING FUNCTION TRIM(LA-DATA-DIR) "/ledger.dat"
               DELIMITED BY SIZE INTO WS-LEDGER-PATH
           SET LA-OK TO TRUE
           EVALUATE LA-FUNCTION
               WHEN "POST"   PERFORM POST-ENTRIES
               WHEN "NUMBER" PERFORM TAKE-NUMBER
               WHEN "OPEN"   PERFORM OPEN-LEDGER
               WHEN "NEXT"   PERFORM READ-LEDGER
               WHEN "CLOSE"  CLOSE LEDGER-FILE
               WHEN OTHER    SET LA-FAILED TO TRUE
           END-EVALUATE
           GOBACK.

       POST-ENTRIES.
           MOVE "TX" TO LA-SERIES
           PERFORM HOLD-COUNTERS
           IF LA-OK
               PERFORM NEXT-NUMBER
           END-IF
           IF LA-OK
               PERFORM APPEND-ENTRIES
           END-IF
           PERFORM RELEASE-COUNTERS.

       TAKE-NUMBER.
           PERFORM HOLD-COUNTERS
           IF LA-OK
               PERFORM NEXT-NUMBER
           END-IF
           PERFORM RELEASE-COUNTERS.

       HOLD-COUNTERS.
           MOVE 0 TO WS-TRIES
           PERFORM WITH TEST AFTER
               UNTIL NOT WS-LOCKED OR WS-TRIES >= WS-MOST-TRIES
               OPEN I-O COUNTER-FILE WITH LOCK
               PERFORM WAIT-IF-LOCKED
           END-PERFORM
           PERFORM JUDGE-OPEN.

       NEXT-NUMBER.
           READ COUNTER-FILE
           IF NOT WS-DONE
               SET LA-FAILED TO TRUE
               EXIT PARAGRAPH
           END-IF
           EVALUATE LA-SERIES
               WHEN "TX"
                   ADD 1 TO CT-TRANSACTION
                   MOVE CT-TRANSACTION TO WS-NUMBER
               WHEN "VL"
                   ADD 1 TO CT-VALIDATION
                   MOVE CT-VALIDATION TO WS-NUMBER
               WHEN "CR"
                   ADD 1 TO CT-ROUTING
                   MOVE CT-ROUTING TO WS-NUMBER
               WHEN "NT"
                   ADD 1 TO CT-NOTICE
                   MOVE CT-NOTICE TO WS-NUMBER
               WHEN OTHER
                   ADD 1 TO CT-VERIFICATION
                   MOVE CT-VERIFICATION TO WS-NUMBER
           END-EVALUATE
           REWRITE COUNTER-RECORD
           IF NOT WS-DONE
               SET LA-FAILED TO TRUE
               EXIT PARAGRAPH
           END-IF
           STRING LA-SERIES "-" WS-NUMBER DELIMITED BY SIZE INTO LA-ID.

       APPEND-ENTRIES.
           MOVE 0 TO WS-TRIES
           PERFORM WITH TEST AFTER
               UNTIL NOT WS-LOCKED OR WS-TRIES >= WS-MOST-TRIES
               OPEN EXTEND LEDGER-FILE
               PERFORM WAIT-IF-LOCKED
           END-PERFORM
           PERFORM JUDGE-OPEN
           IF NOT LA-OK
               EXIT PARAGRAPH
           END-IF
           PERFORM VARYING WS-I FROM 1 BY 1 UNTIL WS-I > LA-COUNT
               MOVE LA-ID               TO LR-TRANSACTION-ID
               MOVE LA-NOW              TO LR-POSTED-AT
               MOVE LA-COUNTY           TO LR-COUNTY
               MOVE LA-ACCOUNT-ID(WS-I) TO LR-ACCOUNT-ID
               MOVE LA-AMOUNT(WS-I)     TO LR-AMOUNT
               MOVE LA-USER             TO LR-POSTED-BY
               MOVE LA-KEY              TO LR-IDEMPOTENCY-KEY
               WRITE LEDGER-RECORD
               IF NOT WS-DONE
                   SET LA-FAILED TO TRUE
               END-IF
           END-PERFORM
           COMMIT
           CLOSE LEDGER-FILE.

       RELEASE-COUNTERS.
           IF NOT LA-BUSY
               CLOSE COUNTER-FILE
           END-IF.

       OPEN-LEDGER.
           MOVE 0 TO WS-TRIES
           PERFORM WITH TEST AFTER
               UNTIL NOT WS-LOCKED OR WS-TRIES >= WS-MOST-TRIES
               OPEN INPUT LEDGER-FILE
               PERFORM WAIT-IF-LOCKED
           END-PERFORM
           PERFORM JUDGE-OPEN.

       READ-LEDGER.
           READ LEDGER-FILE
               AT END SET LA-END TO TRUE
               NOT AT END MOVE LEDGER-RECORD TO LA-POSTING
           END-READ.

       WAIT-IF-LOCKED.
           IF WS-LOCKED
               ADD 1 TO WS-TRIES
               CALL "CBL_GC_NANOSLEEP" USING WS-NANOSECONDS
           END-IF.

       JUDGE-OPEN.
           EVALUATE TRUE
               WHEN WS-DONE   SET LA-OK TO TRUE
               WHEN WS-LOCKED SET LA-BUSY TO TRUE
               WHEN OTHER     SET LA-FAILED TO TRUE
           END-EVALUATE.
