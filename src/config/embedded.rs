//! What is built into the program: the default configuration, the demo's, and the policies that come with them.

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "config/"]
struct Files;

/// Returns an embedded file's text by its path under `config/`.
pub fn text(path: &str) -> Option<String> {
    let file = Files::get(path)?;
    String::from_utf8(file.data.into_owned()).ok()
}

/// Returns the embedded policies as name and text, by name.
pub fn policies() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Files::iter()
        .filter_map(|path| {
            let name = path.strip_prefix("policies/")?.strip_suffix(".yaml")?.to_owned();
            Some((name, text(&path)?))
        })
        .collect();
    found.sort();
    found
}
