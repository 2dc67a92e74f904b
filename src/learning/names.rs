//! Public names of models: the same model under the names that different sources give it.

/// Names that no rule below brings together, though the model is plainly the same.
const ALIASES: [(&str, &str); 7] = [
    ("mathstral-7b", "mathstral-7b-v0.1"),
    ("mixtral-8x7b-chat", "mixtral-8x7b-instruct-v0.1"),
    ("6b_finetuning", "gpt-3-6b-finetuning"),
    ("6b_verification", "gpt-3-6b-verification"),
    ("175b_finetuning", "gpt-3-175b-finetuning"),
    ("175b_verification", "gpt-3-175b-verification"),
    ("llama-3.1-405b-inst", "llama-3.1-405b-instruct"),
];

/// Returns the public name: lower case, without owner (`mistralai/`), host (`@together`) and the `Meta-` before `Llama`, with
/// a point in version numbers (`3_1`).
pub fn public_name(id: &str) -> String {
    let id = id.rsplit('/').next().unwrap_or(id).to_lowercase();
    let id = id.split('@').next().unwrap_or_default();
    let id = id.strip_prefix("meta-").unwrap_or(id).replace("llama-3_", "llama-3.");
    ALIASES.iter().find(|(other, _)| *other == id).map_or(id.clone(), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::public_name;

    #[test]
    fn one_model_has_one_name_in_every_source() {
        for id in
            ["Meta-Llama-3_1-70B-Instruct", "Meta-Llama-3.1-70B-Instruct@hyperbolic", "meta/llama-3.1-70b-instruct"]
        {
            assert_eq!(public_name(id), "llama-3.1-70b-instruct");
        }
    }

    #[test]
    fn versions_stay_apart() {
        assert_ne!(public_name("gemini-1.5-flash-002"), public_name("gemini-1.5-flash"));
        assert_ne!(public_name("gpt-4o-2024-05-13"), public_name("gpt-4o-2024-08-06"));
    }
}
