      *    WHAT BILLING AND LEDGER TELL EACH OTHER.
       01  LEDGER-AREA.
           05  LA-FUNCTION                 PIC X(8).
           05  LA-RESULT                   PIC X(4).
               88  LA-OK                   VALUE "OK".
               88  LA-BUSY                 VALUE "BUSY".
               88  LA-END                  VALUE "END".
               88  LA-FAILED               VALUE "FAIL".
           05  LA-DATA-DIR                 PIC X(512).
      *        WHICH SERIES OF NUMBERS, AND THE NUMBER THAT WAS TAKEN.
           05  LA-SERIES                   PIC X(2).
           05  LA-ID                       PIC X(9).
           05  LA-NOW                      PIC X(20).
           05  LA-COUNTY                   PIC X(10).
           05  LA-USER                     PIC X(32).
           05  LA-KEY                      PIC X(64).
           05  LA-COUNT                    PIC 9(4).
           05  LA-ENTRY OCCURS 500 TIMES.
               10  LA-ACCOUNT-ID           PIC X(8).
               10  LA-AMOUNT               PIC S9(9)V9(4).
           05  LA-POSTING                  PIC X(157).
