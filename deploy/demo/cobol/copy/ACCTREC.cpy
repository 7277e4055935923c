      *    AN ACCOUNT, ONE LINE OF ACCOUNTS.DAT.
       01  ACCOUNT-RECORD.
           05  AC-ACCOUNT-ID               PIC X(8).
           05  AC-COUNTY                   PIC X(10).
           05  AC-CUSTOMER-NAME            PIC X(24).
           05  AC-SSN                      PIC X(11).
           05  AC-PHONE                    PIC X(14).
           05  AC-STREET                   PIC X(24).
           05  AC-CITY                     PIC X(16).
           05  AC-ZIP                      PIC X(5).
           05  AC-METER-ID                 PIC X(8).
           05  AC-RATE-SCHEDULE            PIC X(8).
           05  AC-SERVICE-CLASS            PIC X(12).
           05  AC-ASSISTANCE-ELIGIBILITY   PIC X(12).
           05  AC-SUBSIDY-TIER             PIC X(4).
           05  AC-SUBSIDY-AMOUNT           PIC 9(5)V9(4).
           05  AC-HOUSEHOLD-INCOME         PIC 9(7)V99.
           05  AC-BALANCE                  PIC S9(7)V9(4)
                                           SIGN LEADING SEPARATE.
           05  AC-ARREARS                  PIC 9(7)V9(4).
           05  AC-DAYS-OVERDUE             PIC 9(3).
