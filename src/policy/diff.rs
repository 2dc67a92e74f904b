//! What changed between two texts, line by line.

use similar::TextDiff;

/// Lines around a change that are shown with it.
const CONTEXT_LINES: usize = 3;

/// Returns a unified diff; empty when the texts are the same.
pub fn unified(old: &str, new: &str, names: (&str, &str)) -> String {
    TextDiff::from_lines(old, new).unified_diff().context_radius(CONTEXT_LINES).header(names.0, names.1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_shows_both_ways() {
        let diff = unified("a: 1\nb: 2\n", "a: 1\nb: 3\n", ("old", "new"));

        assert_eq!(diff, "--- old\n+++ new\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n");
    }
}
