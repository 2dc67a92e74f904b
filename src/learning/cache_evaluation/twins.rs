//! Twins: prompts that differ from another in one word, and in the answer.

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// One number.
    Number,
    /// One name.
    Name,
    /// "not" put in or taken out.
    Negation,
    /// One unit of measure.
    Unit,
}

const UNITS: [(&str, &str); 16] = [
    ("miles", "kilometers"),
    ("kilometers", "miles"),
    ("km", "m"),
    ("dollars", "euros"),
    ("cents", "dollars"),
    ("hours", "minutes"),
    ("minutes", "hours"),
    ("seconds", "minutes"),
    ("days", "weeks"),
    ("weeks", "days"),
    ("years", "months"),
    ("pounds", "kilograms"),
    ("kg", "g"),
    ("feet", "meters"),
    ("meters", "feet"),
    ("inches", "feet"),
];
const VERBS: [&str; 8] = ["is", "are", "was", "were", "does", "did", "should", "would"];
const NAMES: [&str; 4] = ["Quentin", "Oslo", "Bolivia", "Maxwell"];

impl Twist {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Number, Self::Name, Self::Negation, Self::Unit];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Name => "name",
            Self::Negation => "negation",
            Self::Unit => "unit",
        }
    }

    /// Returns the twin; `None` where there is nothing of this kind to change.
    pub fn apply(self, text: &str) -> Option<String> {
        match self {
            Self::Number => number(text),
            Self::Name => name(text),
            Self::Negation => negation(text),
            Self::Unit => unit(text),
        }
    }
}

/// Adds one to the first number of at most six digits.
fn number(text: &str) -> Option<String> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let (before, rest) = text.split_at(start);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    let number: u32 = digits.parse().ok().filter(|number| *number < 1_000_000)?;
    Some(format!("{before}{}{after}", number + 1))
}

/// Replaces the first capitalised word that follows a word in lower case.
fn name(text: &str) -> Option<String> {
    let (mut from, mut follows_lower) = (0, false);
    for word in text.split(' ') {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        let letters = bare.chars().count();
        let is_name = letters > 2
            && bare.chars().all(char::is_alphabetic)
            && bare.chars().next().is_some_and(char::is_uppercase)
            && bare.chars().skip(1).all(char::is_lowercase);
        if is_name && follows_lower {
            let other = NAMES.iter().find(|name| **name != bare)?;
            let (before, rest) = text.split_at_checked(from)?;
            return Some(format!("{before}{other}{}", rest.get(bare.len()..)?));
        }
        follows_lower = word.chars().all(char::is_lowercase) && !word.is_empty();
        from += word.len() + 1;
    }
    None
}

fn negation(text: &str) -> Option<String> {
    if let Some((before, after)) = text.split_once(" not ") {
        return Some(format!("{before} {after}"));
    }
    let verb = VERBS.iter().find(|verb| text.contains(&format!(" {verb} ")))?;
    let (before, after) = text.split_once(&format!(" {verb} "))?;
    Some(format!("{before} {verb} not {after}"))
}

fn unit(text: &str) -> Option<String> {
    let mut from = 0;
    for word in text.split(' ') {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        if let Some((_, other)) = UNITS.iter().find(|(unit, _)| *unit == bare) {
            let (before, rest) = text.split_at_checked(from)?;
            return Some(format!("{before}{other}{}", rest.get(bare.len()..)?));
        }
        from += word.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_changes_one_word() {
        let text = "Why is the road from Paris 12 miles long?";

        assert_eq!(Twist::Number.apply(text).unwrap(), "Why is the road from Paris 13 miles long?");
        assert_eq!(Twist::Name.apply(text).unwrap(), "Why is the road from Quentin 12 miles long?");
        assert_eq!(Twist::Negation.apply(text).unwrap(), "Why is not the road from Paris 12 miles long?");
        assert_eq!(Twist::Unit.apply(text).unwrap(), "Why is the road from Paris 12 kilometers long?");
    }

    #[test]
    fn a_negation_is_taken_out_where_there_is_one() {
        assert_eq!(Twist::Negation.apply("It is not safe.").unwrap(), "It is safe.");
    }

    #[test]
    fn nothing_to_change_gives_nothing() {
        assert!(Twist::ALL.iter().all(|twist| twist.apply("hello there").is_none()));
    }
}
