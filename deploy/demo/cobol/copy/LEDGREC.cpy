      *    A POSTING, ONE LINE OF LEDGER.DAT.
       01  LEDGER-RECORD.
           05  LR-TRANSACTION-ID           PIC X(9).
           05  LR-POSTED-AT                PIC X(20).
           05  LR-COUNTY                   PIC X(10).
           05  LR-ACCOUNT-ID               PIC X(8).
           05  LR-AMOUNT                   PIC S9(9)V9(4)
                                           SIGN LEADING SEPARATE.
           05  LR-POSTED-BY                PIC X(32).
           05  LR-IDEMPOTENCY-KEY          PIC X(64).
