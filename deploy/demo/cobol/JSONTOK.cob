       IDENTIFICATION DIVISION.
       PROGRAM-ID. JSONTOK.
      *****************************************************************
      * THE NEXT TOKEN OF A JSON TEXT.                                *
      *                                                               *
      * KIND:  { } [ ] : ,   THEMSELVES                               *
      *        S STRING   N NUMBER   L TRUE, FALSE OR NULL            *
      *        E THE END  X NOT JSON, OR AN ESCAPE IN A STRING, WHICH *
      *                     NO FIELD OF OURS HAS                      *
      *****************************************************************
       DATA DIVISION.
       WORKING-STORAGE SECTION.
       01  WS-START                        PIC 9(6) COMP.
       01  WS-SIZE                         PIC 9(6) COMP.
       01  WS-CHAR                         PIC X.
       LINKAGE SECTION.
       01  LK-BODY                         PIC X(65536).
       01  LK-LENGTH                       PIC 9(6) COMP.
       01  LK-AT                           PIC 9(6) COMP.
       01  LK-KIND                         PIC X.
       01  LK-TEXT                         PIC X(256).
       PROCEDURE DIVISION USING LK-BODY LK-LENGTH LK-AT LK-KIND LK-TEXT.
       MAIN-PARA.
           MOVE SPACES TO LK-TEXT
           PERFORM UNTIL LK-AT > LK-LENGTH
               MOVE LK-BODY(LK-AT:1) TO WS-CHAR
               IF WS-CHAR NOT = SPACE AND WS-CHAR NOT = X"09"
                  AND WS-CHAR NOT = X"0A" AND WS-CHAR NOT = X"0D"
                   EXIT PERFORM
               END-IF
               ADD 1 TO LK-AT
           END-PERFORM
           IF LK-AT > LK-LENGTH
               MOVE "E" TO LK-KIND
               GOBACK
           END-IF
           EVALUATE TRUE
               WHEN WS-CHAR = "{" OR "}" OR "[" OR "]" OR ":" OR ","
                   MOVE WS-CHAR TO LK-KIND
                   ADD 1 TO LK-AT
               WHEN WS-CHAR = QUOTE
                   PERFORM TAKE-STRING
               WHEN OTHER
                   PERFORM TAKE-WORD
           END-EVALUATE
           GOBACK.

       TAKE-STRING.
           ADD 1 TO LK-AT
           MOVE LK-AT TO WS-START
           MOVE "S" TO LK-KIND
           PERFORM UNTIL LK-AT > LK-LENGTH
               MOVE LK-BODY(LK-AT:1) TO WS-CHAR
               IF WS-CHAR = QUOTE OR WS-CHAR = "\" OR WS-CHAR < SPACE
                   EXIT PERFORM
               END-IF
               ADD 1 TO LK-AT
           END-PERFORM
           COMPUTE WS-SIZE = LK-AT - WS-START
           IF LK-AT > LK-LENGTH OR WS-CHAR NOT = QUOTE
              OR WS-SIZE > LENGTH OF LK-TEXT
               MOVE "X" TO LK-KIND
               EXIT PARAGRAPH
           END-IF
           IF WS-SIZE > 0
               MOVE LK-BODY(WS-START:WS-SIZE) TO LK-TEXT
           END-IF
           ADD 1 TO LK-AT.

       TAKE-WORD.
           MOVE LK-AT TO WS-START
           PERFORM UNTIL LK-AT > LK-LENGTH
               MOVE LK-BODY(LK-AT:1) TO WS-CHAR
               IF NOT ((WS-CHAR >= "0" AND WS-CHAR <= "9")
                  OR (WS-CHAR >= "a" AND WS-CHAR <= "z")
                  OR WS-CHAR = "-" OR WS-CHAR = "+" OR WS-CHAR = "."
                  OR WS-CHAR = "E")
                   EXIT PERFORM
               END-IF
               ADD 1 TO LK-AT
           END-PERFORM
           COMPUTE WS-SIZE = LK-AT - WS-START
           IF WS-SIZE = 0 OR WS-SIZE > LENGTH OF LK-TEXT
               MOVE "X" TO LK-KIND
               EXIT PARAGRAPH
           END-IF
           MOVE LK-BODY(WS-START:WS-SIZE) TO LK-TEXT
           MOVE LK-TEXT(1:1) TO WS-CHAR
           EVALUATE TRUE
               WHEN LK-TEXT = "true" OR "false" OR "null"
                   MOVE "L" TO LK-KIND
               WHEN (WS-CHAR >= "0" AND WS-CHAR <= "9") OR WS-CHAR = "-"
                   MOVE "N" TO LK-KIND
               WHEN OTHER
                   MOVE "X" TO LK-KIND
           END-EVALUATE.
