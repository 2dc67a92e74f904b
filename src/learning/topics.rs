//! Subjects that policies can name: a closed set, made of the soft domains of the training sets.

use crate::scoring::profiles::Subject;

/// Subjects and the words that give them away in a category's name; the first that fits wins.
const SUBJECTS: [(&str, &[&str]); 14] = [
    ("code", &["human_eval", "mbpp", "crux", "code"]),
    ("reasoning", &["zebra", "logic", "commonsense", "winogrande", "moral_scenarios", "moral_disputes"]),
    ("computer_science", &["computer", "machine_learning"]),
    ("law", &["law", "jurisprudence"]),
    (
        "medicine",
        &["medicine", "medical", "anatomy", "clinical", "nutrition", "health", "virology", "aging", "sexuality"],
    ),
    ("math", &["math", "algebra", "gsm", "statistics"]),
    ("physics", &["physics", "astronomy"]),
    ("chemistry", &["chemistry"]),
    ("biology", &["biology", "genetics"]),
    ("engineering", &["engineering"]),
    ("economics", &["econom", "business", "marketing", "management", "accounting", "public_relations"]),
    ("psychology", &["psychology"]),
    (
        "humanities",
        &[
            "history",
            "philosophy",
            "religion",
            "politics",
            "policy",
            "geography",
            "sociology",
            "security_studies",
            "prehistory",
        ],
    ),
    ("writing", &["commongen"]),
];

/// What fits none of them.
const OTHER: &str = "other";

/// Returns the subject of a soft domain, `set/category`.
pub fn subject_of(domain: &str) -> &'static str {
    let category = domain.rsplit('/').next().unwrap_or(domain).to_lowercase();
    let fits = |words: &[&str]| words.iter().any(|word| category.contains(word));
    SUBJECTS.iter().find(|(_, words)| fits(words)).map_or(OTHER, |(name, _)| name)
}

/// Returns the subjects of all soft domains; together they hold each domain once.
pub fn subjects(domains: &[String]) -> Vec<Subject> {
    let names = SUBJECTS.iter().map(|(name, _)| *name).chain([OTHER]);
    let of = |name: &str| -> Vec<usize> {
        let fitting = domains.iter().enumerate().filter(|(_, domain)| subject_of(domain) == name);
        fitting.map(|(index, _)| index).collect()
    };
    let all = names.map(|name| Subject { name: name.into(), domains: of(name) });
    all.filter(|subject| !subject.domains.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_know_every_subject() {
        let mut subjects: Vec<&str> = SUBJECTS.iter().map(|(name, _)| *name).chain([OTHER]).collect();
        subjects.sort_unstable();

        assert_eq!(subjects, crate::domain::TOPICS);
    }

    #[test]
    fn categories_of_different_sets_meet_in_a_subject() {
        let domains = ["mmlu_pro/math", "routellm/gsm8k", "zeroeval/crux", "routellm/professional_law", "x/rest"];
        let domains = domains.map(str::to_owned);

        let subjects = subjects(&domains);

        let found: Vec<_> = subjects.iter().map(|subject| (&*subject.name, subject.domains.as_slice())).collect();
        assert_eq!(found, [("code", &[2][..]), ("law", &[3]), ("math", &[0, 1]), ("other", &[4])]);
    }
}
