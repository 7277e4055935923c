//! Why a condition does not hold, in words: for `explain`, offline. Parts are evaluated again, one by one.

use super::Facts;
use super::evaluate::Scene;
use super::node::{Node, What};

/// Most lines of an explanation.
const MAX_LINES: usize = 16;

/// The parts that make the condition false, or the error. Empty if it holds.
pub(super) fn why_not(root: &Node, source: &str, facts: &Facts<'_>) -> Vec<String> {
    let mut trace = Trace {
        source,
        scene: Scene {
            facts: Some(facts),
            item: None,
        },
        lines: Vec::new(),
    };
    trace.because(root, true);
    trace.lines.truncate(MAX_LINES);
    trace.lines
}

struct Trace<'t> {
    source: &'t str,
    scene: Scene<'t>,
    lines: Vec<String>,
}

impl<'t> Trace<'t> {
    fn text(&self, node: &Node) -> &'t str {
        self.source.get(node.at.start..node.at.end).unwrap_or_default()
    }

    /// Says why `node` is not `wanted`.
    fn because(&mut self, node: &'t Node, wanted: bool) {
        let is = match node.truth(self.scene) {
            Ok(is) if is == wanted => return,
            Ok(is) => is,
            Err(fault) => {
                let text = self.source.get(fault.at.start..fault.at.end).unwrap_or_default();
                self.lines.push(format!("`{text}`: {}", fault.what));
                return;
            }
        };
        match &node.what {
            // The first operand that decides is the reason; the others were not looked at.
            What::And(parts) if !is => self.first(parts, true),
            What::Or(parts) if is => self.first(parts, false),
            What::And(parts) | What::Or(parts) => parts.iter().for_each(|part| self.because(part, wanted)),
            What::Not(part) => self.because(part, !wanted),
            _ => self.leaf(node, is),
        }
    }

    fn first(&mut self, parts: &'t [Node], wanted: bool) {
        if let Some(part) = parts.iter().find(|part| part.truth(self.scene) != Ok(wanted)) {
            self.because(part, wanted);
        }
    }

    /// A part that is not made of conditions, with the values that it looks at.
    fn leaf(&mut self, node: &'t Node, is: bool) {
        let mut line = format!("`{}` is {is}", self.text(node));
        for part in node.parts() {
            if part.is_constant() || part.any(&|part| matches!(part.what, What::Item)) {
                continue;
            }
            if let Ok(value) = part.value(self.scene) {
                line.push_str(&format!("; `{}` is {value}", self.text(part)));
            }
        }
        self.lines.push(line);
    }
}
