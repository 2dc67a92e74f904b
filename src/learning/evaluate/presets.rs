//! Names for choices of models that are measured again and again.

use crate::learning::names::public_name;

/// A named choice of models.
pub struct Preset {
    /// What is written for it.
    pub name: &'static str,
    /// Public names.
    pub models: &'static [&'static str],
}

/// Every preset.
pub const PRESETS: [Preset; 2] = [MMLU_PRO_9, ZEROEVAL_13];

const MMLU_PRO_9: Preset = Preset {
    // The models of MMLU-Pro that were current in 2024 and follow instructions, from 4 billion parameters to the largest: one of
    // each family and size. The choice is ours.
    name: "mmlu-pro-9",
    models: &[
        "gpt-4o-2024-05-13",
        "gemini-1.5-pro-002",
        "gemini-1.5-flash-002",
        "llama-3.1-70b-instruct",
        "llama-3.1-8b-instruct",
        "deepseek-v2",
        "jamba-1.5-large",
        "mathstral-7b-v0.1",
        "phi-3-mini-4k-instruct",
    ],
};

const ZEROEVAL_13: Preset = Preset {
    // The models of ZeroEval that were current in the autumn of 2024 and priced by the token, of each family the ones in use. The
    // choice is ours.
    name: "zeroeval-13",
    models: &[
        "gpt-4o-2024-05-13",
        "gpt-4o-mini-2024-07-18",
        "claude-3-5-sonnet-20240620",
        "claude-3-haiku-20240307",
        "deepseek-v2.5-0908",
        "gemini-1.5-flash",
        "gemini-1.5-pro",
        "llama-3.1-405b-instruct",
        "llama-3.1-70b-instruct",
        "llama-3.1-8b-instruct",
        "mistral-large-2",
        "qwen2-72b-instruct",
        "qwen2.5-72b-instruct",
    ],
};

/// Returns the public names that a list of names and presets stands for.
pub fn expand(names: &[String]) -> Vec<String> {
    let mut models = Vec::new();
    for name in names {
        match PRESETS.iter().find(|preset| preset.name == name) {
            Some(preset) => models.extend(preset.models.iter().map(|model| (*model).to_owned())),
            None => models.push(public_name(name)),
        }
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_stands_for_its_models_and_a_model_for_itself_under_any_name() {
        let models = expand(&["mmlu-pro-9".to_owned(), "Meta-Llama-3_1-70B-Instruct".to_owned()]);

        assert_eq!(models.len(), 10);
        assert_eq!(models[9], "llama-3.1-70b-instruct");
        let named = PRESETS.iter().flat_map(|preset| preset.models);
        assert!(named.into_iter().all(|model| public_name(model) == **model));
    }
}
