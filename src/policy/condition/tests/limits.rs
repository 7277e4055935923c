//! Each limit: at it, and one past it.

use super::*;

fn fault(source: &str) -> Option<String> {
    Condition::compile(source, &names())
        .err()
        .map(|faults| faults[0].message.clone())
}

#[test]
fn length() {
    let text = |length: usize| format!("\"{}\" == \"\"", "x".repeat(length - 8));
    assert_eq!(text(MAX_SOURCE).len(), MAX_SOURCE);
    assert_eq!(fault(&text(MAX_SOURCE)), None);
    assert_eq!(
        fault(&text(MAX_SOURCE + 1)).unwrap(),
        "the condition is longer than 4096 bytes"
    );
}

#[test]
fn tokens() {
    // A sum in a comparison: one token per number and per sign.
    let sum = |tokens: usize| format!("0{} == 0", "+0".repeat((tokens - 3) / 2));
    assert_eq!(fault(&sum(MAX_TOKENS - 1)), None);
    assert_eq!(
        fault(&sum(MAX_TOKENS + 1)).unwrap(),
        "the condition has more than 512 words and signs"
    );
    let ands = vec!["true"; MAX_TOKENS / 2].join("&&");
    assert_eq!(fault(&ands), None);
}

/// What the limits let through can be evaluated on any thread's stack; nothing of it is constant.
#[test]
fn the_deepest_trees_are_evaluated() {
    let world = World::new();
    let evaluate = |source: &str| {
        let condition = Condition::compile(source, &names()).unwrap();
        let facts = world.facts();
        let _ = condition.why_not(&facts);
        condition.holds(&facts)
    };
    assert_eq!(evaluate(&format!("int(query.n){} == 12", "+0".repeat(252))), Ok(true));
    assert_eq!(
        evaluate(&format!("caller.user{} == \"u1\"", "+\"\"".repeat(253))),
        Ok(true)
    );
    let members = format!("body{} == 1", ".a".repeat(254));
    assert_eq!(evaluate(&members).unwrap_err().what, Failure::NoMember);
    let nested = format!(
        "{}caller.user == \"u1\"{}",
        "!(".repeat(MAX_NESTING),
        ")".repeat(MAX_NESTING)
    );
    assert_eq!(evaluate(&nested), Ok(true));
}

#[test]
fn nesting() {
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(fault(&nested(MAX_NESTING)), None);
    assert_eq!(
        fault(&nested(MAX_NESTING + 1)).unwrap(),
        "brackets are nested deeper than 16"
    );
}

#[test]
fn choices() {
    let choices = |count: usize| format!("{}true", "true?false:".repeat(count));
    assert_eq!(fault(&choices(MAX_CHOICES)), None);
    assert_eq!(
        fault(&choices(MAX_CHOICES + 1)).unwrap(),
        "the condition has more than 16 `?`"
    );
}

#[test]
fn patterns() {
    assert_eq!(fault("path.county.matches(\"a{1,100}\")"), None);
    assert_eq!(
        fault("path.county.matches(\"(a{1,100}){1,1000}\")").unwrap(),
        "the pattern needs more than 256 KiB"
    );
}

#[test]
fn texts() {
    let world = World::new();
    let half = "x".repeat(value::MAX_TEXT / 2);
    for (more, fits) in [("", true), ("x", false)] {
        let body = serde_json::json!({ "a": half, "b": format!("{half}{more}") });
        let facts = Facts {
            body: Some(&body),
            ..world.facts()
        };
        let condition = Condition::compile("size(string(body.a) + body.b) > 0", &names()).unwrap();
        assert_eq!(condition.holds(&facts).is_ok(), fits);
    }
}

/// The worst that fits is still quick to read: the parser does not choke on what the bounds let through.
#[test]
fn worst_cases_are_quick() {
    let deep = format!("{}1{}", "[".repeat(MAX_NESTING), "]".repeat(MAX_NESTING));
    let sources = [
        format!("{} == 1", vec![deep.as_str(); 14].join(" + ")),
        "a.".repeat(255),
        "a.b[".repeat(16) + "1" + &"]".repeat(16),
        "(".repeat(16) + &"a ? ".repeat(16),
        "!(".repeat(16) + "x" + &")".repeat(16),
        "-(".repeat(16) + "1" + &")".repeat(16) + " == 1",
        format!("{}1 == 1", "1 - -".repeat(100)),
        format!("{}a", "a in ".repeat(255)),
        format!("{}a", "a(".repeat(16)),
    ];
    for source in sources {
        let started = std::time::Instant::now();
        let _ = Condition::compile(&source, &names());
        assert!(started.elapsed().as_secs() < 5, "{source}");
    }
}
